//! A bounded backtracker: the reference interpretation of the tree, and the engine of patterns that automata cannot
//! run (look-around, back-references, atomic groups that matter).
//!
//! It runs every pattern, which is what makes it the yardstick for the automata in tests and fuzzing. Repetitions are
//! counted, not unrolled, so a program is as small as its pattern. The steps of a search and the alternatives kept
//! open are bounded; running out is [`LimitExceeded`], never "no match". Recursion happens only for look-around and
//! atomic groups, whose nesting the parser bounds.

use super::LimitExceeded;
use super::ast::{Assertion, ByteSet, Greed, Node};
use crate::limits::REGEX_BACKTRACK_STACK;

/// Positions of groups: start and end alternate, from group 0.
pub(crate) type Slots = [Option<usize>];

#[derive(Debug, Clone)]
enum Instruction {
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
    Jump(usize),
    /// A set repeated, the common loop, without a frame per round.
    SetLoop {
        set: Box<ByteSet>,
        min: u32,
        max: u32,
        greed: Greed,
    },
    LoopStart(usize),
    /// At the head of each round: another one (the next instruction), or on to `exit`.
    Loop {
        counter: usize,
        min: u32,
        max: u32,
        is_lazy: bool,
        exit: usize,
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

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Backtracker {
    code: Vec<Instruction>,
    counters: usize,
    slots: usize,
    /// Bytes a match can begin with; none when it may consume nothing.
    first: Option<ByteSet>,
    is_anchored: bool,
    /// As [`Backtracker::compile_like_pcre`] bounds it.
    pcre: Option<Pcre>,
}

/// What PCRE does beside matching that decides whether it reaches its match limit.
#[derive(Debug, Clone)]
struct Pcre {
    /// Calls of its matching function from one start.
    limit: u64,
    /// The last literal byte that every match has: where it does not follow, PCRE does not try.
    required: Option<ByteSet>,
}

/// What a search needs while it runs; kept by the caller.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    stack: Vec<Frame>,
    counters: Vec<Counter>,
    slots: Vec<Option<usize>>,
}

impl Memory {
    pub(crate) fn memory_usage(&self) -> usize {
        self.stack.capacity() * size_of::<Frame>()
            + self.counters.capacity() * size_of::<Counter>()
            + self.slots.capacity() * size_of::<Option<usize>>()
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
        let mut compiler = Compiler { code: Vec::new(), counters: 0 };
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
            pcre: None,
        }
    }

    /// One that gives up where PCRE 2 would with this match limit, nearly: it counts what PCRE's interpreter counts,
    /// after the two optimisations that matter for it, repetitions made possessive and required bytes.
    pub(crate) fn compile_like_pcre(node: &Node, groups: usize, limit: u64) -> Self {
        let mut own = Self::compile(node, groups);
        for at in 0..own.code.len() {
            let Some(Instruction::SetLoop { set, .. }) = own.code.get(at) else { continue };
            if own.cannot_follow(set, at + 1, FOLLOW_DEPTH)
                && let Some(Instruction::SetLoop { greed, .. }) = own.code.get_mut(at)
            {
                *greed = Greed::Possessive;
            }
        }
        own.pcre = Some(Pcre { limit, required: required(node) });
        own
    }

