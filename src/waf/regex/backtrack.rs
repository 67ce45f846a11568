//! A bounded backtracker: the reference interpretation of the tree, and the engine of patterns that automata cannot
//! run (look-around, back-references, atomic groups that matter).
//!
//! It runs every pattern, which is what makes it the yardstick for the automata in tests and fuzzing. Repetitions are
//! counted, not unrolled, so a program is as small as its pattern. The steps of a search and the alternatives kept
//! open are bounded; running out is [`LimitExceeded`], never "no match". Recursion happens only for look-around and
//! atomic groups, whose nesting the parser bounds.

use super::LimitExceeded;
use super::ast::{Assertion, ByteSet, Greed, Node};
use super::match_limit::Early;
use crate::limits::REGEX_BACKTRACK_STACK;

/// Positions of groups: start and end alternate, from group 0.
pub(crate) type Slots = [Option<usize>];

#[derive(Debug, Clone)]
pub(super) enum Instruction {
    Match,
    Byte(u8),
    Set(Box<ByteSet>),
    Assert(Assertion),
    Save(usize),
    /// Go on here; on failure there.
    Split {
        first: usize,
        second: usize,
    },
    /// The same where the next byte is one of those that each can begin with; nothing, they may consume nothing. Only of a
    /// pattern compiled by [`Backtracker::compile_tracer`].
    SplitOn {
        first: usize,
        second: usize,
        begins: Box<[Option<ByteSet>; 2]>,
    },
    Jump(usize),
    /// A set repeated, the common loop, without a frame per round.
    SetLoop {
        set: Box<ByteSet>,
        min: u32,
        max: u32,
        greed: Greed,
        /// Give back only to where one of these follows, because nothing else can go on.
        until: Option<Box<ByteSet>>,
        early: Option<EarlyFailure>,
    },
    /// Where PCRE's compiled code counts towards its match limit.
    Count,
    LoopStart(usize),
    /// At the head of each round: another one (the next instruction), or on to `exit`.
    Loop {
        counter: usize,
        min: u32,
        max: u32,
        is_lazy: bool,
        exit: usize,
        /// What a round begins with, where that is known and looked at first.
        begins: Option<Box<ByteSet>>,
    },
    /// Runs up to the matching `Match`, then goes on at `next`.
    Atomic {
        next: usize,
    },
    /// Each alternative: how far back it begins (0 for look-ahead), and where its code is.
    Look {
        is_negated: bool,
        alternatives: Box<[(usize, usize)]>,
        next: usize,
    },
    BackReference {
        index: usize,
        is_case_insensitive: bool,
    },
}

/// A loop that need not be tried from within what it went over before: whatever follows it has failed from there on.
#[derive(Debug, Clone, Copy)]
pub(super) struct EarlyFailure {
    /// In [`Memory::gone_over`].
    pub(super) slot: usize,
    /// Everything before counts too.
    pub(super) is_prefix: bool,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Backtracker {
    pub(super) code: Vec<Instruction>,
    counters: usize,
    slots: usize,
    /// Bytes a match can begin with; none when it may consume nothing.
    first: Option<ByteSet>,
    is_anchored: bool,
    pub(super) match_limit: Option<MatchLimit>,
}

/// How [`super::match_limit`] bounds a search.
#[derive(Debug, Clone)]
pub(super) struct MatchLimit {
    /// What may be counted from one start.
    pub(super) counts: u64,
    /// The last literal byte that every match has: where it does not follow, PCRE does not try.
    pub(super) required: Option<ByteSet>,
}

/// What a search needs while it runs; kept by the caller.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    stack: Vec<Frame>,
    counters: Vec<Counter>,
    slots: Vec<Option<usize>>,
    /// What loops with an early failure went over in this search.
    gone_over: Vec<Option<(usize, usize)>>,
    /// Steps of the last search.
    steps: u64,
}

impl Memory {
    pub(crate) fn memory_usage(&self) -> usize {
        self.stack.capacity() * size_of::<Frame>()
            + self.counters.capacity() * size_of::<Counter>()
            + self.slots.capacity() * size_of::<Option<usize>>()
            + self.gone_over.capacity() * size_of::<Option<(usize, usize)>>()
    }

