//! Which operators could match a value because of its bytes and its length alone: those that ask for no text, and those
//! that ask for one of one byte.
//!
//! A value has few different bytes. For each of them a table says which texts of one byte and which of all sets it is in,
//! so nothing is asked of a set that the value has no byte of.

use std::collections::{BTreeMap, BTreeSet};

use super::{LENGTHS, Needs};
use crate::waf::signature::{self, Signature};

/// Sets that are looked up by byte, a bit each.
type Sets = u128;

/// 128 of these operators, a bit each; most rule sets have no more.
type Operators = u128;

/// These operators, which have the first bits of an answer.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// Sets that there are.
    sets: Sets,
    /// By bit of a signature: the sets that the byte is in.
    members: Vec<Sets>,
    /// Bytes that are asked for as texts.
    texts: Signature,
    groups: Vec<Group>,
}

/// 128 operators, or fewer.
#[derive(Debug)]
struct Group {
    /// Those that ask for no text.
    textless: Operators,
    /// By length: those that it is enough for.
    lengths: [Operators; LENGTHS],
    /// By bit of a signature: those that ask for that byte.
    asking: [Operators; Signature::BITS as usize],
    /// By number of a set: those that need it.
    needing: [Operators; Sets::BITS as usize],
    /// By bit: the sets that the operator needs.
    needed: [Sets; Operators::BITS as usize],
    /// Those that need a set for which there is no number: their needs have to be looked at.
    others: Operators,
}

impl Group {
    const NONE: Self = Self {
        textless: 0,
        lengths: [0; LENGTHS],
        asking: [0; Signature::BITS as usize],
        needing: [0; Sets::BITS as usize],
        needed: [0; Operators::BITS as usize],
        others: 0,
    };
}

/// The places of the bits that are set.
#[inline]
fn bits(set: u128) -> impl Iterator<Item = usize> {
    let halves = [(0, set as u64), (64, (set >> 64) as u64)];
    halves.into_iter().flat_map(|(start, mut half)| {
        std::iter::from_fn(move || {
            let place = (half != 0).then(|| start + half.trailing_zeros() as usize);
            half &= half.wrapping_sub(1);
            place
        })
    })
}

impl Plain {
    /// Of operators that ask for no text, and of `texts` with those that ask for each.
    pub(super) fn new(textless: &[u32], texts: &BTreeMap<Vec<u8>, Vec<u32>>, needs: &[Needs]) -> Self {
        let singles =
            || texts.iter().filter_map(|(text, bits)| Some((*text.first().filter(|_| text.len() == 1)?, bits)));
        let operators: BTreeSet<u32> = singles().flat_map(|(_, bits)| bits).chain(textless).copied().collect();
        let mut plain = Self { members: vec![0; Signature::BITS as usize], ..Self::default() };
        let count = operators.last().map_or(0, |bit| *bit / Operators::BITS + 1);
        plain.groups.resize_with(count as usize, || Group::NONE);
        for bit in textless {
            plain.note(*bit, |group, own| group.textless |= own);
        }
        for (byte, bits) in singles() {
            let byte = signature::of_bytes(&[byte]);
            plain.texts |= byte;
            for bit in bits {
                plain.note(*bit, |group, own| add(&mut group.asking, byte.trailing_zeros() as usize, own));
            }
        }
        let mut sets: Vec<Signature> = Vec::new();
        for bit in operators {
            let Some(needs) = needs.get(bit as usize) else { continue };
            for length in usize::from(needs.length)..LENGTHS {
                plain.note(bit, |group, own| add(&mut group.lengths, length, own));
            }
            for needed in needs.sets() {
                let number = sets.iter().position(|set| set == needed).unwrap_or(sets.len());
                if number >= Sets::BITS as usize {
                    plain.note(bit, |group, own| group.others |= own);
                    continue;
                }
                if number == sets.len() {
                    sets.push(*needed);
                    plain.sets |= 1 << number;
                }
                plain.note(bit, |group, own| {
                    add(&mut group.needing, number, own);
                    add(&mut group.needed, own.trailing_zeros() as usize, 1 << number);
                });
            }
        }
        for (bit, members) in (0..).zip(&mut plain.members) {
            let numbered = (0..).zip(&sets).filter(|(_, set)| **set >> bit & 1 != 0);
            *members = numbered.fold(0, |all, (number, _)| all | 1 << number);
        }
        plain
    }

    /// Notes something in the group of an operator, which has this bit there.
    fn note(&mut self, bit: u32, change: impl FnOnce(&mut Group, Operators)) {
        if let Some(group) = self.groups.get_mut((bit / Operators::BITS) as usize) {
            change(group, 1 << (bit % Operators::BITS));
        }
    }

