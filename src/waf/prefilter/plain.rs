//! Which operators could match a value because of its bytes and its length alone: those that ask for no text, and those
//! that ask for one of one byte.
//!
//! Each needs a byte of each of a few sets, of which the texts of one byte are another one. By byte a table says of each
//! operator in which of its sets that byte is, so the answer is what the value's different bytes have together: no step
//! depends on what they are. Looking up which sets are met, and then which operators need one that is not, took more
//! than twice as long, and values of one signature are too rare for it to help much that the answer is remembered.

use std::collections::BTreeMap;

use super::pattern::MOST_SETS;
use super::{LENGTHS, Needs};
use crate::waf::signature::{self, Signature};

/// Sets of one operator: its texts, and what it needs besides.
const SLOTS: usize = 1 + MOST_SETS;

/// 128 of these operators, a bit each; most rule sets have no more. Aligned, so that vector instructions take it from
/// memory.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Operators([u64; 2]);

impl Operators {
    const NONE: Self = Self([0; 2]);

    fn add(&mut self, bit: u32) {
        if let Some(word) = self.0.get_mut((bit / 64) as usize) {
            *word |= 1 << (bit % 64);
        }
    }

    #[inline]
    const fn or(self, other: Self) -> Self {
        let ([low, high], [other_low, other_high]) = (self.0, other.0);
        Self([low | other_low, high | other_high])
    }

    #[inline]
    const fn and(self, other: Self) -> Self {
        let ([low, high], [other_low, other_high]) = (self.0, other.0);
        Self([low & other_low, high & other_high])
    }
}

/// How many.
const COUNT: u32 = 128;

/// By slot: operators.
type Row = [Operators; SLOTS];

/// These operators, which have the first bits of an answer.
#[derive(Debug, Default)]
pub(super) struct Plain {
    groups: Vec<Group>,
}

/// 128 operators, or fewer.
#[derive(Debug)]
struct Group {
    /// By length: those that it is enough for.
    lengths: [Operators; LENGTHS],
    /// Those that ask for nothing there.
    free: Row,
    /// By bit of a signature: those that have the byte in their set there.
    having: [Row; Signature::BITS as usize],
}

impl Group {
    const NONE: Self = Self {
        lengths: [Operators::NONE; LENGTHS],
        free: [Operators::NONE; SLOTS],
        having: [[Operators::NONE; SLOTS]; Signature::BITS as usize],
    };

    /// Adds an operator with the texts of one byte that it asks for, if it asks for texts.
    fn add(&mut self, bit: u32, texts: Option<Signature>, needs: &Needs) {
        let note = |operators: Option<&mut Operators>| operators.into_iter().for_each(|all| all.add(bit));
        for length in usize::from(needs.length)..LENGTHS {
            note(self.lengths.get_mut(length));
        }
        let mut sets = std::iter::once(texts).chain(needs.sets().map(|set| Some(*set)));
        for slot in 0..SLOTS {
            let Some(set) = sets.next().flatten() else {
                note(self.free.get_mut(slot));
                continue;
            };
            for row in (0..).zip(&mut self.having).filter(|(place, _)| set >> *place & 1 != 0).map(|(_, row)| row) {
                note(row.get_mut(slot));
            }
        }
    }

    /// Those that could match a value with this signature and length.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the compiler sees that the places are within the table")]
    fn ask(&self, signature: Signature, length: u8) -> Operators {
        let mut met = self.free;
        for (start, half) in [(0, signature as u64), (64, (signature >> 64) as u64)] {
            let mut rest = half;
            while rest != 0 {
                let having = &self.having[start + rest.trailing_zeros() as usize % 64];
                rest &= rest - 1;
                for (met, having) in met.iter_mut().zip(having) {
                    *met = met.or(*having);
                }
            }
        }
        let enough = self.lengths.get(usize::from(length)).copied().unwrap_or(Operators::NONE);
        met.into_iter().fold(enough, Operators::and)
    }
}

impl Plain {
    /// Of operators that ask for no text, and of `texts` with those that ask for each.
    pub(super) fn new(textless: &[u32], texts: &BTreeMap<Vec<u8>, Vec<u32>>, needs: &[Needs]) -> Self {
        let mut operators: BTreeMap<u32, Option<Signature>> = textless.iter().map(|bit| (*bit, None)).collect();
        for (text, bits) in texts.iter().filter(|(text, _)| text.len() == 1) {
            for bit in bits {
                // One that asks for no text is no less asked for.
                if let Some(texts) = operators.entry(*bit).or_insert(Some(0)) {
                    *texts |= signature::of_bytes(text);
                }
            }
        }
        let mut plain = Self::default();
        let count = operators.last_key_value().map_or(0, |(bit, _)| *bit / COUNT + 1);
        plain.groups.resize_with(count as usize, || Group::NONE);
        for (bit, texts) in operators {
            let group = plain.groups.get_mut((bit / COUNT) as usize);
            if let Some((group, needs)) = group.zip(needs.get(bit as usize)) {
                group.add(bit % COUNT, texts, needs);
            }
        }
        plain
    }

    /// Adds to an answer what could match a value with this signature and length.
    pub(super) fn ask(&self, signature: Signature, length: u8, answer: &mut [u64]) {
        for (group, words) in self.groups.iter().zip(answer.chunks_mut(2)) {
            let found = group.ask(signature, length);
            words.iter_mut().zip(found.0).for_each(|(word, found)| *word |= found);
        }
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
        let mut met = 0;
        for round in 0..200 {
            // In some rounds so many that there are several groups.
            let count = 1 + draw(400) as u32;
            let mut needs: Vec<Needs> = Vec::new();
            let mut texts: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
            let mut textless: Vec<u32> = Vec::new();
            for bit in 0..count {
                let mut all = Needs { length: draw(12) as u8, count: draw(MOST_SETS + 1) as u8, ..Needs::default() };
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
            for _ in 0..20 {
                let value: Vec<u8> = (0..draw(15)).map(|_| b"abcdAB01;<(z"[draw(12)]).collect();
                let (signature, length) = (signature::of_value(&value), value.len() as u8);
                let mut answer = vec![0; count.div_ceil(64) as usize];
                plain.ask(signature, length, &mut answer);
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
        assert!(met > 1000, "{met}");
    }
}
