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
//! and the search goes on from where it is.
//!
//! Tried before: the lazy automata of `regex-automata`. At paranoia 4 half of what the dearest requests cost was the
//! making of their states.

use regex_automata::nfa::thompson::{self, NFA, State, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;

use crate::limits::{REGEX_NFA_BYTES, REGEX_STATES_BYTES};

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Scanner {
    nfa: NFA,
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
        Some(Self {
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

    /// Does the pattern match anywhere?
    pub(super) fn is_match(&self, states: &mut States, workshop: &mut Workshop, value: &[u8]) -> bool {
        if states.table.is_empty() {
            states.begin(self);
        }
        let mut state = FIRST;
        let mut rest = value;
        loop {
            let (special, behind) = states.run(self, &mut state, rest);
            rest = behind;
            let Some((next, byte)) = special else { break };
            let next = if next == UNKNOWN { states.make(self, workshop, state, Some(byte)) } else { next };
            if next == MATCH {
                return true;
            }
            state = next;
        }
        let end = match states.next(state, self.class(None)) {
            UNKNOWN => states.make(self, workshop, state, None),
            end => end,
        };
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

impl States {
    /// Bytes held.
    pub(super) fn memory_usage(&self) -> usize {
        self.table.capacity() * size_of::<u32>()
            + self.states.capacity() * size_of::<Members>()
            + (self.places.capacity() + self.index.capacity() + self.numbers.capacity()) * size_of::<u32>()
            + self.offsets.capacity() * size_of::<u32>()
            + self.known.capacity() * size_of::<Place>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.looks.capacity() * size_of::<(Look, StateID)>()
    }

    /// Goes from state to state as long as they are made; what comes instead of the next one, with the byte that leads
    /// there, and the bytes behind.
    #[inline]
    fn run<'v>(&self, scanner: &Scanner, state: &mut u32, value: &'v [u8]) -> (Option<(u32, u8)>, &'v [u8]) {
        let table = self.table.as_slice();
        let step = |state: u32, byte: u8| {
            let class = scanner.classes.get(usize::from(byte)).copied().unwrap_or_default();
            table.get(state as usize + usize::from(class)).copied()
        };
        let mut rest = value;
        // What comes instead of a state is met when the byte behind is looked up.
        while let Some(([one, two, three, four], behind)) = rest.split_first_chunk() {
            let Some(first) = step(*state, *one) else { break };
            let Some(second) = step(first, *two) else { break };
            let Some(third) = step(second, *three) else {
                *state = first;
                rest = rest.get(1..).unwrap_or_default();
                break;
            };
            let Some(fourth) = step(third, *four).filter(|fourth| is_state(*fourth)) else {
                *state = second;
                rest = rest.get(2..).unwrap_or_default();
                break;
            };
            *state = fourth;
            rest = behind;
        }
        while let Some((byte, behind)) = rest.split_first() {
            let next = step(*state, *byte).unwrap_or(UNKNOWN);
            rest = behind;
            if !is_state(next) {
                return (Some((next, *byte)), rest);
            }
            *state = next;
        }
        (None, rest)
    }

    #[inline]
    fn next(&self, state: u32, class: u32) -> u32 {
        self.table.get((state + class) as usize).copied().unwrap_or(UNKNOWN)
    }

    /// Makes the first state: nothing before, and no place but the pattern's beginning.
    fn begin(&mut self, scanner: &Scanner) {
        *self = Self::default();
        self.state(scanner, Side::Start, &[]);
    }

    /// The state with these places, which are in order.
    fn state(&mut self, scanner: &Scanner, side: Side, places: &[u32]) -> u32 {
        let width = scanner.width();
        if self.index.len() <= self.states.len() * 2 {
            self.index = vec![0; (self.index.len() * 2).max(32)];
            for number in 0..self.states.len() {
                let Some(Members { start, end, side }) = self.states.get(number).copied() else { continue };
                let hash = hash(side, self.places.get(start as usize..end as usize).unwrap_or_default());
                self.put(hash, number as u32 + 1);
            }
        }
        let hash = hash(side, places);
        let mask = self.index.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while let Some(number) = self.index.get(slot).and_then(|number| number.checked_sub(1)) {
            if self.states.get(number as usize).is_some_and(|own| {
                own.side == side && self.places.get(own.start as usize..own.end as usize) == Some(places)
            }) {
                return number * width;
            }
            slot = (slot + 1) & mask;
        }
        let number = self.states.len() as u32;
        let start = self.places.len() as u32;
        self.places.extend_from_slice(places);
        self.states.push(Members { start, end: self.places.len() as u32, side });
        self.table.resize(self.table.len() + width as usize, UNKNOWN);
        self.put(hash, number + 1);
        number * width
    }

    fn put(&mut self, hash: u32, number: u32) {
        let mask = self.index.len().wrapping_sub(1);
        let mut slot = hash as usize & mask;
        while self.index.get(slot).is_some_and(|number| *number != 0) {
            slot = (slot + 1) & mask;
        }
        if let Some(slot) = self.index.get_mut(slot) {
            *slot = number;
        }
    }

    /// What comes after a state with this byte, or at the end of the value.
    #[cold]
    #[inline(never)]
    fn make(&mut self, scanner: &Scanner, workshop: &mut Workshop, state: u32, byte: Option<u8>) -> u32 {
        workshop.made = workshop.made.wrapping_add(1);
        let mut state = state;
        if self.memory_usage() > REGEX_STATES_BYTES {
            // All are forgotten but this one.
            let members = self.members(scanner, state);
            let ids = self.places.get(members.start as usize..members.end as usize).unwrap_or_default();
            let ids: Vec<StateID> = ids.iter().filter_map(|place| Some(self.known.get(*place as usize)?.id)).collect();
            self.begin(scanner);
            let mut places: Vec<u32> = ids.iter().map(|id| self.place(scanner, workshop, *id)).collect();
            places.sort_unstable();
            state = self.state(scanner, members.side, &places);
        }
        self.advance(scanner, workshop, state, byte)
    }

    fn advance(&mut self, scanner: &Scanner, workshop: &mut Workshop, state: u32, byte: Option<u8>) -> u32 {
        let members = self.members(scanner, state);
        // The pattern may begin here as it may anywhere, which the state without places knows.
        let begun = if members.start == members.end {
            None
        } else {
            let root = self.state(scanner, members.side, &[]);
            match self.next(root, scanner.class(byte)) {
                UNKNOWN => Some(self.advance(scanner, workshop, root, byte)),
                next => Some(next),
            }
        };
        let next = if begun != Some(MATCH) && !self.step(scanner, workshop, members, byte, begun) {
            byte.map_or(OVER, |byte| self.of_workshop(scanner, workshop, byte))
        } else {
            MATCH
        };
        if let Some(slot) = self.table.get_mut((state + scanner.class(byte)) as usize) {
            *slot = next;
        }
        next
    }

    fn members(&self, scanner: &Scanner, state: u32) -> Members {
        let nothing = Members { start: 0, end: 0, side: Side::Other };
        self.states.get((state / scanner.width()) as usize).copied().unwrap_or(nothing)
    }

    /// Collects the places that come next, where those of `begun` come anyway; is there a match?
    fn step(
        &mut self,
        scanner: &Scanner,
        workshop: &mut Workshop,
        members: Members,
        byte: Option<u8>,
        begun: Option<u32>,
    ) -> bool {
        workshop.begin(scanner);
        let Some(begun) = begun else {
            let start = self.place(scanner, workshop, scanner.nfa.start_anchored());
            return self.leave(scanner, workshop, start, members.side, byte);
        };
        if is_state(begun) {
            let begun = self.members(scanner, begun);
            for place in self.places.get(begun.start as usize..begun.end as usize).unwrap_or_default() {
                if let Some(known) = self.known.get(*place as usize)
                    && workshop.arrives(known.id)
                {
                    workshop.next.push(*place);
                }
            }
        }
        for at in members.start..members.end {
            let Some(place) = self.places.get(at as usize).copied() else { break };
            if self.leave(scanner, workshop, place, members.side, byte) {
                return true;
            }
        }
        false
    }

    /// Collects the places that come after one; is there a match?
    fn leave(&mut self, scanner: &Scanner, workshop: &mut Workshop, place: u32, side: Side, byte: Option<u8>) -> bool {
        workshop.open.push(place);
        while let Some(place) = workshop.open.pop() {
            let Some(known) = self.known.get(place as usize).copied() else { continue };
            if known.is_end {
                workshop.open.clear();
                return true;
            }
            for at in known.looks.0..known.looks.1 {
                let Some((look, to)) = self.looks.get(at as usize).copied() else { break };
                if holds(look, side, byte) && workshop.passes(to) {
                    let place = self.place(scanner, workshop, to);
                    workshop.open.push(place);
                }
            }
            let class = scanner.class(byte);
            if byte.is_none() || known.classes >> (class & 63) & 1 == 0 {
                continue;
            }
            let (start, end) = known.edges;
            let range = match known.by_class {
                None => start..end,
                Some(offsets) => {
                    let offset = |class: u32| self.offsets.get((offsets + class) as usize).copied().unwrap_or(end);
                    offset(class)..offset(class + 1)
                }
            };
            for at in range {
                let Some(edge) = self.edges.get(at as usize).copied() else { break };
                if u32::from(edge.first) <= class && class <= u32::from(edge.last) && workshop.arrives(edge.to) {
                    let next = self.place(scanner, workshop, edge.to);
                    if self.known.get(next as usize).is_some_and(|place| place.is_end) {
                        workshop.open.clear();
                        return true;
                    }
                    workshop.next.push(next);
                }
            }
        }
        false
    }

    /// The state with the places in the workshop, behind this byte.
    fn of_workshop(&mut self, scanner: &Scanner, workshop: &mut Workshop, byte: u8) -> u32 {
        let start = self.place(scanner, workshop, scanner.nfa.start_anchored());
        let asks = |place: &u32| self.known.get(*place as usize).is_some_and(|place| place.asks_before);
        let side = if asks(&start) || workshop.next.iter().any(asks) { scanner.side(byte) } else { Side::Other };
        workshop.next.sort_unstable();
        self.state(scanner, side, &workshop.next)
    }

    /// The number of a place.
    fn place(&mut self, scanner: &Scanner, workshop: &mut Workshop, id: StateID) -> u32 {
        match self.numbers.get(id.as_usize()).and_then(|number| number.checked_sub(1)) {
            Some(number) => number,
            None => self.explore(scanner, workshop, id),
        }
    }

    /// Finds out what can be reached from a place.
    fn explore(&mut self, scanner: &Scanner, workshop: &mut Workshop, id: StateID) -> u32 {
        let (edges, looks) = (self.edges.len(), self.looks.len());
        let mut is_end = false;
        workshop.explore(id, scanner, |state| match state {
            State::Match { .. } => is_end = true,
            State::Look { look, next } => self.looks.push((*look, *next)),
            State::ByteRange { trans } => self.edges.push(scanner.edge(trans)),
            State::Sparse(sparse) => self.edges.extend(sparse.transitions.iter().map(|trans| scanner.edge(trans))),
            State::Dense(dense) => {
                let to = |byte| Some(Transition { start: byte, end: byte, next: dense.matches_byte(byte)? });
                self.edges.extend((0..=u8::MAX).filter_map(to).map(|trans| scanner.edge(&trans)));
            }
            _ => {}
        });
        let mut asks_before = false;
        if scanner.asks_for_words || scanner.asks_for_lines {
            let mut ahead: Vec<StateID> = Vec::new();
            for at in looks.. {
                let Some((look, to)) = self.looks.get(at).copied() else { break };
                asks_before |= is_about_before(look);
                ahead.push(to);
            }
            // An assertion behind one that looks ahead.
            let mut passed: Vec<StateID> = Vec::new();
            while let Some(to) = ahead.pop().filter(|_| !asks_before) {
                if passed.contains(&to) {
                    continue;
                }
                passed.push(to);
                workshop.explore(to, scanner, |state| {
                    if let State::Look { look, next } = state {
                        asks_before |= is_about_before(*look);
                        ahead.push(*next);
                    }
                });
            }
        }
        let mut classes = 0;
        for edge in self.edges.iter().skip(edges) {
            let count = u32::from(edge.last - edge.first) + 1;
            let bits = 1_u64.checked_shl(count).map_or(u64::MAX, |bit| bit - 1);
            classes |= bits.rotate_left(u32::from(edge.first));
        }
        let by_class = (self.edges.len() - edges > FEW_EDGES).then(|| self.sort_by_class(scanner, workshop, edges));
        let number = self.known.len() as u32;
        self.known.push(Place {
            id,
            classes,
            edges: (edges as u32, self.edges.len() as u32),
            by_class,
            looks: (looks as u32, self.looks.len() as u32),
            is_end,
            asks_before,
        });
        if self.numbers.is_empty() {
            self.numbers.resize(scanner.nfa.states().len(), 0);
        }
        if let Some(slot) = self.numbers.get_mut(id.as_usize()) {
            *slot = number + 1;
        }
        number
    }

    /// Puts the edges from this one on in the order of their classes, one for each class; where those of each begin is in
    /// the offsets from the number that is returned.
    fn sort_by_class(&mut self, scanner: &Scanner, workshop: &mut Workshop, start: usize) -> u32 {
        let found = &mut workshop.edges;
        found.clear();
        found.extend(self.edges.drain(start..));
        // How many there are of each class, then where the next of each goes.
        let offsets = self.offsets.len();
        self.offsets.resize(offsets + scanner.members.len() + 1, 0);
        let own = self.offsets.get_mut(offsets..).unwrap_or_default();
        for class in found.iter().flat_map(|edge| edge.first..=edge.last) {
            if let Some(count) = own.get_mut(usize::from(class)) {
                *count += 1;
            }
        }
        let mut end = start as u32;
        for place in own.iter_mut() {
            (*place, end) = (end, end + *place);
        }
        let nowhere = Edge { first: 0, last: u8::MAX, to: StateID::ZERO };
        self.edges.resize(end as usize, nowhere);
        for edge in found.iter() {
            for class in edge.first..=edge.last {
                if let Some(place) = own.get_mut(usize::from(class)) {
                    if let Some(slot) = self.edges.get_mut(*place as usize) {
                        slot.to = edge.to;
                    }
                    *place += 1;
                }
            }
        }
        // Now each says where those of the next one begin.
        own.rotate_right(1);
        if let Some(first) = own.first_mut() {
            *first = start as u32;
        }
        offsets as u32
    }
}

impl Workshop {
    /// Bytes held.
    pub(super) fn memory_usage(&self) -> usize {
        (self.next.capacity() + self.open.capacity() + self.met.capacity() * 3) * size_of::<u32>()
            + self.stack.capacity() * size_of::<StateID>()
            + self.edges.capacity() * size_of::<Edge>()
    }

    /// Counts whenever a state is made.
    pub(super) const fn made(&self) -> u32 {
        self.made
    }

    /// For another state.
    fn begin(&mut self, scanner: &Scanner) {
        self.next.clear();
        self.open.clear();
        self.tick(scanner);
    }

    /// Forgets what was met.
    fn tick(&mut self, scanner: &Scanner) {
        if self.met.len() < scanner.nfa.states().len() {
            self.met.resize(scanner.nfa.states().len(), Met::default());
        }
        self.now = self.now.checked_add(1).unwrap_or_else(|| {
            self.met.fill(Met::default());
            1
        });
    }

    /// Is it the first time that the state in the making has this place?
    fn arrives(&mut self, id: StateID) -> bool {
        let now = self.now;
        self.met.get_mut(id.as_usize()).is_some_and(|met| std::mem::replace(&mut met.arrived, now) != now)
    }

    /// Is it the first time that an assertion leads here?
    fn passes(&mut self, id: StateID) -> bool {
        let now = self.now;
        self.met.get_mut(id.as_usize()).is_some_and(|met| std::mem::replace(&mut met.passed, now) != now)
    }

    /// Shows every state of the automaton that can be reached without a byte and without an assertion.
    fn explore(&mut self, from: StateID, scanner: &Scanner, mut found: impl FnMut(&State)) {
        if self.met.len() < scanner.nfa.states().len() {
            self.met.resize(scanner.nfa.states().len(), Met::default());
        }
        self.explored = self.explored.checked_add(1).unwrap_or_else(|| {
            self.met.fill(Met::default());
            1
        });
        self.stack.push(from);
        while let Some(id) = self.stack.pop() {
            let explored = self.explored;
            let is_new = self
                .met
                .get_mut(id.as_usize())
                .is_some_and(|met| std::mem::replace(&mut met.explored, explored) != explored);
            if !is_new {
                continue;
            }
            let state = scanner.nfa.state(id);
            match state {
                State::Union { alternates } => self.stack.extend(alternates.iter().copied()),
                State::BinaryUnion { alt1, alt2 } => self.stack.extend([*alt1, *alt2]),
                State::Capture { next, .. } => self.stack.push(*next),
                state => found(state),
            }
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

fn hash(side: Side, places: &[u32]) -> u32 {
    let mix = |state: u64, place: &u32| (state.rotate_left(23) ^ u64::from(*place)).wrapping_mul(SPREAD);
    (places.iter().fold(side as u64 + 1, mix).wrapping_mul(SPREAD) >> 32) as u32
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::super::{Captures, Regex, RegexCache, RegexOptions};
    use super::*;

    /// Numbers that look random.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % bound
        }

        fn pattern(&mut self, depth: usize) -> String {
            let atoms = [
                "a", "b", "B", "c", "_", " ", r"\n", ".", "[ab]", "[^a]", r"\w", r"\W", r"\s", "^", "$", r"\b", r"\B",
                "ab", "(?m:^)", "(?m:$)", r"\z", r"\A", "",
            ];
            match if depth == 0 { 0 } else { self.below(7) } {
                0 | 1 => atoms[self.below(atoms.len())].to_owned(),
                2 | 3 => (0..1 + self.below(4)).map(|_| self.pattern(depth - 1)).collect(),
                4 => format!("({}|{})", self.pattern(depth - 1), self.pattern(depth - 1)),
                5 => {
                    let many = ["*", "+", "?", "{2}", "{1,3}", "*?", "{0,2}?"][self.below(7)];
                    format!("(?:{}){many}", self.pattern(depth - 1))
                }
                _ => format!("(?i:{})", self.pattern(depth - 1)),
            }
        }

        fn value(&mut self) -> Vec<u8> {
            (0..self.below(14)).map(|_| b"aabbABc_ \n\xe9"[self.below(11)]).collect()
        }
    }

    #[test]
    fn automata_and_groups_are_those_of_the_reference() {
        let mut draw = Draw(88_172_645_463_325_252);
        let mut cache = RegexCache::new();
        let (mut groups, mut expected_groups) = (Captures::new(), Captures::new());
        let mut counts = [0, 0];
        for _ in 0..1500 {
            let pattern = draw.pattern(4);
            let options = RegexOptions { backtrack_steps: 20_000, ..RegexOptions::default() };
            let Ok(regex) = Regex::compile(pattern.as_bytes(), options) else { continue };
            let reference = RegexOptions { is_reference: true, ..options };
            let reference = Regex::compile(pattern.as_bytes(), reference).unwrap();
            for _ in 0..12 {
                let value = draw.value();
                let Ok(expected) = reference.is_match(&mut cache, &value) else { continue };
                let found = regex.is_match(&mut cache, &value);
                assert_eq!(found, Ok(expected), "/{pattern}/ on \"{}\"", value.escape_ascii());
                counts[usize::from(expected)] += 1;
                // And the backtracker that looks ahead finds the groups of the one that does not.
                if reference.captures(&mut cache, &value, &mut expected_groups) == Ok(true) {
                    assert_eq!(regex.captures(&mut cache, &value, &mut groups), Ok(true));
                    let spans = |groups: &Captures| -> Vec<_> { (0..groups.len()).map(|at| groups.span(at)).collect() };
                    assert_eq!(spans(&groups), spans(&expected_groups), "/{pattern}/ on \"{}\"", value.escape_ascii());
                }
            }
        }
        assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
    }

    #[test]
    fn states_are_bounded_and_forgotten_in_the_middle_of_a_value() {
        let regex = Regex::compile(br"\ba[ab]*a[ab]{16}c", RegexOptions::default()).unwrap();
        let scanner = regex.inner.scanner.as_ref().unwrap();
        let mut draw = Draw(5);
        let (mut states, mut workshop) = (States::default(), Workshop::default());
        let mut most = 0;
        let mut times = 0;
        for _ in 0..40 {
            let mut value: Vec<u8> = (0..3000).map(|_| b"ab"[draw.below(2)]).collect();
            value[0] = b'a';
            assert!(!scanner.is_match(&mut states, &mut workshop, &value));
            let length = value.len();
            value[length - 17] = b'a';
            value.push(b'c');
            assert!(scanner.is_match(&mut states, &mut workshop, &value));
            value[length - 17] = b'b';
            assert!(!scanner.is_match(&mut states, &mut workshop, &value));
            times += usize::from(states.memory_usage() < most);
            most = most.max(states.memory_usage());
        }
        assert!(times > 0 && most < 2 * REGEX_STATES_BYTES, "{times} {most}");
    }
}