    /// Steps that the last search took.
    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    /// The groups of the last match.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    rounds: u32,
    /// Where the current round began.
    position: Option<usize>,
}

#[derive(Debug)]
enum Frame {
    /// Try again here.
    Retry {
        at: usize,
        position: usize,
    },
    /// A greedy set loop that can give back bytes down to `least`.
    GiveBack {
        at: usize,
        least: usize,
        position: usize,
    },
    /// A lazy set loop that can take bytes up to `most`.
    TakeMore {
        at: usize,
        position: usize,
        most: usize,
    },
    /// One more round of a lazy loop, whose head is `at`.
    Round {
        at: usize,
        position: usize,
    },
    RestoreSlot {
        slot: usize,
        value: Option<usize>,
    },
    RestoreCounter {
        counter: usize,
        value: Counter,
    },
}

impl Backtracker {
    pub(crate) fn compile(node: &Node, groups: usize) -> Self {
        Self::build(node, groups, Compiler { is_counting: false, ..Compiler::default() })
    }

    /// With a look at the next byte before each way is gone, which takes fewer steps, so budgets mean something else.
    pub(super) fn compile_tracer(node: &Node, groups: usize) -> Self {
        Self::build(node, groups, Compiler { looks_ahead: true, ..Compiler::default() })
    }

    pub(super) fn build(node: &Node, groups: usize, mut compiler: Compiler) -> Self {
        compiler.code.push(Instruction::Save(0));
        compiler.node(node);
        compiler.code.push(Instruction::Save(1));
        compiler.code.push(Instruction::Match);
        let (first, is_nullable) = node.first();
        Self {
            code: compiler.code,
            counters: compiler.counters,
            slots: groups * 2,
            first: (!is_nullable).then_some(first),
            is_anchored: begins_at_start(node),
            match_limit: None,
        }
    }

    pub(crate) fn memory_usage(&self) -> usize {
        let boxes: usize = self.code.iter().filter(|code| matches!(code, Instruction::Set(_))).count() * 32;
        self.code.capacity() * size_of::<Instruction>() + boxes
    }

    /// The leftmost match that begins at `from` or later; its groups are in the memory afterwards.
    pub(crate) fn search(
        &self,
        memory: &mut Memory,
        haystack: &[u8],
        search_start: usize,
        from: usize,
        max_steps: u64,
    ) -> Result<bool, LimitExceeded> {
        memory.gone_over.clear();
        let mut machine = Machine { code: &self.code, haystack, memory, steps: max_steps, counts: 0, search_start };
        let found = self.search_from(&mut machine, haystack, from);
        machine.memory.steps = max_steps - machine.steps;
        found
    }

    fn search_from(&self, machine: &mut Machine<'_>, haystack: &[u8], from: usize) -> Result<bool, LimitExceeded> {
        let max_counts = self.match_limit.as_ref().map_or(u64::MAX, |limit| limit.counts);
        let mut start = from;
        while start <= haystack.len() {
            if let Some(first) = &self.first {
                let rest = haystack.get(start..).unwrap_or_default();
                match rest.iter().position(|byte| first.contains(*byte)) {
                    Some(skipped) => start += skipped,
                    None => return Ok(false),
                }
            }
            if self.is_anchored && start > 0 {
                return Ok(false);
            }
            if self
                .match_limit
                .as_ref()
                .is_some_and(|limit| !limit.may_match(haystack.get(start..).unwrap_or_default()))
            {
                return Ok(false);
            }
            machine.counts = max_counts;
            machine.memory.stack.clear();
            machine.memory.slots.clear();
            machine.memory.slots.resize(self.slots, None);
            machine.memory.counters.clear();
            machine.memory.counters.resize(self.counters, Counter::default());
            if machine.run(0, start)?.is_some() {
                return Ok(true);
            }
            start += 1;
        }
        Ok(false)
    }
}

