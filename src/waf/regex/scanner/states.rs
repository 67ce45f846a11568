//! The making of states, and the walk over those that are made.

use regex_automata::util::look::Look;

use super::{
    Edge, MATCH, Members, OVER, Pause, Place, PlaceNumber, Rows, Scanner, Side, StateRow, States, UNIT, UNKNOWN,
    Workshop, has_row, holds, is_state, number_of,
};
use crate::limits::REGEX_STATES_BYTES;
use crate::waf::number_index::NumberIndex;
use crate::waf::scratch::make_room;

impl States {
    /// Bytes held.
    pub(in crate::waf::regex) fn memory_usage(&self) -> usize {
        self.rows.memory_usage()
            + self.states.capacity() * size_of::<Members>()
            + self.places.capacity() * size_of::<PlaceNumber>()
            + self.index.memory_usage()
            + (self.numbers.capacity() + self.targets.capacity() + self.offsets.capacity()) * size_of::<u16>()
            + self.known.capacity() * size_of::<Place>()
            + self.edges.capacity() * size_of::<Edge>()
            + self.looks.capacity() * size_of::<(Look, u16)>()
    }

    /// Entries of the table, which grows with states that are made and with those that are come to often.
    pub(in crate::waf::regex) const fn entries(&self) -> usize {
        self.rows.table().len()
    }

