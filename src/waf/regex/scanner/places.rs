//! What can be reached from a place of the pattern.

use std::ops::Range;

use regex_automata::nfa::thompson::{State, Transition};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::{Edge, FEW_EDGES, Place, PlaceNumber, Scanner, States, Workshop, is_about_before, number_of, state_id};
use crate::limits::REGEX_STATES_BYTES;
use crate::waf::scratch::make_room;

impl States {
    /// The number of the place that a state of the automaton is.
    pub(super) fn place(&mut self, scanner: &Scanner, workshop: &mut Workshop, state: u16) -> PlaceNumber {
        match self.numbers.get(usize::from(state)).and_then(|number| number.checked_sub(1)) {
            Some(number) => number,
            None if self.edges.len() * size_of::<Edge>() + self.targets.len() * size_of::<u16>()
                > REGEX_STATES_BYTES =>
            {
                // Whoever asks finds out before anything comes of it.
                self.are_too_large = true;
                0
            }
            None => self.explore(scanner, workshop, state),
        }
    }

    /// Finds out what can be reached from a place.
    fn explore(&mut self, scanner: &Scanner, workshop: &mut Workshop, state: u16) -> PlaceNumber {
        let first_look = self.looks.len();
        let mut edges = std::mem::take(&mut workshop.edges);
        edges.clear();
        let mut is_end = false;
        workshop.explore(state_id(state), scanner, |state| match state {
            State::Match { .. } => is_end = true,
            State::Look { look, next } => self.looks.push((*look, number_of(*next))),
            State::ByteRange { trans } => edges.push(scanner.edge(trans)),
            State::Sparse(sparse) => edges.extend(sparse.transitions.iter().map(|trans| scanner.edge(trans))),
            State::Dense(dense) => {
                let to = |byte| Some(Transition { start: byte, end: byte, next: dense.matches_byte(byte)? });
                edges.extend((0..=u8::MAX).filter_map(to).map(|trans| scanner.edge(&trans)));
            }
            _ => {}
        });
        let looks = self.looks.get(first_look..).unwrap_or_default();
        let asks_before =
            (scanner.asks_for_words || scanner.asks_for_lines) && ask_before(scanner, workshop, looks.iter().copied());
        let mut classes = 0;
        for edge in &edges {
            let count = u32::from(edge.last - edge.first) + 1;
            let bits = 1_u64.checked_shl(count).map_or(u64::MAX, |bit| bit - 1);
            classes |= bits.rotate_left(u32::from(edge.first));
        }
        let targets = if edges.len() > FEW_EDGES { self.sort_by_class(scanner, &edges) } else { None };
        let own = targets.unwrap_or_else(|| {
            let start = self.edges.len() as u32;
            make_room(&mut self.edges, edges.len());
            self.edges.extend_from_slice(&edges);
            (start, self.edges.len() as u32)
        });
        workshop.edges = edges;
        let number = self.known.len() as PlaceNumber;
        make_room(&mut self.known, 1);
        self.known.push(Place {
            classes,
            edges: own,
            looks: (first_look as u32, (self.looks.len() - first_look) as u16),
            id: state,
            has_targets: targets.is_some(),
            is_end,
            asks_before,
        });
        if self.numbers.is_empty() {
            self.numbers.reserve_exact(scanner.nfa.states().len());
            self.numbers.resize(scanner.nfa.states().len(), 0);
        }
        if let Some(slot) = self.numbers.get_mut(usize::from(state)) {
            *slot = number + 1;
        }
        number
    }

    /// Adds where edges lead in the order of their classes, each once for each of its classes: where the targets and where
    /// the offsets begin, of which there is one for each class and one for their end. Nothing when there are too many.
    fn sort_by_class(&mut self, scanner: &Scanner, edges: &[Edge]) -> Option<(u32, u32)> {
        let count: usize = edges.iter().map(|edge| usize::from(edge.last - edge.first) + 1).sum();
        let mut end = u16::try_from(count).is_ok().then_some(0_u16)?;
        let Self { targets, offsets, .. } = self;
        let (first_target, first_offset) = (targets.len(), offsets.len());
        let classes = scanner.members.len() + 1;
        make_room(offsets, classes);
        offsets.resize(first_offset + classes, 0);
        make_room(targets, count);
        targets.resize(first_target + count, 0);
        let offsets = offsets.get_mut(first_offset..)?;
        let targets = targets.get_mut(first_target..)?;
        // How many there are of each class, then where the next of each goes.
        for class in edges.iter().flat_map(|edge| edge.first..=edge.last) {
            if let Some(count) = offsets.get_mut(usize::from(class)) {
                *count += 1;
            }
        }
        for place in offsets.iter_mut() {
            (*place, end) = (end, end + *place);
        }
        for edge in edges {
            for class in edge.first..=edge.last {
                if let Some(place) = offsets.get_mut(usize::from(class)) {
                    if let Some(target) = targets.get_mut(usize::from(*place)) {
                        *target = edge.to;
                    }
                    *place += 1;
                }
            }
        }
        // Now each says where those of the next one begin.
        offsets.rotate_right(1);
        if let Some(first) = offsets.first_mut() {
            *first = 0;
        }
        Some((first_target as u32, first_offset as u32))
    }

    /// Where a place has what leads on from it with a byte of this class: among the targets, or among the edges, of which
    /// some may be of other classes.
    #[inline]
    pub(super) fn ways(&self, place: &Place, class: u32) -> Range<usize> {
        let (start, end) = place.edges;
        if !place.has_targets {
            return start as usize..end as usize;
        }
        let offset = |class: u32| self.offsets.get((end + class) as usize).map_or(0, |offset| usize::from(*offset));
        start as usize + offset(class)..start as usize + offset(class + 1)
    }

    /// Where one of these ways leads, if it is of this class.
    #[inline]
    pub(super) fn way(&self, place: &Place, class: u32, at: usize) -> Option<u16> {
        if place.has_targets {
            return self.targets.get(at).copied();
        }
        let edge = self.edges.get(at)?;
        (u32::from(edge.first) <= class && class <= u32::from(edge.last)).then_some(edge.to)
    }
}

/// Must what stands before a place be known, from which these assertions can be reached?
fn ask_before(scanner: &Scanner, workshop: &mut Workshop, looks: impl Iterator<Item = (Look, u16)>) -> bool {
    let mut ahead: Vec<StateID> = Vec::new();
    for (look, to) in looks {
        if is_about_before(look) {
            return true;
        }
        ahead.push(state_id(to));
    }
    // An assertion behind one that looks ahead.
    let (mut passed, mut asks_before): (Vec<StateID>, bool) = (Vec::new(), false);
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
    asks_before
}
