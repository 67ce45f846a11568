//! Says whether a pattern matches anywhere in a value, and when asked again where the leftmost match begins.
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

mod beginnings;
mod exits;
mod lanes;
mod leftmost;
mod openings;
mod places;
mod rows;
mod states;
mod workshop;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

use crate::limits::REGEX_NFA_BYTES;
use crate::waf::number_index::NumberIndex;
use beginnings::{Ahead, Beginnings};
use exits::Exits;
use leftmost::Trail;
pub(super) use openings::Openings;
use rows::{Rows, has_row};

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Scanner {
    nfa: NFA,
    /// For patterns whose states are too large, or whose places are too many: slower, but it makes none.
    simulation: PikeVM,
    has_too_many_places: bool,
    /// Class of each byte: those of one class are alike to the pattern.
    classes: [u8; 256],
    /// A byte of each class; behind them stands the end of the value.
    members: Vec<u8>,
    /// Is some assertion about what stands before?
    asks_for_words: bool,
    asks_for_lines: bool,
    /// Where matches may begin, as soon as values are long enough; nothing when that does not help.
    beginnings: OnceLock<Option<Box<Beginnings>>>,
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

/// The place of a state's row in the table, in units of [`UNIT`], or the state's among those with few ways ([`rows`]). That
/// and what may stand there instead of a state is beyond every table, so that looking a byte up there finds nothing.
///
/// Tables are much of what a worker keeps of patterns, so two bytes have to do; the rows are as long as it takes for that.
type StateRow = u16;

/// Rows begin at multiples of this.
const UNIT: usize = 8;

/// Not made yet.
const UNKNOWN: StateRow = StateRow::MAX;

/// There is a match.
const MATCH: StateRow = StateRow::MAX - 1;

/// There is none, and the value is over.
const OVER: StateRow = StateRow::MAX - 2;

/// The first state.
const FIRST: StateRow = 0;

const fn is_state(state: StateRow) -> bool {
    state < OVER
}

/// More edges than this are sorted by class.
const FEW_EDGES: usize = 8;

/// A walk passes so many bytes at once, or it was not worth while.
const MANY_BYTES: usize = 16;

/// How often it may not be worth while until a search gives up trying.
const PATIENCE: u32 = 16;

/// Shorter values are walked over byte by byte.
const LONG: usize = if cfg!(any(test, fuzzing)) { 16 } else { 64 };

/// Nor to find out what they are for fewer bytes than this.
const MUCH: u32 = if cfg!(any(test, fuzzing)) { 64 } else { 4096 };

/// What looking for the next beginning costs, in bytes walked over, and how much more than what was saved it may cost
/// until a search gives it up.
const LOOKING: i32 = 12;
const CREDIT: i32 = 128;

/// After so many bytes a walk looks how many of them it has passed without looking at each.
const PROBE: usize = 128;

/// The states that a walk had come to are not known any more.
#[derive(Debug)]
struct Forgotten;

/// Why a walk ended.
#[derive(Debug, Clone, Copy)]
enum Pause {
    /// This comes instead of the next state, because of this byte.
    Special(StateRow, u8),
    /// The state leads to itself.
    Stay,
    /// No place of the pattern is left but its beginning.
    Rest,
    /// There are no more bytes.
    End,
}

/// States made so far, of one pattern for one worker.
#[derive(Debug, Default)]
pub(super) struct States {
    rows: Rows,
    /// By number.
    states: Vec<Members>,
    /// Places, of which each state has a range.
    places: Vec<PlaceNumber>,
    /// Their numbers by side and places.
    index: NumberIndex,
    /// What is known of places: by number of the automaton's state, one more than the place's own number.
    numbers: Vec<u16>,
    known: Vec<Place>,
    /// Of places with few edges, these.
    edges: Vec<Edge>,
    /// Of the others, where their edges lead, in the order of classes; and where those of each class begin.
    targets: Vec<u16>,
    offsets: Vec<u16>,
    looks: Vec<(Look, u16)>,
    /// By a few bits of the state.
    exits: [Option<Exits>; exits::KNOWN],
    /// States from here on have places: those before stand for the beginning alone.
    resting: StateRow,
    /// Bytes walked over, as far as it matters.
    walked: u32,
    /// How often all was forgotten.
    times: u32,
    /// A single state takes more than there is room for: making one for each byte would take for ever.
    are_too_large: bool,
}

/// The places of a state.
#[derive(Debug, Clone, Copy)]
struct Members {
    start: u32,
    end: u32,
    side: Side,
    /// Does no match begin behind it?
    is_closed: bool,
    state: StateRow,
}

/// Number of a place, in the order in which they were met.
type PlaceNumber = u16;

/// What can be reached from a place without a byte.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Of the bytes of its edges: a bit for each remainder of 64 of their classes.
    classes: u64,
    /// Where in `edges` its own are; or where its `targets` begin, and the offsets of their classes.
    edges: (u32, u32),
    /// Where in `looks` its own begin, and how many there are.
    looks: (u32, u16),
    /// The automaton's state.
    id: u16,
    has_targets: bool,
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
    /// The automaton's state.
    to: u16,
}