/// Does every match begin at the start of the text?
fn begins_at_start(node: &Node) -> bool {
    match node {
        Node::Assert(Assertion::Start) => true,
        Node::Capture { node, .. } | Node::Atomic(node) => begins_at_start(node),
        Node::Concat(nodes) => nodes.first().is_some_and(begins_at_start),
        Node::Alternate(nodes) => nodes.iter().all(begins_at_start),
        _ => false,
    }
}

#[derive(Debug, Default)]
pub(super) struct Compiler {
    pub(super) code: Vec<Instruction>,
    pub(super) counters: usize,
    pub(super) early: Early,
    /// For [`super::match_limit`].
    pub(super) is_counting: bool,
    /// For [`Backtracker::compile_tracer`].
    pub(super) looks_ahead: bool,
}

impl Compiler {
    /// Reserves an instruction that is filled in later.
    fn reserve(&mut self) -> usize {
        self.code.push(Instruction::Match);
        self.code.len() - 1
    }

    fn set(&mut self, at: usize, instruction: Instruction) {
        if let Some(place) = self.code.get_mut(at) {
            *place = instruction;
        }
    }

    pub(super) fn node(&mut self, node: &Node) {
        match node {
            Node::Empty => {}
            Node::Set(_) if self.is_counting && self.early.passes_one() => {}
            Node::Look { .. } | Node::BackReference { .. } | Node::Atomic(_)
                if self.is_counting && self.early.ends() => {}
            Node::Set(set) if set.len() == 1 => self.code.extend(set.iter().map(Instruction::Byte)),
            Node::Set(set) => self.code.push(Instruction::Set(Box::new(*set))),
            Node::Assert(assertion) => self.code.push(Instruction::Assert(*assertion)),
            Node::Capture { index, node, .. } => {
                let slot = *index as usize * 2;
                self.code.push(Instruction::Save(slot));
                self.node(node);
                self.code.push(Instruction::Save(slot + 1));
            }
            Node::Concat(nodes) if self.is_counting => self.concat_counting(nodes),
            Node::Repeat { node, min, max, greed } if self.is_counting => {
                self.repeat_counting(node, (*min, *max), *greed, None);
            }
            Node::Concat(nodes) => nodes.iter().for_each(|node| self.node(node)),
            Node::Alternate(nodes) => self.alternate(nodes),
            Node::Repeat { node, min, max, greed } => self.repeat(node, *min, *max, *greed),
            Node::Atomic(node) => self.atomic(|compiler| compiler.node(node)),
            Node::Look { is_behind, is_negated, node } => self.look(*is_behind, *is_negated, node),
            Node::BackReference { index, is_case_insensitive } => self
                .code
                .push(Instruction::BackReference { index: *index as usize, is_case_insensitive: *is_case_insensitive }),
        }
    }

    fn alternate(&mut self, nodes: &[Node]) {
        // Of each branch, and of all behind it.
        let mut begins: Vec<[Option<ByteSet>; 2]> = Vec::new();
        if self.looks_ahead {
            let mut behind = Some(ByteSet::EMPTY);
            for node in nodes.iter().rev() {
                let own = begins_with(node);
                begins.push([own, behind]);
                behind = behind.zip(own).map(|(behind, own)| behind.union(own));
            }
            begins.reverse();
        }
        let mut ends = Vec::with_capacity(nodes.len());
        let mut group = self.early.group();
        for (position, node) in nodes.iter().enumerate() {
            group.branch(&mut self.early);
            if position + 1 == nodes.len() {
                self.node(node);
                break;
            }
            let split = self.reserve();
            self.node(node);
            ends.push(self.reserve());
            let second = self.code.len();
            let instruction = match begins.get(position) {
                Some(begins) => Instruction::SplitOn { first: split + 1, second, begins: Box::new(*begins) },
                None => Instruction::Split { first: split + 1, second },
            };
            self.set(split, instruction);
        }
        group.end(&mut self.early);
        let end = self.code.len();
        for jump in ends {
            self.set(jump, Instruction::Jump(end));
        }
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greed: Greed) {
        let max = max.unwrap_or(u32::MAX);
        if let Node::Set(set) = node {
            self.code.push(Instruction::SetLoop { set: Box::new(*set), min, max, greed, until: None, early: None });
        } else if self.looks_ahead && (min, max) == (0, 1) && greed == Greed::Greedy {
            let split = self.reserve();
            self.node(node);
            let second = self.code.len();
            let begins = Box::new([begins_with(node), None]);
            self.set(split, Instruction::SplitOn { first: split + 1, second, begins });
        } else if greed == Greed::Possessive {
            self.atomic(|compiler| compiler.counted(node, min, max, false));
        } else {
            self.counted(node, min, max, greed == Greed::Lazy);
        }
    }

