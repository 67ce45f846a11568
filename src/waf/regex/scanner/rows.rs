//! Where states lead.
//!
//! Most states are come to once or twice, and of the ways out of them one or two are ever gone: of rows with an entry for
//! every class of bytes nine tenths would stay empty. So a state begins with room for a few ways, which are looked through,
//! and has a row of the table as soon as there are more or it is come to often. Its place among those with few ways then
//! says where its row is, and whatever leads there is corrected when it is gone.

use super::{OVER, StateRow, UNIT, UNKNOWN, is_state};
use crate::waf::scratch::make_room;

/// States from here on have few ways. No table reaches so far, so that looking a byte up there finds nothing.
const FEW: StateRow = 0xA000;

/// Ways that are few: as many as their classes fit into a word with the number of visits.
const WAYS: usize = 7;

/// A state that is come to so often has a row.
const OFTEN: u8 = if cfg!(any(test, fuzzing)) { 3 } else { 32 };

/// While a pattern's table has no more entries than this, states have rows from the beginning.
const SMALL: usize = if cfg!(any(test, fuzzing)) { 64 } else { 2048 };

/// All states' ways.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// For each state the next one by class, and in the last column what comes at the value's end.
    table: Vec<StateRow>,
    /// Numbers of the states that the rows belong to.
    owners: Vec<u16>,
    few: Vec<Few>,
    /// Entries of a row, whole units.
    width: usize,
}

/// The ways out of a state.
#[derive(Debug, Clone, Copy)]
struct Few {
    /// Their classes, a byte each from the lowest, [`FREE`] where there is none; in the highest how often one of them was
    /// gone, or [`MOVED`] when the state has a row, which the first way leads to.
    classes: u64,
    to: [StateRow; WAYS],
    owner: u16,
}

const FREE: u8 = u8::MAX;
const MOVED: u8 = u8::MAX;
const VISITS: u32 = u64::BITS - u8::BITS;

/// The highest bit of each way's byte.
const HIGHEST: u64 = 0x0080_8080_8080_8080;

impl Few {
    const fn new(owner: u16) -> Self {
        // No visits.
        Self { classes: u64::MAX >> u8::BITS, to: [UNKNOWN; WAYS], owner }
    }

    const fn visits(&self) -> u8 {
        (self.classes >> VISITS) as u8
    }

    const fn is_moved(&self) -> bool {
        self.visits() == MOVED
    }

    /// The number of the first way of this class.
    #[inline]
    const fn find(&self, class: u8) -> Option<usize> {
        const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
        let others = self.classes ^ (LOWEST * class as u64);
        // Of the bytes that are zero the first is told rightly.
        let same = others.wrapping_sub(LOWEST) & !others & HIGHEST;
        if same == 0 { None } else { Some((same.trailing_zeros() / u8::BITS) as usize) }
    }

    /// The row of a state that has one.
    const fn row(&self) -> StateRow {
        let [row, ..] = self.to;
        row
    }

    /// Where the way of this class leads.
    #[inline]
    fn to(&self, class: u32) -> StateRow {
        let class = u8::try_from(class).ok().filter(|class| *class != FREE);
        let way = class.and_then(|class| self.find(class));
        way.and_then(|way| self.to.get(way)).copied().unwrap_or(UNKNOWN)
    }

    /// Notes where a class leads; is there room for it?
    fn set(&mut self, class: u32, to: StateRow) -> bool {
        let Some(class) = u8::try_from(class).ok().filter(|class| *class != FREE) else { return false };
        let Some(way) = self.find(class).or_else(|| self.find(FREE)) else { return false };
        let Some(slot) = self.to.get_mut(way) else { return false };
        *slot = to;
        let shift = way as u32 * u8::BITS;
        self.classes = self.classes & !(u64::from(FREE) << shift) | u64::from(class) << shift;
        true
    }
}

/// Has the state a row?
#[inline]
pub(super) const fn has_row(state: StateRow) -> bool {
    state < FEW
}

impl Rows {
    /// For states with rows of so many entries.
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// Are there no states?
    pub(super) const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes held.
    pub(super) const fn memory_usage(&self) -> usize {
        self.table.capacity() * size_of::<StateRow>()
            + self.owners.capacity() * size_of::<u16>()
            + self.few.capacity() * size_of::<Few>()
    }

    /// Is there no room for so many states?
    pub(super) const fn is_full(&self, more: usize) -> bool {
        let most_few = (OVER - FEW) as usize;
        // Each may have a row, or lead to its predecessor's having one.
        self.few.len() + more > most_few || !self.has_room(2 * more)
    }

    /// Is there room for so many rows?
    const fn has_room(&self, rows: usize) -> bool {
        self.table.len() + rows * self.width <= FEW as usize * UNIT
    }

    /// Those of the states with rows, one after the other.
    #[inline]
    pub(super) const fn table(&self) -> &[StateRow] {
        self.table.as_slice()
    }

    /// A new state of this number, which has a row if it must.
    pub(super) fn add(&mut self, owner: u16, needs_row: bool) -> StateRow {
        if needs_row || self.table.len() < SMALL {
            return self.add_row(owner);
        }
        let place = FEW + self.few.len() as u16;
        make_room(&mut self.few, 1);
        self.few.push(Few::new(owner));
        place
    }

    fn add_row(&mut self, owner: u16) -> StateRow {
        let row = self.table.len() / UNIT;
        make_room(&mut self.table, self.width);
        self.table.resize(self.table.len() + self.width, UNKNOWN);
        make_room(&mut self.owners, 1);
        self.owners.push(owner);
        row as StateRow
    }

    /// The number of a state.
    pub(super) fn owner(&self, state: StateRow) -> Option<u16> {
        match self.few_of(state) {
            Some(few) => Some(few.owner),
            None => self.owners.get(usize::from(state) * UNIT / self.width.max(1)).copied(),
        }
    }