const _: () = assert!(size_of::<Place>() == 32 && size_of::<Edge>() == 4, "a worker keeps many");

/// States of an automaton that can be told apart here, with one number to spare. The pattern of one that has more is
/// simulated.
const MOST_STATES: usize = u16::MAX as usize;

/// The automaton's state of this number.
const fn state_id(number: u16) -> StateID {
    StateID::new_unchecked(number as usize)
}

/// The number of an automaton's state, if there are no more than [`MOST_STATES`].
const fn number_of(id: StateID) -> u16 {
    id.as_u32() as u16
}

/// What the making of states needs; one per worker.
#[derive(Debug, Default)]
pub(super) struct Workshop {
    /// Places that the state in the making has, by number.
    next: Vec<PlaceNumber>,
    /// Assertions on the way.
    open: Vec<PlaceNumber>,
    stack: Vec<StateID>,
    /// Those of a place in the making.
    edges: Vec<Edge>,
    trail: Trail,
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
            has_too_many_places: nfa.states().len() > MOST_STATES,
            asks_for_words: looks.contains(Look::WordAscii) || looks.contains(Look::WordAsciiNegate),
            asks_for_lines: looks.contains(Look::StartLF),
            nfa,
            classes,
            members,
            beginnings: OnceLock::new(),
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
    #[cfg(test)]
    fn is_match(&self, states: &mut States, workshop: &mut Workshop, value: &[u8]) -> bool {
        self.find(states, workshop, value).is_some()
    }

    /// If the pattern matches anywhere: no match begins before the place given.
    ///
    /// Why that is true of the place that a walk went on from when no place of the pattern was left: what had begun before
    /// had come to nothing by then. Had it come to a match, that would have been the end of the walk.
    #[inline]
    pub(super) fn find(&self, states: &mut States, workshop: &mut Workshop, value: &[u8]) -> Option<usize> {
        if states.are_too_large || self.has_too_many_places {
            return self.simulation.is_match(&mut self.simulation.create_cache(), value).then_some(0);
        }
        if states.rows.is_empty() {
            states.begin(self);
        }
        let found = if value.len() < LONG {
            self.walk(states, workshop, value).map(|is_match| is_match.then_some(0))
        } else {
            let found = self.walk_far(states, workshop, value, value.len() >= lanes::LONG);
            found.or_else(|Forgotten| self.walk_far(states, workshop, value, false))
        };
        // What is forgotten even so is not made again, as it is too large.
        found.unwrap_or_else(|Forgotten| self.find(states, workshop, value))
    }

    /// Walks over the value byte by byte.
    #[inline]
    fn walk(&self, states: &mut States, workshop: &mut Workshop, value: &[u8]) -> Result<bool, Forgotten> {
        let mut state = FIRST;
        let mut rest = value;
        loop {
            let (pause, behind) = states.run(self, &mut state, rest, false, false);
            rest = behind;
            let Pause::Special(next, byte) = pause else { break };
            if self.enter(states, workshop, &mut state, next, byte)? {
                return Ok(true);
            }
        }
        self.is_match_at_end(states, workshop, state)
    }

