//! A bounded backtracker: the reference interpretation of the tree, and the engine of patterns that automata cannot
//! run (look-around, back-references, atomic groups that matter).
//!
//! It runs every pattern, which is what makes it the yardstick for the automata in tests and fuzzing. Repetitions are
//! counted, not unrolled, so a program is as small as its pattern. The steps of a search and the alternatives kept
//! open are bounded; running out is [`LimitExceeded`], never "no match". Recursion happens only for look-around and
//! atomic groups, whose nesting the parser bounds.

mod compiler;
mod machine;

use super::LimitExceeded;
use super::ast::{Assertion, ByteSet, Greed, Node};
use super::scanner::Openings;
pub(super) use compiler::Compiler;
use machine::Machine;

/// Positions of groups: start and end alternate, from group 0.
pub(crate) type Slots = [Option<usize>];

#[derive(Debug, Clone)]
pub(in crate::waf::regex) enum Instruction {
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
        /// End only where one of these follows, because nothing else can go on.
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
pub(in crate::waf::regex) struct EarlyFailure {
    /// In [`Memory::gone_over`].
    pub(in crate::waf::regex) slot: usize,
    /// Everything before counts too.
    pub(in crate::waf::regex) is_prefix: bool,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Backtracker {
    pub(in crate::waf::regex) code: Vec<Instruction>,
    counters: usize,
    slots: usize,
    /// Bytes a match can begin with; none when it may consume nothing.
    first: Option<ByteSet>,
    /// The first two, where they are known; looked at instead.
    openings: Option<Openings>,
    is_anchored: bool,
    pub(in crate::waf::regex) match_limit: Option<MatchLimit>,
}

/// How [`super::match_limit`] bounds a search.
#[derive(Debug, Clone)]
pub(in crate::waf::regex) struct MatchLimit {
    /// What may be counted from one start.
    pub(in crate::waf::regex) counts: u64,
    /// The last literal byte that every match has: where it does not follow, PCRE does not try.
    pub(in crate::waf::regex) required: Option<ByteSet>,
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
    pub(in crate::waf::regex) fn compile_tracer(node: &Node, groups: usize, openings: Option<Openings>) -> Self {
        let tracer = Self::build(node, groups, Compiler { looks_ahead: true, ..Compiler::default() });
        Self { openings, ..tracer }
    }

    pub(in crate::waf::regex) fn build(node: &Node, groups: usize, mut compiler: Compiler) -> Self {
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
            openings: None,
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
            let rest = haystack.get(start..).unwrap_or_default();
            if let Some(openings) = &self.openings {
                match openings.find(rest) {
                    Some(skipped) => start += skipped,
                    None => return Ok(false),
                }
            } else if let Some(first) = &self.first {
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
