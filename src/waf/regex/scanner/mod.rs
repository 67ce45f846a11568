//! Says whether a pattern matches anywhere in a value, and nothing else.
//!
//! An automaton whose states are made as a value needs them. Because only "yes" or "no" is asked, a state is the *set*
//! of places in the pattern that the value has come to, in no order, a search ends with the first match, and the
//! beginning of the pattern, which is a place at every byte, is in no set. That makes fewer states than an automaton has
//! that also tells where the match is, and each is made in fewer steps: a place stands for all that can be reached from
//! it without a byte, of which only what the next byte fits is ever looked at.
//!
//! Assertions are about the bytes before and behind a place. What was before is part of a state where it matters (its
//! [`Side`]); what is behind is known when the next byte comes, which is when they are decided.
//!
//! The [`Scanner`] is shared; [`States`] belong to a worker and are bounded: when they are too many they are forgotten
//! and the search goes on from where it is. When already one of them is too large (long counted repetitions in each
//! other do that), the pattern is simulated instead.
//!
//! Tried before: the lazy automata of `regex-automata`. At paranoia 4 half of what the dearest requests cost was the
//! making of their states.

mod exits;
mod openings;
mod places;
mod states;
mod workshop;

#[cfg(test)]
mod tests;

use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

use crate::limits::REGEX_NFA_BYTES;
use exits::Exits;
pub(super) use openings::Openings;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Scanner {
    nfa: NFA,
    /// For patterns whose states are too large: slower, but it makes none.
    simulation: PikeVM,
    /// Class of each byte: those of one class are alike to the pattern.
    classes: [u8; 256],
    /// A byte of each class; behind them stands the end of the value.
    members: Vec<u8>,
    /// Is some assertion about what stands before?
    asks_for_words: bool,
    asks_for_lines: bool,
}

/// What stands before a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Nothing: the value begins here.
    Start,
    Word,
    Newline,
    Other,
}

// A state is the place of its row in the table. What may stand there instead of one is beyond every table, so that
// looking a byte up there finds nothing.

/// Not made yet.
const UNKNOWN: u32 = u32::MAX;

/// There is a match.
const MATCH: u32 = u32::MAX - 1;

/// There is none, and the value is over.
const OVER: u32 = u32::MAX - 2;

/// The first state.
const FIRST: u32 = 0;

const fn is_state(state: u32) -> bool {
    state < OVER
}

/// More edges than this are sorted by class.
const FEW_EDGES: usize = 8;

/// A walk passes so many bytes at once, or it was not worth while.
const MANY_BYTES: usize = 16;

/// How often it may not be worth while until a search gives up trying.
const PATIENCE: u32 = 16;

/// Why a walk ended.
#[derive(Debug, Clone, Copy)]
enum Pause {
    /// This comes instead of the next state, because of this byte.
    Special(u32, u8),
    /// The state leads to itself.
    Stay,
    /// There are no more bytes.
    End,
}

/// States made so far, of one pattern for one worker.
#[derive(Debug, Default)]
pub(super) struct States {
    /// For each state the next one by class, and in the last column what comes at the value's end.
    table: Vec<u32>,
    states: Vec<Members>,
    /// Places, of which each state has a range.
    places: Vec<u32>,
    /// State number plus one by hash; open addressing, at most half full.
    index: Vec<u32>,
    /// What is known of places: by number of the automaton's state, one more than the place's own number.
    numbers: Vec<u32>,
    known: Vec<Place>,
    edges: Vec<Edge>,
    offsets: Vec<u32>,
    looks: Vec<(Look, StateID)>,
    /// By a few bits of the state.
    exits: [Option<Exits>; exits::KNOWN],
    /// A single state takes more than there is room for: making one for each byte would take for ever.
    are_too_large: bool,
}

/// The places of a state.
#[derive(Debug, Clone, Copy)]
struct Members {
    start: u32,
    end: u32,
    side: Side,
}

/// What can be reached from a place without a byte.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The automaton's state.
    id: StateID,
    /// Of the bytes of its edges: a bit for each remainder of 64 of their classes.
    classes: u64,
    edges: (u32, u32),
    /// Where in the offsets it says for each class which of the edges are its own; without, any may be.
    by_class: Option<u32>,
    looks: (u32, u32),
    /// The pattern's end.
    is_end: bool,
    /// Does it matter what stands before?
    asks_before: bool,
}

/// Classes of bytes that lead to a place.
#[derive(Debug, Clone, Copy)]
struct Edge {
    first: u8,
    last: u8,
    to: StateID,
}

/// What the making of states needs; one per worker.
#[derive(Debug, Default)]
pub(super) struct Workshop {
    /// Places that the state in the making has, by number.
    next: Vec<u32>,
    /// Assertions on the way.
    open: Vec<u32>,
    stack: Vec<StateID>,
    /// Those of a place that are to be sorted.
    edges: Vec<Edge>,
    /// By state of the automaton.
    met: Vec<Met>,
    now: u32,
    explored: u32,
    made: u32,
}

