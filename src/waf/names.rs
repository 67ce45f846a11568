//! Finding things by name, whatever its case, without copying the name.
//!
//! Names come from clients, so the hash is keyed; the things themselves are kept by whoever asks.

use std::hash::{BuildHasher, RandomState};

/// Slots at the beginning. A power of two, as is every later size.
const SLOTS: usize = 64;

/// Beyond this size an emptied index gives its memory back.
const KEPT_SLOTS: usize = 1024;

/// Numbers of things by hash of their names; open addressing, at most half full.
#[derive(Debug)]
pub(crate) struct NameIndex {
    seed: u64,
    /// Hash, and number plus one; 0 is free.
    slots: Vec<(u32, u32)>,
    count: usize,
}

impl Default for NameIndex {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0_u8), slots: Vec::new(), count: 0 }
    }
}

impl NameIndex {
    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        if self.count == 0 {
            return;
        }
        self.count = 0;
        if self.slots.len() > KEPT_SLOTS {
            self.slots = Vec::new();
        } else {
            self.slots.fill((0, 0));
        }
    }

    /// The hash of a name.
    pub(crate) fn hash(&self, name: &[u8]) -> u32 {
        hash_words(self.seed, name, lower_word)
    }

    /// The number of a name; `is_it` compares names.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut place = hash as usize & mask;
        loop {
            let (own, number) = self.slots.get(place).copied()?;
            let number = number.checked_sub(1)?;
            if own == hash && is_it(number) {
                return Some(number);
            }
            place = (place + 1) & mask;
        }
    }

    /// Adds a name that is not in.
    pub(crate) fn insert(&mut self, hash: u32, number: u32) {
        if self.slots.len() <= self.count * 2 {
            let size = (self.slots.len() * 2).max(SLOTS);
            let old = std::mem::replace(&mut self.slots, vec![(0, 0); size]);
            old.into_iter().filter(|(_, number)| *number != 0).for_each(|(hash, number)| self.put(hash, number));
        }
        self.count += 1;
        self.put(hash, number + 1);
    }

    fn put(&mut self, hash: u32, number: u32) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while self.slots.get(place).is_some_and(|(_, number)| *number != 0) {
            place = (place + 1) & mask;
        }
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = (hash, number);
        }
    }
}

/// A keyed hash of a value, byte for byte.
pub(crate) fn hash(seed: u64, value: &[u8]) -> u32 {
    hash_words(seed, value, |word| word)
}

fn hash_words(seed: u64, value: &[u8], fold: impl Fn(u64) -> u64) -> u32 {
    let mut mixer = Mixer::new(seed, value.len());
    let (words, rest) = value.as_chunks::<8>();
    words.iter().for_each(|word| mixer.mix(fold(u64::from_le_bytes(*word))));
    if !rest.is_empty() {
        mixer.mix(fold(last_word(value)));
    }
    mixer.hash()
}

/// A keyed hash of words.
pub(crate) struct Mixer {
    state: u64,
    factor: u64,
}

impl Mixer {
    /// For something of this length.
    #[inline]
    pub(crate) const fn new(seed: u64, length: usize) -> Self {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        Self { state: seed ^ (length as u64).wrapping_mul(FACTOR), factor: FACTOR ^ seed | 1 }
    }

    #[inline]
    pub(crate) const fn mix(&mut self, word: u64) {
        let product = ((self.state ^ word) as u128).wrapping_mul(self.factor as u128);
        self.state = (product as u64) ^ ((product >> 64) as u64);
    }

    #[inline]
    pub(crate) const fn hash(&self) -> u32 {
        (self.state ^ self.state >> 32) as u32
    }
}

/// The end of a value of known length as a word: up to eight bytes, of which some may have been seen before. Read in
/// one piece or two, because a word that is put together byte by byte is waited for.
fn last_word(value: &[u8]) -> u64 {
    if let Some(word) = value.last_chunk::<8>() {
        return u64::from_le_bytes(*word);
    }
    match (value.first_chunk::<4>(), value.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*last)) << 32 | u64::from(u32::from_le_bytes(*first)),
        _ => value.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The upper-case letters among eight bytes made lower-case.
fn lower_word(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let low = word & (ONES * 0x7f);
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let beyond_z = low + ONES * (0x7f - b'Z' as u64);
    let upper = (from_a ^ beyond_z) & !word & (ONES * 0x80);
    word | upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_as_bytes_are() {
        for byte in 0..=255_u8 {
            let other = byte.wrapping_mul(31);
            let bytes = [byte, other, b'A', byte, b'z', other, 0x80, byte];
            let expected = bytes.map(|byte| byte.to_ascii_lowercase());
            assert_eq!(lower_word(u64::from_le_bytes(bytes)).to_le_bytes(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn every_byte_counts() {
        for length in 1..40 {
            let value: Vec<u8> = (0..length).map(|number| b'a' + number % 20).collect();
            for place in 0..value.len() {
                let mut other = value.clone();
                other[place] ^= 1;
                assert_ne!(hash(7, &value), hash(7, &other), "{place} of {length}");
            }
            assert_ne!(hash(7, &value), hash(7, &value[1..]), "{length}");
        }
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let mut index = NameIndex::default();
        let names: Vec<String> = (0..1000).map(|number| format!("Name_of_{number}")).collect();
        for (number, name) in (0..).zip(&names) {
            index.insert(index.hash(name.as_bytes()), number);
        }
        let find = |index: &NameIndex, name: &str| {
            index.find(index.hash(name.as_bytes()), |number| {
                names.get(number as usize).is_some_and(|own| own.eq_ignore_ascii_case(name))
            })
        };
        for (number, name) in (0..).zip(&names) {
            assert_eq!(find(&index, &name.to_uppercase()), Some(number));
        }
        assert_eq!(find(&index, "Name_of_1000"), None);
        index.clear();
        assert_eq!(find(&index, "Name_of_1"), None);
        assert_eq!(NameIndex::default().find(7, |_| true), None);
    }
}