    /// Goes from state to state as long as they are made, and where one leads to itself or has no places if that is wanted;
    /// why it ended, and the bytes behind. Inlined, as most values are short, and to most of its callers both are no.
    #[inline(always)]
    pub(super) fn run<'v>(
        &mut self,
        scanner: &Scanner,
        state: &mut StateRow,
        value: &'v [u8],
        stays: bool,
        rests: bool,
    ) -> (Pause, &'v [u8]) {
        let resting = if rests { self.resting } else { 0 };
        let mut rest = value;
        loop {
            let table = self.rows.table();
            let step = |state: StateRow, byte: u8| {
                let class = scanner.classes.get(usize::from(byte)).copied().unwrap_or_default();
                table.get(usize::from(state) * UNIT + usize::from(class)).copied()
            };
            // What has no row is met when the byte behind is looked up.
            while let Some(([one, two, three, four], behind)) = rest.split_first_chunk() {
                let Some(first) = step(*state, *one) else { break };
                let Some(second) = step(first, *two) else { break };
                let Some(third) = step(second, *three) else {
                    *state = first;
                    rest = rest.get(1..).unwrap_or_default();
                    break;
                };
                let Some(fourth) = step(third, *four).filter(|fourth| has_row(*fourth)) else {
                    *state = second;
                    rest = rest.get(2..).unwrap_or_default();
                    break;
                };
                *state = fourth;
                rest = behind;
                if fourth < resting {
                    return (Pause::Rest, rest);
                }
                if stays && first == second && second == fourth {
                    return (Pause::Stay, rest);
                }
            }
            while let Some((byte, behind)) = rest.split_first() {
                let Some(next) = step(*state, *byte).filter(|next| has_row(*next)) else { break };
                (*state, rest) = (next, behind);
            }
            // As far as to the next state with a row behind one without.
            let mut had_row = has_row(*state);
            loop {
                let Some((byte, behind)) = rest.split_first() else { return (Pause::End, rest) };
                let next = self.rows.follow(*state, scanner.class(Some(*byte)));
                rest = behind;
                if !is_state(next) {
                    return (Pause::Special(next, *byte), rest);
                }
                *state = next;
                let has_row = has_row(next);
                if has_row && !had_row {
                    break;
                }
                had_row = has_row;
            }
        }
    }

    /// Makes the first state, nothing before and no place but the pattern's beginning, and its like with something before.
    pub(super) fn begin(&mut self, scanner: &Scanner) {
        *self = Self {
            rows: Rows::new(scanner.width()),
            walked: self.walked,
            times: self.times.wrapping_add(1),
            ..Self::default()
        };
        for side in scanner.sides() {
            self.state(side, false, &[]);
        }
        self.resting = scanner.row(self.states.len());
    }

    /// The state with these places, which are in order.
    fn state(&mut self, side: Side, is_closed: bool, places: &[PlaceNumber]) -> StateRow {
        let Self { states, places: all, index, rows, .. } = self;
        let is_it = |number: u32| {
            let own = states.get(number as usize);
            own.is_some_and(|own| (own.side, own.is_closed) == (side, is_closed) && own.of(all) == places)
        };
        let own = hash(index, side, places);
        if let Some(number) = index.find(own, is_it) {
            return states.get(number as usize).map_or(UNKNOWN, |own| own.state);
        }
        let (number, start) = (states.len() as u32, all.len() as u32);
        make_room(all, places.len());
        make_room(states, 1);
        all.extend_from_slice(places);
        let state = rows.add(number as u16, places.is_empty());
        states.push(Members { start, end: all.len() as u32, side, is_closed, state });
        index.insert(own, number, |index, number| {
            states.get(number as usize).map_or(0, |state| hash(index, state.side, state.of(all)))
        });
        state
    }

    /// What comes after a state with this byte, or at the end of the value.
    #[cold]
    #[inline(never)]
    pub(super) fn make(
        &mut self,
        scanner: &Scanner,
        workshop: &mut Workshop,
        state: StateRow,
        byte: Option<u8>,
    ) -> StateRow {
        workshop.made = workshop.made.wrapping_add(1);
        let mut state = state;
        // One step makes three states at most.
        if self.rows.is_full(3) || self.memory_usage() > REGEX_STATES_BYTES {
            // All are forgotten but this one.
            let members = self.members(state);
            let ids = members.of(&self.places);
            let ids: Vec<u16> = ids.iter().filter_map(|place| Some(self.known.get(usize::from(*place))?.id)).collect();
            self.begin(scanner);
            let mut places: Vec<PlaceNumber> = ids.iter().map(|id| self.place(scanner, workshop, *id)).collect();
            places.sort_unstable();
            state = self.state(members.side, members.is_closed, &places);
            self.are_too_large |= self.memory_usage() > REGEX_STATES_BYTES / 2;
        }
        let next = self.advance(scanner, workshop, state, byte);
        if self.are_too_large {
            *self = Self { are_too_large: true, ..Self::default() };
        }
        next
    }

    fn advance(&mut self, scanner: &Scanner, workshop: &mut Workshop, state: StateRow, byte: Option<u8>) -> StateRow {
        let members = self.members(state);
        // The pattern may begin here as it may anywhere, which the state without places knows.
        let begun = if members.is_closed {
            Some(OVER)
        } else if members.len() == 0 {
            None
        } else {
            let root = self.state(members.side, false, &[]);
            match self.rows.next(root, scanner.class(byte)) {
                UNKNOWN => Some(self.advance(scanner, workshop, root, byte)),
                next => Some(next),
            }
        };
        let next = if begun != Some(MATCH) && !self.step(scanner, workshop, members, byte, begun) {
            byte.map_or(OVER, |byte| self.of_workshop(scanner, workshop, byte, members.is_closed))
        } else {
            MATCH
        };
        self.rows.set(state, scanner.class(byte), next);
        next
    }

    pub(super) fn members(&self, state: StateRow) -> Members {
        let number = self.rows.owner(state).map_or(usize::MAX, usize::from);
        self.states.get(number).copied().unwrap_or(Members {
            start: 0,
            end: 0,
            side: Side::Other,
            is_closed: false,
            state,
        })
    }

    /// The state of these places in which the pattern does not begin.
    pub(super) fn closed(&mut self, workshop: &mut Workshop, members: Members) -> StateRow {
        workshop.next.clear();
        workshop.next.extend_from_slice(members.of(&self.places));
        self.state(members.side, true, &workshop.next)
    }

    /// Collects the places that come next, where those of `begun` come anyway; is there a match?
    fn step(
        &mut self,
        scanner: &Scanner,
        workshop: &mut Workshop,
        members: Members,
        byte: Option<u8>,
        begun: Option<StateRow>,
    ) -> bool {
        workshop.begin(scanner);
        let Some(begun) = begun else {
            let start = self.place(scanner, workshop, number_of(scanner.nfa.start_anchored()));
            return self.leave(scanner, workshop, start, members.side, byte);
        };
        if is_state(begun) {
            let begun = self.members(begun);
            for place in begun.of(&self.places) {
                if let Some(known) = self.known.get(usize::from(*place))
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
    pub(super) fn leave(
        &mut self,
        scanner: &Scanner,
        workshop: &mut Workshop,
        place: PlaceNumber,
        side: Side,
        byte: Option<u8>,
    ) -> bool {
        workshop.open.push(place);
        while let Some(place) = workshop.open.pop() {
            let Some(known) = self.known.get(usize::from(place)).copied() else { continue };
            if known.is_end {
                workshop.open.clear();
                return true;
            }
            let (first_look, count) = known.looks;
            for at in first_look..first_look + u32::from(count) {
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
            for at in self.ways(&known, class) {
                let Some(to) = self.way(&known, class, at).filter(|to| workshop.arrives(*to)) else { continue };
                let next = self.place(scanner, workshop, to);
                if self.known.get(usize::from(next)).is_some_and(|place| place.is_end) {
                    workshop.open.clear();
                    return true;
                }
                workshop.next.push(next);
            }
        }
        false
    }

    /// The state with the places in the workshop, behind this byte.
    fn of_workshop(&mut self, scanner: &Scanner, workshop: &mut Workshop, byte: u8, is_closed: bool) -> StateRow {
        if is_closed && workshop.next.is_empty() {
            return OVER;
        }
        let start = self.place(scanner, workshop, number_of(scanner.nfa.start_anchored()));
        let asks = |place: &PlaceNumber| self.known.get(usize::from(*place)).is_some_and(|place| place.asks_before);
        let side = if asks(&start) || workshop.next.iter().any(asks) { scanner.side(byte) } else { Side::Other };
        workshop.next.sort_unstable();
        self.state(side, is_closed, &workshop.next)
    }
}

impl Members {
    /// How many there are.
    pub(super) const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn of(self, places: &[PlaceNumber]) -> &[PlaceNumber] {
        places.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

fn hash(index: &NumberIndex, side: Side, places: &[PlaceNumber]) -> u32 {
    index.hash(std::iter::once(side as u64).chain(places.iter().map(|place| u64::from(*place))))
}
