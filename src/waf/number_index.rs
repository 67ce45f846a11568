//! Finding things that are numbered by what they are, in four bytes each.
//!
//! The things are kept by whoever asks, who compares them too, and says their hashes anew when the index grows. A part of
//! each hash is kept with its number, so that few are compared that are not alike: that takes memory which is in no cache.
//! What things there are depends on clients, so hashes are keyed, and if somebody found many with the same one all the same,
//! [`PROBES`] bounds what that costs: what has no slot near its own is not found again, and counts as new each time.

use std::hash::{BuildHasher, RandomState};

use super::names::Mixer;

/// Slots at the beginning. A power of two, as is every later size.
const SLOTS: usize = 16;

/// Bits of a slot that are the number's.
const NUMBER_BITS: u32 = 20;

/// A slot without its part of the hash.
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;

/// Most things of an index.
pub(crate) const MOST_NUMBERS: usize = NUMBER as usize;

/// Slots that are looked at for a thing; by chance nothing is so far from its own.
const PROBES: usize = 256;

/// Numbers of things by hash; open addressing, at most five eighths full.
#[derive(Debug)]
pub(crate) struct NumberIndex {
    seed: u64,
    /// A number plus one, and the upper bits of its hash; 0 is free.
    slots: Vec<u32>,
    count: usize,
}

impl Default for NumberIndex {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0_u8), slots: Vec::new(), count: 0 }
    }
}

impl NumberIndex {
    /// Bytes held.
    pub(crate) const fn memory_usage(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }

    /// Forgets all, and gives the memory back.
    pub(crate) fn clear(&mut self) {
        (self.slots, self.count) = (Vec::new(), 0);
    }

    /// The hash of a thing that consists of these words.
    #[inline]
    pub(crate) fn hash(&self, words: impl IntoIterator<Item = u64>) -> u32 {
        let mut mixer = Mixer::new(self.seed, 0);
        words.into_iter().for_each(|word| mixer.mix(word));
        mixer.hash()
    }

    /// The number of the thing for which `is_it` says yes, among those with about this hash.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut place = hash as usize & mask;
        for _ in 0..PROBES {
            let slot = *self.slots.get(place)?;
            let number = (slot & NUMBER).checked_sub(1)?;
            if (slot ^ hash) >> NUMBER_BITS == 0 && is_it(number) {
                return Some(number);
            }
            place = (place + 1) & mask;
        }
        None
    }

    /// Adds a number that is not in and is smaller than [`MOST_NUMBERS`], with its hash; `hash_of` says those of all that are.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u32, number: u32, hash_of: impl Fn(&Self, u32) -> u32) {
        if self.slots.len() * 5 <= self.count * 8 {
            self.grow(hash_of);
        }
        self.count += 1;
        self.put(number, hash);
    }

    #[cold]
    fn grow(&mut self, hash_of: impl Fn(&Self, u32) -> u32) {
        let size = (self.slots.len() * 2).max(SLOTS);
        let old = std::mem::replace(&mut self.slots, vec![0; size]);
        for number in old.into_iter().filter_map(|slot| (slot & NUMBER).checked_sub(1)) {
            self.put(number, hash_of(self, number));
        }
    }

    /// Has these hashes for the numbers from 0 on, and no others; no more than there were.
    pub(crate) fn renumber(&mut self, hashes: impl IntoIterator<Item = u32>) {
        self.slots.fill(0);
        self.count = 0;
        for (number, hash) in (0..).zip(hashes) {
            self.count += 1;
            self.put(number, hash);
        }
    }

    fn put(&mut self, number: u32, hash: u32) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        debug_assert!((number as usize) < MOST_NUMBERS);
        for _ in 0..PROBES {
            let Some(slot) = self.slots.get_mut(place) else { return };
            if *slot == 0 {
                *slot = (hash & !NUMBER) | ((number + 1) & NUMBER);
                return;
            }
            place = (place + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_nothing_else() {
        let things: Vec<u64> = (0..1000).map(|number| number * number * 7).collect();
        // Many have the same.
        let hash = |thing: u64| (thing % 37 * 0x0101) as u32;
        let mut numbers = NumberIndex::default();
        let find =
            |numbers: &NumberIndex, thing: u64| numbers.find(hash(thing), |number| things[number as usize] == thing);
        assert_eq!(find(&numbers, 0), None);
        for number in 0..1000 {
            assert_eq!(find(&numbers, things[number]), None);
            numbers.insert(hash(things[number]), number as u32, |_, number| hash(things[number as usize]));
        }
        for (number, thing) in (0..).zip(&things) {
            assert_eq!(find(&numbers, *thing), Some(number));
        }
        assert_eq!(find(&numbers, 5), None);
        numbers.clear();
        assert_eq!(find(&numbers, 0), None);
    }

    #[test]
    fn of_many_with_one_hash_only_so_many_are_looked_at() {
        let mut numbers = NumberIndex::default();
        for number in 0..2000 {
            numbers.insert(7, number, |_, _| 7);
        }
        let looked_at = |wanted: u32| {
            let mut count = 0;
            let found = numbers.find(7, |number| {
                count += 1;
                number == wanted
            });
            (found, count)
        };
        assert_eq!(looked_at(0).0, Some(0));
        assert_eq!(looked_at(1999), (None, PROBES));
        assert!((0..2000).filter(|wanted| looked_at(*wanted).0.is_some()).count() == PROBES);
    }
}