    /// Walks over a long value, past what need not be looked at, and if `lanes` says so in lanes where every byte must be;
    /// gives what [`Self::find`] does.
    fn walk_far(
        &self,
        states: &mut States,
        workshop: &mut Workshop,
        value: &[u8],
        lanes: bool,
    ) -> Result<Option<usize>, Forgotten> {
        let mut state = FIRST;
        let mut patience = PATIENCE;
        // Where no place of the pattern was left.
        let mut begin = 0;
        let mut ahead = self.beginnings(states, value).map(|beginnings| Ahead::new(beginnings, value));
        let mut credit = CREDIT;
        // Where the walk is, what it has passed without looking at each byte, and where it looks how much that was.
        let (mut at, mut passed) = (0, 0);
        let mut end = if lanes { PROBE } else { value.len() };
        loop {
            let stretch = value.get(at..end).unwrap_or_default();
            let (pause, behind) = states.run(self, &mut state, stretch, patience > 0, ahead.is_some());
            at = end - behind.len();
            let (next, byte) = match pause {
                Pause::Special(next, byte) => (next, byte),
                Pause::Stay => {
                    let length = states.stay(self, state, value.get(at..).unwrap_or_default());
                    patience = if length < MANY_BYTES { patience - 1 } else { PATIENCE };
                    (at, passed) = (at + length, passed + length);
                    end = end.max(at);
                    continue;
                }
                Pause::Rest => {
                    let Some(looking) = &mut ahead else { continue };
                    let next = looking.next(at);
                    begin = next;
                    if next != at {
                        state = self.resting(value.get(next - 1).map_or(Side::Start, |byte| self.side(*byte)));
                    }
                    let length = next - at;
                    credit = (credit + length as i32 - LOOKING).min(CREDIT);
                    if credit < 0 {
                        ahead = None;
                    }
                    (at, passed) = (next, passed + length);
                    end = end.max(at);
                    continue;
                }
                Pause::End if at == value.len() => break,
                Pause::End => {
                    if passed < PROBE / 2 && value.len() - at >= lanes::LONG {
                        end = value.len().min(at + lanes::STRETCH);
                        let stretch = value.get(at..end).unwrap_or_default();
                        if self.walk_in_lanes(states, workshop, &mut state, stretch)? {
                            return Ok(Some(begin));
                        }
                        at = end;
                    }
                    passed = 0;
                    end = value.len().min(at + PROBE);
                    continue;
                }
            };
            if self.enter(states, workshop, &mut state, next, byte)? {
                return Ok(Some(begin));
            }
        }
        Ok(self.is_match_at_end(states, workshop, state)?.then_some(begin))
    }

    /// Goes on to what comes instead of a state, which is made if it can be; is there a match?
    #[inline]
    fn enter(
        &self,
        states: &mut States,
        workshop: &mut Workshop,
        state: &mut StateRow,
        next: StateRow,
        byte: u8,
    ) -> Result<bool, Forgotten> {
        let next = if next == UNKNOWN { states.make(self, workshop, *state, Some(byte)) } else { next };
        *state = next;
        if states.are_too_large { Err(Forgotten) } else { Ok(next == MATCH) }
    }

    /// Does a walk that ended in this state end in a match?
    #[inline]
    fn is_match_at_end(
        &self,
        states: &mut States,
        workshop: &mut Workshop,
        state: StateRow,
    ) -> Result<bool, Forgotten> {
        let end = match states.rows.follow(state, self.class(None)) {
            UNKNOWN => states.make(self, workshop, state, None),
            end => end,
        };
        if states.are_too_large { Err(Forgotten) } else { Ok(end == MATCH) }
    }

    /// Where matches may begin, if it is worth while to ask.
    fn beginnings(&self, states: &mut States, value: &[u8]) -> Option<&Beginnings> {
        if self.beginnings.get().is_none() {
            states.walked = states.walked.saturating_add(value.len() as u32);
            if states.walked < MUCH {
                return None;
            }
        }
        self.beginnings.get_or_init(|| Beginnings::new(self).map(Box::new)).as_deref()
    }

    /// What may stand before a place, by the numbers of the states without places.
    fn sides(&self) -> impl Iterator<Item = Side> {
        let asked = [
            (true, Side::Start),
            (true, Side::Other),
            (self.asks_for_words, Side::Word),
            (self.asks_for_lines, Side::Newline),
        ];
        asked.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, side)| side)
    }

    /// The state without places behind this.
    fn resting(&self, side: Side) -> StateRow {
        self.row(self.sides().position(|other| other == side).unwrap_or_default())
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
        Edge { first: class(transition.start), last: class(transition.end), to: number_of(transition.next) }
    }

    /// Entries of a row, whole units.
    fn width(&self) -> usize {
        (self.members.len() + 1).next_multiple_of(UNIT)
    }

    /// Where the row of this number is.
    fn row(&self, number: usize) -> StateRow {
        (number * (self.width() / UNIT)) as StateRow
    }

    /// The number of the row of a state that has one.
    fn row_number(&self, state: StateRow) -> usize {
        usize::from(state) / (self.width() / UNIT)
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