    #[inline]
    fn few_of(&self, state: StateRow) -> Option<&Few> {
        self.few.get(usize::from(state.checked_sub(FEW)?))
    }

    #[inline]
    fn few_of_mut(&mut self, state: StateRow) -> Option<&mut Few> {
        self.few.get_mut(usize::from(state.checked_sub(FEW)?))
    }

    #[inline]
    fn entry(&self, row: StateRow, class: u32) -> StateRow {
        self.table.get(usize::from(row) * UNIT + class as usize).copied().unwrap_or(UNKNOWN)
    }

    /// Where a state leads with this class.
    #[inline]
    pub(super) fn next(&self, state: StateRow, class: u32) -> StateRow {
        match self.few_of(state) {
            None => self.entry(state, class),
            Some(few) if few.is_moved() => self.entry(few.row(), class),
            Some(few) => few.to(class),
        }
    }

    /// The same on a walk, which counts and may make rows.
    #[inline]
    pub(super) fn follow(&mut self, state: StateRow, class: u32) -> StateRow {
        let next = self.entry(state, class);
        if has_row(next) || (has_row(state) && !is_state(next)) { next } else { self.follow_slowly(state, class) }
    }

    fn follow_slowly(&mut self, state: StateRow, class: u32) -> StateRow {
        let has_room = self.has_room(1);
        let next = match self.few_of_mut(state) {
            None => self.entry(state, class),
            Some(few) if few.visits() < OFTEN => {
                few.classes += 1 << VISITS;
                few.to(class)
            }
            Some(few) if few.is_moved() => {
                let row = few.row();
                self.entry(row, class)
            }
            Some(_) if has_room => {
                let row = self.give_row(state);
                self.entry(row, class)
            }
            Some(few) => few.to(class),
        };
        match self.few_of(next) {
            Some(few) if few.is_moved() => {
                let row = few.row();
                self.set(state, class, row);
                row
            }
            _ => next,
        }
    }

    /// Notes where a state leads.
    pub(super) fn set(&mut self, state: StateRow, class: u32, to: StateRow) {
        let row = match self.few_of_mut(state) {
            None => state,
            Some(few) if few.is_moved() => few.row(),
            Some(few) => {
                if few.set(class, to) {
                    return;
                }
                self.give_row(state)
            }
        };
        self.set_entry(row, class, to);
    }

    fn set_entry(&mut self, row: StateRow, class: u32, to: StateRow) {
        if let Some(slot) = self.table.get_mut(usize::from(row) * UNIT + class as usize) {
            *slot = to;
        }
    }

    /// Gives a state with few ways a row.
    #[cold]
    fn give_row(&mut self, state: StateRow) -> StateRow {
        let Some(few) = self.few_of(state).copied() else { return state };
        let row = self.add_row(few.owner);
        for (class, to) in few.classes.to_le_bytes().into_iter().zip(few.to).filter(|(class, _)| *class != FREE) {
            self.set_entry(row, u32::from(class), to);
        }
        if let Some(few) = self.few_of_mut(state) {
            few.classes |= u64::from(MOVED) << VISITS;
            few.to = [row; WAYS];
        }
        row
    }
}

const _: () = assert!(size_of::<Few>() == 24, "a worker keeps many");
const _: () = assert!(!is_state(OVER) && is_state(FEW));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_found_whether_or_not_a_state_has_a_row() {
        // Classes of all bytes, and the value's end.
        let mut rows = Rows::new(264);
        let begin = rows.add(0, true);
        let few = rows.add(1, false);
        assert!(has_row(begin) && !has_row(few));
        assert_eq!([begin, few].map(|state| rows.owner(state)), [Some(0), Some(1)]);
        rows.set(begin, 7, few);
        for class in 0..WAYS as u32 {
            rows.set(few, class * 40, begin);
            assert!(!rows.few_of(few).unwrap().is_moved());
        }
        assert_eq!(rows.next(few, 40), begin);
        assert_eq!(rows.next(few, 41), UNKNOWN);
        rows.set(few, 40, OVER);
        assert_eq!(rows.next(few, 40), OVER, "a way that is there is changed");
        // One way more.
        rows.set(few, 1, few);
        assert!(rows.few_of(few).unwrap().is_moved());
        let expected = [(0, begin), (40, OVER), (240, begin), (1, few), (2, UNKNOWN)];
        assert_eq!(expected.map(|(class, _)| (class, rows.next(few, class))), expected);
        // Whoever comes by is led to the row from then on.
        let row = rows.follow(begin, 7);
        assert!(has_row(row) && row != begin && rows.next(begin, 7) == row);
        assert_eq!([few, row].map(|state| rows.follow(state, 1)), [row, row]);
        assert_eq!(rows.owner(row), Some(1));
    }

    #[test]
    fn states_that_are_come_to_often_have_rows_and_rare_classes_too() {
        let mut rows = Rows::new(264);
        let begin = rows.add(0, true);
        let often = rows.add(1, false);
        rows.set(often, 5, begin);
        for _ in 0..OFTEN {
            assert!(!rows.few_of(often).unwrap().is_moved());
            assert_eq!(rows.follow(often, 5), begin);
        }
        assert_eq!(rows.follow(often, 5), begin);
        assert!(rows.few_of(often).unwrap().is_moved());
        // The last class and the value's end have no number among few ways.
        for class in [255, 256] {
            let state = rows.add(2, false);
            assert_eq!(rows.next(state, class), UNKNOWN);
            rows.set(state, class, begin);
            assert_eq!((rows.next(state, class), rows.follow(state, class)), (begin, begin));
            assert!(rows.few_of(state).unwrap().is_moved());
        }
    }
}