    fn counted(&mut self, node: &Node, min: u32, max: u32, is_lazy: bool) {
        let head = self.code.len() + 1;
        self.rounds(min, max, is_lazy, |compiler| compiler.node(node));
        if self.looks_ahead
            && let Some(Instruction::Loop { begins, .. }) = self.code.get_mut(head)
        {
            *begins = begins_with(node).map(Box::new);
        }
    }

    pub(super) fn rounds(&mut self, min: u32, max: u32, is_lazy: bool, inside: impl FnOnce(&mut Self)) {
        let counter = self.counters;
        self.counters += 1;
        self.code.push(Instruction::LoopStart(counter));
        let head = self.reserve();
        inside(self);
        self.code.push(Instruction::Jump(head));
        let exit = self.code.len();
        self.set(head, Instruction::Loop { counter, min, max, is_lazy, exit, begins: None });
    }

    pub(super) fn atomic(&mut self, inside: impl FnOnce(&mut Self)) {
        let head = self.reserve();
        inside(self);
        self.code.push(Instruction::Match);
        let next = self.code.len();
        self.set(head, Instruction::Atomic { next });
    }

    fn look(&mut self, is_behind: bool, is_negated: bool, node: &Node) {
        let head = self.reserve();
        let branches = match node {
            Node::Alternate(branches) if is_behind => branches.as_slice(),
            node => std::slice::from_ref(node),
        };
        let mut alternatives = Vec::with_capacity(branches.len());
        for branch in branches {
            let back = if is_behind { branch.fixed_length().unwrap_or_default() } else { 0 };
            alternatives.push((back, self.code.len()));
            self.node(branch);
            self.code.push(Instruction::Match);
        }
        let next = self.code.len();
        self.set(head, Instruction::Look { is_negated, alternatives: alternatives.into_boxed_slice(), next });
    }
}

struct Machine<'s> {
    code: &'s [Instruction],
    haystack: &'s [u8],
    memory: &'s mut Memory,
    steps: u64,
    /// What [`Instruction::Count`] may still count from this start.
    counts: u64,
    search_start: usize,
}