/// When a state of the automaton was last met.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    arrived: u32,
    passed: u32,
    explored: u32,
}
impl Scanner {
    /// Of a pattern; nothing when it is too large.
    pub(super) fn new(hir: &Hir) -> Option<Self> {
        let config = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(REGEX_NFA_BYTES))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
        let mut classes = [0; 256];
        let mut members: Vec<u8> = Vec::new();
        for (byte, class) in (0..=u8::MAX).zip(&mut classes) {
            *class = nfa.byte_classes().get(byte);
            if usize::from(*class) == members.len() {
                members.push(byte);
            }
        }
        let looks = nfa.look_set_any();
        let known = [Look::Start, Look::End, Look::StartLF, Look::EndLF, Look::WordAscii, Look::WordAsciiNegate];
        if looks.iter().any(|look| !known.contains(&look)) {
            return None;
        }
        let simulation = PikeVM::new_from_nfa(nfa.clone()).ok()?;
        Some(Self {
            simulation,
            asks_for_words: looks.contains(Look::WordAscii) || looks.contains(Look::WordAsciiNegate),
            asks_for_lines: looks.contains(Look::StartLF),
            nfa,
            classes,
            members,
        })
    }

    /// Bytes it holds.
    pub(super) fn memory_usage(&self) -> usize {
        self.nfa.memory_usage() + self.members.capacity()
    }

    /// With which bytes matches begin; nothing when they may be without bytes.
    pub(super) fn openings(&self) -> Option<Openings> {
        Openings::new(self)
    }

    /// Does the pattern match anywhere?
    pub(super) fn is_match(&self, states: &mut States, workshop: &mut Workshop, value: &[u8]) -> bool {
        if states.are_too_large {
            return self.simulation.is_match(&mut self.simulation.create_cache(), value);
        }
        if states.table.is_empty() {
            states.begin(self);
        }
        let mut state = FIRST;
        let mut rest = value;
        let mut patience = PATIENCE;
        loop {
            let (pause, behind) = states.run(self, &mut state, rest, patience > 0);
            rest = behind;
            let (next, byte) = match pause {
                Pause::Special(next, byte) => (next, byte),
                Pause::Stay => {
                    let passed = states.stay(self, state, rest);
                    rest = rest.get(passed..).unwrap_or_default();
                    patience = if passed < MANY_BYTES { patience - 1 } else { PATIENCE };
                    continue;
                }
                Pause::End => break,
            };
            let next = if next == UNKNOWN { states.make(self, workshop, state, Some(byte)) } else { next };
            if states.are_too_large {
                return self.is_match(states, workshop, value);
            }
            if next == MATCH {
                return true;
            }
            state = next;
        }
        let end = match states.next(state, self.class(None)) {
            UNKNOWN => states.make(self, workshop, state, None),
            end => end,
        };
        if states.are_too_large {
            return self.is_match(states, workshop, value);
        }
        end == MATCH
    }

    /// The column of a byte, or of the value's end.
    #[inline]
    fn class(&self, byte: Option<u8>) -> u32 {
        match byte {
            Some(byte) => u32::from(self.classes.get(usize::from(byte)).copied().unwrap_or_default()),
            None => self.members.len() as u32,
        }
    }

    fn edge(&self, transition: &Transition) -> Edge {
        // Classes are numbered in the order of bytes.
        let class = |byte: u8| self.classes.get(usize::from(byte)).copied().unwrap_or_default();
        Edge { first: class(transition.start), last: class(transition.end), to: transition.next }
    }

    fn width(&self) -> u32 {
        self.members.len() as u32 + 1
    }

    /// What a place behind this byte has before it.
    fn side(&self, byte: u8) -> Side {
        match byte {
            b'\n' if self.asks_for_lines => Side::Newline,
            byte if self.asks_for_words && is_word(byte) => Side::Word,
            _ => Side::Other,
        }
    }
}
/// Is the assertion true where there is this before and that behind?
fn holds(look: Look, before: Side, behind: Option<u8>) -> bool {
    let is_border = || (before == Side::Word) != behind.is_some_and(is_word);
    match look {
        Look::Start => before == Side::Start,
        Look::StartLF => matches!(before, Side::Start | Side::Newline),
        Look::End => behind.is_none(),
        Look::EndLF => matches!(behind, None | Some(b'\n')),
        Look::WordAscii => is_border(),
        Look::WordAsciiNegate => !is_border(),
        _ => false,
    }
}

/// Must what stands before be known, other than that the value begins?
const fn is_about_before(look: Look) -> bool {
    matches!(look, Look::StartLF | Look::WordAscii | Look::WordAsciiNegate)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