    /// Adds to an answer what could match a value with this signature and length.
    pub(super) fn ask(&self, signature: Signature, length: u8, needs: &[Needs], answer: &mut [u64]) {
        let met = bits(signature).filter_map(|bit| self.members.get(bit)).fold(0, |all, sets| all | sets);
        let unmet = self.sets & !met;
        for (number, (group, words)) in self.groups.iter().zip(answer.chunks_mut(2)).enumerate() {
            let found = group.ask(signature & self.texts, length, unmet);
            let is_met = |bit: &usize| {
                needs.get(number * Operators::BITS as usize + bit).is_some_and(|needs| needs.are_met(signature, length))
            };
            let refused = bits(found & group.others).filter(|bit| !is_met(bit)).fold(0, |all, bit| all | 1 << bit);
            let found = found & !refused;
            words.iter_mut().zip([found as u64, (found >> 64) as u64]).for_each(|(word, found)| *word |= found);
        }
    }
}

impl Group {
    /// Those that could match a value with these texts and this length, in which these sets have no byte.
    fn ask(&self, texts: Signature, length: u8, unmet: Sets) -> Operators {
        let asking = bits(texts).filter_map(|bit| self.asking.get(bit)).fold(self.textless, |all, own| all | own);
        let found = asking & self.lengths.get(usize::from(length)).copied().unwrap_or_default();
        // Ordinary values lack most sets, and few operators are left; others lack few, and most are.
        if unmet.count_ones() < found.count_ones() {
            return bits(unmet)
                .filter_map(|number| self.needing.get(number))
                .fold(found, |all, needing| all & !needing);
        }
        let lacks = |bit: &usize| self.needed.get(*bit).is_some_and(|needed| needed & unmet != 0);
        bits(found).filter(lacks).fold(found, |all, bit| all & !(1 << bit))
    }
}

fn add(all: &mut [u128], place: usize, bit: u128) {
    if let Some(own) = all.get_mut(place) {
        *own |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::prefilter::is_set;
    use crate::waf::tests::draws::draws;

    #[test]
    fn says_what_needs_say() {
        let mut draw = draws();
        let (mut met, mut rounds_with_others) = (0, 0);
        for round in 0..200 {
            // So many that in some rounds there are more sets than have a number.
            let count = 1 + draw(400) as u32;
            let mut needs: Vec<Needs> = Vec::new();
            let mut texts: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
            let mut textless: Vec<u32> = Vec::new();
            for bit in 0..count {
                let mut all = Needs { length: draw(12) as u8, count: draw(3) as u8, ..Needs::default() };
                let (low, high) = (draw(usize::MAX), draw(usize::MAX));
                let bytes = signature::of_bytes(b"abcdefgh0123456789();<>");
                let set = (low as Signature | (high as Signature) << 64) & bytes;
                all.sets = [set, signature::of_bytes(&[b"abc("[draw(4)]]), set, set];
                needs.push(all);
                if draw(2) == 0 {
                    textless.push(bit);
                } else {
                    (0..1 + draw(3)).for_each(|_| texts.entry(vec![b"a0(<"[draw(4)]]).or_default().push(bit));
                }
            }
            texts.insert(b"longer".to_vec(), vec![0]);
            let plain = Plain::new(&textless, &texts, &needs);
            rounds_with_others += usize::from(plain.groups.iter().any(|group| group.others != 0));
            for _ in 0..20 {
                let value: Vec<u8> = (0..draw(15)).map(|_| b"abcdAB01;<(z"[draw(12)]).collect();
                let (signature, length) = (signature::of_value(&value), value.len() as u8);
                let mut answer = vec![0; count.div_ceil(64) as usize];
                plain.ask(signature, length, &needs, &mut answer);
                for bit in 0..count {
                    let asks = |(text, bits): (&Vec<u8>, &Vec<u32>)| {
                        text.len() == 1 && bits.contains(&bit) && value.to_ascii_lowercase().contains(&text[0])
                    };
                    let is_asked = textless.contains(&bit) || texts.iter().any(asks);
                    let expected = is_asked && needs[bit as usize].are_met(signature, length);
                    assert_eq!(is_set(&answer, bit), expected, "round {round}, {bit}, {}", value.escape_ascii());
                    met += usize::from(expected);
                }
            }
        }
        assert!(met > 1000 && rounds_with_others > 20, "{met} {rounds_with_others}");
    }
}
