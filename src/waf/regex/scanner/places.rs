//! What can be reached from a place of the pattern.

use regex_automata::nfa::thompson::{State, Transition};
use regex_automata::util::primitives::StateID;

use super::{Edge, FEW_EDGES, Place, Scanner, States, Workshop, is_about_before};
use crate::limits::REGEX_STATES_BYTES;

impl States {
    /// The number of a place.
    pub(super) fn place(&mut self, scanner: &Scanner, workshop: &mut Workshop, id: StateID) -> u32 {
        match self.numbers.get(id.as_usize()).and_then(|number| number.checked_sub(1)) {
            Some(number) => number,
            None if self.edges.len() * size_of::<Edge>() > REGEX_STATES_BYTES => {
                // Whoever asks finds out before anything comes of it.
                self.are_too_large = true;
                0
            }
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
