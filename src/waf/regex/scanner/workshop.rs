//! What was met while a state is made.

use regex_automata::nfa::thompson::State;
use regex_automata::util::primitives::StateID;

use super::{Edge, Met, PlaceNumber, Scanner, Workshop};

impl Workshop {
    /// Bytes held.
    pub(in crate::waf::regex) fn memory_usage(&self) -> usize {
        (self.next.capacity() + self.open.capacity()) * size_of::<PlaceNumber>()
            + self.met.capacity() * size_of::<Met>()
            + self.stack.capacity() * size_of::<StateID>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.trail.memory_usage()
    }

    /// Counts whenever a state is made.
    pub(in crate::waf::regex) const fn made(&self) -> u32 {
        self.made
    }

    /// Places that were left to find out where a match begins, the last time.
    pub(in crate::waf::regex) const fn left(&self) -> usize {
        self.trail.left()
    }

    /// For another state.
    pub(super) fn begin(&mut self, scanner: &Scanner) {
        self.next.clear();
        self.open.clear();
        self.tick(scanner);
    }

    /// Forgets what was met.
    pub(super) fn tick(&mut self, scanner: &Scanner) {
        if self.met.len() < scanner.nfa.states().len() {
            self.met.resize(scanner.nfa.states().len(), Met::default());
        }
        self.now = self.now.checked_add(1).unwrap_or_else(|| {
            self.met.fill(Met::default());
            1
        });
    }

    /// Is it the first time that the state in the making has this place?
    pub(super) fn arrives(&mut self, state: u16) -> bool {
        let now = self.now;
        self.met.get_mut(usize::from(state)).is_some_and(|met| std::mem::replace(&mut met.arrived, now) != now)
    }

    /// Is it the first time that an assertion leads here?
    pub(super) fn passes(&mut self, state: u16) -> bool {
        let now = self.now;
        self.met.get_mut(usize::from(state)).is_some_and(|met| std::mem::replace(&mut met.passed, now) != now)
    }

    /// Shows every state of the automaton that can be reached without a byte and without an assertion.
    pub(super) fn explore(&mut self, from: StateID, scanner: &Scanner, mut found: impl FnMut(&State)) {
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