    /// Can nothing in the set be what the code from here begins with?
    fn cannot_follow(&self, set: &ByteSet, at: usize, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let follows = |at| self.cannot_follow(set, at, depth);
        match self.code.get(at) {
            Some(Instruction::Byte(byte)) => !set.contains(*byte),
            Some(Instruction::Set(next)) => set.is_disjoint(next),
            Some(Instruction::SetLoop { set: next, min, .. }) => set.is_disjoint(next) && (*min > 0 || follows(at + 1)),
            Some(Instruction::Split { first, second }) => follows(*first) && follows(*second),
            Some(Instruction::Jump(to)) if *to > at => follows(*to),
            Some(Instruction::Save(_) | Instruction::LoopStart(_)) => follows(at + 1),
            Some(Instruction::Loop { min, exit, .. }) => follows(at + 1) && (*min > 0 || follows(*exit)),
            Some(Instruction::Match) => at + 1 == self.code.len(),
            Some(Instruction::Assert(Assertion::End)) => true,
            _ => false,
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
        let max_calls = self.pcre.as_ref().map_or(u64::MAX, |pcre| pcre.limit);
        let mut machine = Machine { code: &self.code, haystack, memory, steps: max_steps, calls: 0, search_start };
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
            if let Some(required) = self.pcre.as_ref().and_then(|pcre| pcre.required)
                && !haystack.get(start..).unwrap_or_default().iter().any(|byte| required.contains(*byte))
            {
                return Ok(false);
            }
            machine.calls = max_calls;
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

/// Instructions looked at to see what may follow a repetition.
const FOLLOW_DEPTH: u32 = 64;

/// The last literal byte, in either case, that every match has.
fn required(node: &Node) -> Option<ByteSet> {
    match node {
        Node::Set(set) => (set.len() == 1 || ByteSet::of(set.iter().next()?).case_folded() == *set).then_some(*set),
        Node::Capture { node, .. } | Node::Atomic(node) => required(node),
        Node::Concat(nodes) => nodes.iter().rev().find_map(required),
        Node::Repeat { node, min, .. } if *min > 0 => required(node),
        Node::Alternate(nodes) => {
            let first = required(nodes.first()?)?;
            nodes.iter().all(|node| required(node) == Some(first)).then_some(first)
        }
        _ => None,
    }
}

struct Compiler {
    code: Vec<Instruction>,
    counters: usize,
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

    fn node(&mut self, node: &Node) {
        match node {
            Node::Empty => {}
            Node::Set(set) if set.len() == 1 => self.code.extend(set.iter().map(Instruction::Byte)),
            Node::Set(set) => self.code.push(Instruction::Set(Box::new(*set))),
            Node::Assert(assertion) => self.code.push(Instruction::Assert(*assertion)),
            Node::Capture { index, node, .. } => {
                let slot = *index as usize * 2;
                self.code.push(Instruction::Save(slot));
                self.node(node);
                self.code.push(Instruction::Save(slot + 1));
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
        let mut ends = Vec::with_capacity(nodes.len());
        for (position, node) in nodes.iter().enumerate() {
            if position + 1 == nodes.len() {
                self.node(node);
                break;
            }
            let split = self.reserve();
            self.node(node);
            ends.push(self.reserve());
            let second = self.code.len();
            self.set(split, Instruction::Split { first: split + 1, second });
        }
        let end = self.code.len();
        for jump in ends {
            self.set(jump, Instruction::Jump(end));
        }
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greed: Greed) {
        let max = max.unwrap_or(u32::MAX);
        if let Node::Set(set) = node {
            self.code.push(Instruction::SetLoop { set: Box::new(*set), min, max, greed });
        } else if greed == Greed::Possessive {
            self.atomic(|compiler| compiler.counted(node, min, max, false));
        } else {
            self.counted(node, min, max, greed == Greed::Lazy);
        }
    }

    fn counted(&mut self, node: &Node, min: u32, max: u32, is_lazy: bool) {
        let counter = self.counters;
        self.counters += 1;
        self.code.push(Instruction::LoopStart(counter));
        let head = self.reserve();
        self.node(node);
        self.code.push(Instruction::Jump(head));
        let exit = self.code.len();
        self.set(head, Instruction::Loop { counter, min, max, is_lazy, exit });
    }

    fn atomic(&mut self, inside: impl FnOnce(&mut Self)) {
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
    /// Calls that PCRE's matching function has left at this start.
    calls: u64,
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

    /// What PCRE counts: an attempt to match the rest of the pattern that it may come back from.
    fn call(&mut self) -> Result<(), LimitExceeded> {
        self.calls = self.calls.checked_sub(1).ok_or(LimitExceeded)?;
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
                if slot % 2 == 0 {
                    self.call()?;
                }
                if let Some(place) = self.memory.slots.get_mut(*slot) {
                    let value = place.replace(position);
                    self.push(Frame::RestoreSlot { slot: *slot, value })?;
                }
                Step::Go(at + 1, position)
            }
            Instruction::Split { first, second } => {
                self.call()?;
                self.push(Frame::Retry { at: *second, position })?;
                Step::Go(*first, position)
            }
            Instruction::Jump(to) => Step::Go(*to, position),
            Instruction::SetLoop { set, min, max, greed } => {
                return self.set_loop(at, position, set, (*min, *max), *greed);
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
    ) -> Result<Step, LimitExceeded> {
        let rest = self.haystack.get(position..).unwrap_or_default();
        let rounds = rest.iter().take(max as usize).take_while(|byte| set.contains(**byte)).count();
        self.steps = self.steps.checked_sub(rounds as u64 / 8).ok_or(LimitExceeded)?;
        if rounds < min as usize {
            return Ok(Step::Fail);
        }
        let (least, most) = (position + min as usize, position + rounds);
        Ok(match greed {
            Greed::Possessive => Step::Go(at + 1, most),
            Greed::Greedy => {
                if most > least {
                    self.call()?;
                    self.push(Frame::GiveBack { at: at + 1, least, position: most })?;
                }
                Step::Go(at + 1, most)
            }
            Greed::Lazy => {
                self.call()?;
                if most > least {
                    self.push(Frame::TakeMore { at: at + 1, position: least, most })?;
                }
                Step::Go(at + 1, least)
            }
        })
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
        let Some(&Instruction::Loop { counter, min, max, is_lazy, exit }) = self.code.get(at) else {
            return Ok(Step::Fail);
        };
        let state = self.memory.counters.get(counter).copied().unwrap_or_default();
        if state.rounds >= min && state.position == Some(position) {
            // The last round consumed nothing: more of them would not either.
            return Ok(Step::Go(exit, position));
        }
        if state.rounds < min {
            return self.round(at, counter, position);
        }
        if state.rounds >= max {
            return Ok(Step::Go(exit, position));
        }
        self.call()?;
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
            self.call()?;
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
                    let position = position - 1;
                    if position > least {
                        self.call()?;
                        self.memory.stack.push(Frame::GiveBack { at, least, position });
                    }
                    return Ok(Some((at, position)));
                }
                Frame::TakeMore { at, position, most } => {
                    self.call()?;
                    let position = position + 1;
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

enum Step {
    Go(usize, usize),
    Matched,
    Fail,
}
