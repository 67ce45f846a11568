//! Where the leftmost match begins, once it is known that there is one.
//!
//! The walk is gone again, to the place where the first match ends, and its states are noted back to where no place of the
//! pattern was left. Then it is gone backwards: of each state only those places that lead to that match. Where the pattern's
//! beginning is among them a match begins, and the last such place on the way is the leftmost that ends there. A match that
//! begins before that one and ends behind it would be farther left: the walk goes on with the places that had begun before,
//! in closed states, in which the pattern does not begin again, until nothing of them is left or there is such a match.

use super::{FIRST, MATCH, OVER, PlaceNumber, Scanner, Side, StateRow, States, UNKNOWN, Workshop, number_of};

/// So many places are left, in all, before it is given up,
const STEPS: usize = 20_000;

/// for each byte so many more, and at most so many.
const STEPS_PER_BYTE: usize = 8;
const MOST_STEPS: usize = 250_000;

/// Places of a walk whose memory is kept.
const KEPT: usize = 4096;

/// What finding a beginning needs; part of a worker's workshop.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The states of the walk, from where no place was left.
    states: Vec<StateRow>,
    /// Places that lead to the match, and those that do one byte before.
    good: Vec<PlaceNumber>,
    better: Vec<PlaceNumber>,
    /// Places that may be left, and those of them that were not.
    most: usize,
    steps: usize,
}

impl Trail {
    pub(super) fn memory_usage(&self) -> usize {
        self.states.capacity() * size_of::<StateRow>()
            + (self.good.capacity() + self.better.capacity()) * size_of::<PlaceNumber>()
    }

    pub(super) const fn left(&self) -> usize {
        self.most - self.steps
    }

    /// May so many places be left?
    fn spend(&mut self, places: usize) -> Option<()> {
        self.steps = self.steps.checked_sub(places)?;
        Some(())
    }
}

impl Scanner {
    /// Where the leftmost match begins of those that begin at `from` or later, if that is found out in few steps; what
    /// stands before is seen by assertions.
    pub(in crate::waf::regex) fn leftmost(
        &self,
        states: &mut States,
        workshop: &mut Workshop,
        value: &[u8],
        from: usize,
    ) -> Option<usize> {
        (workshop.trail.most, workshop.trail.steps) = (0, 0);
        if states.are_too_large || self.has_too_many_places {
            return None;
        }
        if states.rows.is_empty() {
            states.begin(self);
        }
        let mut trail = std::mem::take(&mut workshop.trail);
        trail.most = (STEPS + value.len() * STEPS_PER_BYTE).min(MOST_STEPS);
        trail.steps = trail.most;
        let search = Search { scanner: self, states: &mut *states, workshop, trail: &mut trail, value };
        let found = search.leftmost(from);
        trail.states.clear();
        trail.states.shrink_to(KEPT);
        workshop.trail = trail;
        if states.are_too_large {
            *states = States { are_too_large: true, ..States::default() };
            return None;
        }
        found
    }
}

/// Finding the beginning of a match in a value.
struct Search<'s> {
    scanner: &'s Scanner,
    states: &'s mut States,
    workshop: &'s mut Workshop,
    trail: &'s mut Trail,
    value: &'s [u8],
}

impl Search<'_> {
    fn leftmost(mut self, from: usize) -> Option<usize> {
        self.trail.states.clear();
        let before = from.checked_sub(1).and_then(|before| self.value.get(before));
        let first = before.map_or(FIRST, |byte| self.scanner.resting(self.scanner.side(*byte)));
        let mut end = self.first_end(from, first)??;
        let mut begin = usize::MAX;
        loop {
            let base = end + 1 - self.trail.states.len();
            let found = self.begin_of(end)?;
            if found >= begin {
                return None;
            }
            begin = found;
            // What had begun before may come to a match that ends later.
            self.trail.states.truncate(begin - base + 1);
            let earlier = self.states.members(self.trail.states.pop()?);
            if earlier.len() == 0 {
                return Some(begin);
            }
            let state = self.states.closed(self.workshop, earlier);
            match self.first_end(begin, state)? {
                Some(later) => end = later,
                None => return Some(begin),
            }
        }
    }

    /// Where the leftmost of the matches begins that end with the next byte behind the trail.
    fn begin_of(&mut self, end: usize) -> Option<usize> {
        let base = end + 1 - self.trail.states.len();
        let root = number_of(self.scanner.nfa.start_anchored());
        let root = self.states.place(self.scanner, self.workshop, root);
        let mut begin = None;
        self.trail.good.clear();
        for at in (base..=end).rev() {
            let byte = self.value.get(at).copied();
            let members = self.states.members(*self.trail.states.get(at - base)?);
            self.trail.spend(members.len() + 1)?;
            self.trail.better.clear();
            let is_last = at == end;
            if !members.is_closed && self.leads(root, members.side, byte, is_last) {
                begin = Some(at);
            }
            for number in members.start..members.end {
                let place = self.states.places.get(number as usize).copied()?;
                if self.leads(place, members.side, byte, is_last) {
                    self.trail.better.push(place);
                }
            }
            std::mem::swap(&mut self.trail.good, &mut self.trail.better);
            if self.trail.good.is_empty() {
                break;
            }
        }
        begin
    }

    /// Does this byte lead from a place to one of the good ones; or if it is the last, to the match?
    fn leads(&mut self, place: PlaceNumber, side: Side, byte: Option<u8>, is_last: bool) -> bool {
        let Self { scanner, states, workshop, trail, .. } = self;
        let Some(known) = states.known.get(usize::from(place)).copied() else { return false };
        let class = scanner.class(byte);
        let has_edge = byte.is_some() && known.classes >> (class & 63) & 1 != 0;
        if !has_edge && !known.is_end && known.looks.1 == 0 {
            return false;
        }
        let is_good = |place: &PlaceNumber| trail.good.contains(place);
        if !is_last && !known.is_end && known.looks.1 == 0 {
            // No assertion on the way, and what is good was met before.
            return states.ways(&known, class).any(|at| {
                let to = states.way(&known, class, at);
                let number = to.and_then(|to| states.numbers.get(usize::from(to))?.checked_sub(1));
                number.is_some_and(|number| is_good(&number))
            });
        }
        workshop.begin(scanner);
        let is_match = states.leave(scanner, workshop, place, side, byte);
        if is_last { is_match } else { workshop.next.iter().any(is_good) }
    }

    /// Walks on from a state, which it is in before the byte at `from`, to where the first match is known by the next byte,
    /// and notes its states, if it is open from where no place was left last. Where that byte is, or the value's end; within,
    /// nothing when there is no match, and without when it is not found out.
    fn first_end(&mut self, from: usize, state: StateRow) -> Option<Option<usize>> {
        let Self { scanner, states, workshop, trail, value } = self;
        let mut state = state;
        for at in from..=value.len() {
            if state < states.resting {
                trail.states.clear();
            }
            trail.states.push(state);
            let byte = value.get(at).copied();
            let mut next = states.rows.follow(state, scanner.class(byte));
            if next == UNKNOWN {
                let times = states.times;
                next = states.make(scanner, workshop, state, byte);
                if states.are_too_large || states.times != times {
                    return None;
                }
            }
            match next {
                MATCH => return Some(Some(at)),
                OVER => return Some(None),
                next => state = next,
            }
        }
        Some(None)
    }
}