impl Machine<'_> {
    /// Runs from an instruction to the next `Match`; where it ended. Frames of this run are gone afterwards, except
    /// those that undo its captures when it matched.
    fn run(&mut self, start: usize, position: usize) -> Result<Option<usize>, LimitExceeded> {
        let base = self.memory.stack.len();
        let mut at = start;
        let mut position = position;
        loop {
            self.spend()?;
            let next = match self.step(at, position)? {
                Step::Matched => {
                    self.keep_undo(base);
                    return Ok(Some(position));
                }
                Step::Go(at, position) => Some((at, position)),
                Step::Fail => self.backtrack(base)?,
            };
            match next {
                Some((to, there)) => (at, position) = (to, there),
                None => return Ok(None),
            }
        }
    }

    fn spend(&mut self) -> Result<(), LimitExceeded> {
        self.steps = self.steps.checked_sub(1).ok_or(LimitExceeded)?;
        Ok(())
    }

    fn count(&mut self) -> Result<(), LimitExceeded> {
        self.counts = self.counts.checked_sub(1).ok_or(LimitExceeded)?;
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<(), LimitExceeded> {
        if self.memory.stack.len() >= REGEX_BACKTRACK_STACK {
            return Err(LimitExceeded);
        }
        self.memory.stack.push(frame);
        Ok(())
    }

    fn step(&mut self, at: usize, position: usize) -> Result<Step, LimitExceeded> {
        let Some(instruction) = self.code.get(at) else { return Ok(Step::Matched) };
        let byte = self.haystack.get(position).copied();
        Ok(match instruction {
            Instruction::Match => Step::Matched,
            Instruction::Byte(wanted) if byte == Some(*wanted) => Step::Go(at + 1, position + 1),
            Instruction::Set(set) if byte.is_some_and(|byte| set.contains(byte)) => Step::Go(at + 1, position + 1),
            Instruction::Byte(_) | Instruction::Set(_) => Step::Fail,
            Instruction::Assert(assertion) if self.holds(*assertion, position) => Step::Go(at + 1, position),
            Instruction::Assert(_) => Step::Fail,
            Instruction::Save(slot) => {
                if let Some(place) = self.memory.slots.get_mut(*slot) {
                    let value = place.replace(position);
                    self.push(Frame::RestoreSlot { slot: *slot, value })?;
                }
                Step::Go(at + 1, position)
            }
            Instruction::Split { first, second } => {
                self.push(Frame::Retry { at: *second, position })?;
                Step::Go(*first, position)
            }
            Instruction::SplitOn { first, second, begins } => {
                match begins.each_ref().map(|set| may_begin(set.as_ref(), byte)) {
                    [true, true] => {
                        self.push(Frame::Retry { at: *second, position })?;
                        Step::Go(*first, position)
                    }
                    [true, false] => Step::Go(*first, position),
                    [false, true] => Step::Go(*second, position),
                    [false, false] => Step::Fail,
                }
            }
            Instruction::Jump(to) => Step::Go(*to, position),
            Instruction::Count => {
                self.count()?;
                Step::Go(at + 1, position)
            }
            Instruction::SetLoop { set, min, max, greed, until, early } => {
                if let Some(early) = early
                    && self.goes_over_again(*early, position)
                {
                    return Ok(Step::Fail);
                }
                return self.set_loop(at, position, set, (*min, *max), *greed, until.as_deref());
            }
            Instruction::LoopStart(counter) => {
                self.set_counter(*counter, Counter::default())?;
                Step::Go(at + 1, position)
            }
            Instruction::Loop { .. } => return self.loop_head(at, position),
            Instruction::Atomic { next } => match self.run(at + 1, position)? {
                Some(end) => Step::Go(*next, end),
                None => Step::Fail,
            },
            Instruction::Look { is_negated, alternatives, next } => {
                if self.look(alternatives, *is_negated, position)? {
                    Step::Go(*next, position)
                } else {
                    Step::Fail
                }
            }
            Instruction::BackReference { index, is_case_insensitive } => {
                match self.referred(*index, *is_case_insensitive, position) {
                    Some(end) => Step::Go(at + 1, end),
                    None => Step::Fail,
                }
            }
        })
    }

    fn set_loop(
        &mut self,
        at: usize,
        position: usize,
        set: &ByteSet,
        (min, max): (u32, u32),
        greed: Greed,
        until: Option<&ByteSet>,
    ) -> Result<Step, LimitExceeded> {
        let rest = self.haystack.get(position..).unwrap_or_default();
        let rounds = rest.iter().take(max as usize).take_while(|byte| set.contains(**byte)).count();
        self.steps = self.steps.checked_sub(rounds as u64 / 8).ok_or(LimitExceeded)?;
        if rounds < min as usize {
            return Ok(Step::Fail);
        }
        let (least, most) = (position + min as usize, position + rounds);
        self.goes_over(at, if greed == Greed::Lazy { least } else { most });
        Ok(match greed {
            Greed::Possessive => Step::Go(at + 1, most),
            Greed::Greedy => {
                let Some(most) = self.last_place(until, least, most) else { return Ok(Step::Fail) };
                if most > least {
                    self.push(Frame::GiveBack { at: at + 1, least, position: most })?;
                }
                Step::Go(at + 1, most)
            }
            Greed::Lazy => {
                if most > least {
                    self.push(Frame::TakeMore { at: at + 1, position: least, most })?;
                }
                Step::Go(at + 1, least)
            }
        })
    }

    /// Has the loop gone over this position before?
    fn goes_over_again(&mut self, early: EarlyFailure, position: usize) -> bool {
        let slots = &mut self.memory.gone_over;
        if slots.len() <= early.slot {
            slots.resize(early.slot + 1, None);
        }
        let Some(slot) = slots.get_mut(early.slot) else { return false };
        let again = slot.is_some_and(|(start, end)| position <= end && (early.is_prefix || position >= start));
        if !again && !early.is_prefix {
            *slot = Some((position, position));
        }
        again
    }

    /// Notes how far the loop at this instruction has come.
    fn goes_over(&mut self, at: usize, to: usize) {
        let Some(Instruction::SetLoop { early: Some(early), .. }) = self.code.get(at) else { return };
        if let Some(slot) = self.memory.gone_over.get_mut(early.slot) {
            *slot = Some((slot.map_or(0, |(start, _)| start), to));
        }
    }

    /// The last position of these at which a greedy loop may end.
    fn last_place(&self, until: Option<&ByteSet>, least: usize, most: usize) -> Option<usize> {
        let Some(until) = until else { return Some(most) };
        (least..=most).rev().find(|at| self.haystack.get(*at).is_some_and(|byte| until.contains(*byte)))
    }

    fn set_counter(&mut self, counter: usize, value: Counter) -> Result<(), LimitExceeded> {
        if let Some(place) = self.memory.counters.get_mut(counter) {
            let old = std::mem::replace(place, value);
            self.push(Frame::RestoreCounter { counter, value: old })?;
        }
        Ok(())
    }

    /// Begins another round of the loop at `at`.
    fn round(&mut self, at: usize, counter: usize, position: usize) -> Result<Step, LimitExceeded> {
        let rounds = self.memory.counters.get(counter).map_or(0, |counter| counter.rounds);
        self.set_counter(counter, Counter { rounds: rounds.saturating_add(1), position: Some(position) })?;
        Ok(Step::Go(at + 1, position))
    }

    fn loop_head(&mut self, at: usize, position: usize) -> Result<Step, LimitExceeded> {
        let code = self.code;
        let Some(Instruction::Loop { counter, min, max, is_lazy, exit, begins }) = code.get(at) else {
            return Ok(Step::Fail);
        };
        let (counter, min, max, is_lazy, exit) = (*counter, *min, *max, *is_lazy, *exit);
        let state = self.memory.counters.get(counter).copied().unwrap_or_default();
        if state.rounds >= min && state.position == Some(position) {
            // The last round consumed nothing: more of them would not either.
            return Ok(Step::Go(exit, position));
        }
        if !may_begin(begins.as_deref(), self.haystack.get(position).copied()) {
            return Ok(if state.rounds < min { Step::Fail } else { Step::Go(exit, position) });
        }
        if state.rounds < min {
            return self.round(at, counter, position);
        }
        if state.rounds >= max {
            return Ok(Step::Go(exit, position));
        }
        if is_lazy {
            self.push(Frame::Round { at, position })?;
            return Ok(Step::Go(exit, position));
        }
        self.push(Frame::Retry { at: exit, position })?;
        self.round(at, counter, position)
    }

    fn look(
        &mut self,
        alternatives: &[(usize, usize)],
        is_negated: bool,
        position: usize,
    ) -> Result<bool, LimitExceeded> {
        let base = self.memory.stack.len();
        for (back, code) in alternatives {
            let Some(start) = position.checked_sub(*back) else { continue };
            if self.run(*code, start)?.is_some() {
                if is_negated {
                    // What it captured does not count.
                    self.undo(base);
                }
                return Ok(!is_negated);
            }
        }
        Ok(is_negated)
    }

    fn referred(&self, index: usize, is_case_insensitive: bool, position: usize) -> Option<usize> {
        let start = self.memory.slots.get(index * 2).copied().flatten()?;
        let end = self.memory.slots.get(index * 2 + 1).copied().flatten()?;
        let text = self.haystack.get(start..end)?;
        let here = self.haystack.get(position..position.checked_add(text.len())?)?;
        let is_same = if is_case_insensitive { here.eq_ignore_ascii_case(text) } else { here == text };
        is_same.then(|| position + text.len())
    }

    fn holds(&self, assertion: Assertion, position: usize) -> bool {
        let before = position.checked_sub(1).and_then(|at| self.haystack.get(at)).copied();
        let after = self.haystack.get(position).copied();
        let is_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match assertion {
            Assertion::Start => position == 0,
            Assertion::End => after.is_none(),
            Assertion::EndOrLastNewline => {
                after.is_none() || (after == Some(b'\n') && position + 1 == self.haystack.len())
            }
            Assertion::LineStart => before.is_none() || before == Some(b'\n'),
            Assertion::LineEnd => after.is_none() || after == Some(b'\n'),
            Assertion::WordBoundary => is_word(before) != is_word(after),
            Assertion::NotWordBoundary => is_word(before) == is_word(after),
            Assertion::SearchStart => position == self.search_start,
        }
    }

    /// Back to the last alternative of this run.
    fn backtrack(&mut self, base: usize) -> Result<Option<(usize, usize)>, LimitExceeded> {
        while self.memory.stack.len() > base {
            let Some(frame) = self.memory.stack.pop() else { break };
            match frame {
                Frame::Retry { at, position } => return Ok(Some((at, position))),
                Frame::GiveBack { at, least, position } => {
                    let code = self.code;
                    let until = match at.checked_sub(1).and_then(|at| code.get(at)) {
                        Some(Instruction::SetLoop { until, .. }) => until.as_deref(),
                        _ => None,
                    };
                    let Some(position) = self.last_place(until, least, position - 1) else { continue };
                    if position > least {
                        self.memory.stack.push(Frame::GiveBack { at, least, position });
                    }
                    return Ok(Some((at, position)));
                }
                Frame::TakeMore { at, position, most } => {
                    let position = position + 1;
                    self.goes_over(at.wrapping_sub(1), position);
                    if position < most {
                        self.memory.stack.push(Frame::TakeMore { at, position, most });
                    }
                    return Ok(Some((at, position)));
                }
                Frame::Round { at, position } => {
                    if let Some(&Instruction::Loop { counter, .. }) = self.code.get(at)
                        && let Step::Go(at, position) = self.round(at, counter, position)?
                    {
                        return Ok(Some((at, position)));
                    }
                }
                Frame::RestoreSlot { slot, value } => self.restore_slot(slot, value),
                Frame::RestoreCounter { counter, value } => self.restore_counter(counter, value),
            }
        }
        Ok(None)
    }

    /// Drops the alternatives of a finished run and keeps what undoes its effects.
    fn keep_undo(&mut self, base: usize) {
        let mut kept = base;
        for index in base..self.memory.stack.len() {
            let is_undo =
                matches!(self.memory.stack.get(index), Some(Frame::RestoreSlot { .. } | Frame::RestoreCounter { .. }));
            if is_undo {
                self.memory.stack.swap(kept, index);
                kept += 1;
            }
        }
        self.memory.stack.truncate(kept);
    }

    /// Undoes everything since.
    fn undo(&mut self, base: usize) {
        while self.memory.stack.len() > base {
            match self.memory.stack.pop() {
                Some(Frame::RestoreSlot { slot, value }) => self.restore_slot(slot, value),
                Some(Frame::RestoreCounter { counter, value }) => self.restore_counter(counter, value),
                _ => {}
            }
        }
    }

    fn restore_slot(&mut self, slot: usize, value: Option<usize>) {
        if let Some(place) = self.memory.slots.get_mut(slot) {
            *place = value;
        }
    }

    fn restore_counter(&mut self, counter: usize, value: Counter) {
        if let Some(place) = self.memory.counters.get_mut(counter) {
            *place = value;
        }
    }
}

/// What every text that the node matches begins with; nothing when it may consume nothing.
fn begins_with(node: &Node) -> Option<ByteSet> {
    let (first, is_nullable) = node.first();
    (!is_nullable).then_some(first)
}

/// Can something begin here that begins with one of these?
#[inline]
fn may_begin(set: Option<&ByteSet>, byte: Option<u8>) -> bool {
    set.is_none_or(|set| byte.is_some_and(|byte| set.contains(byte)))
}

enum Step {
    Go(usize, usize),
    Matched,
    Fail,
}
