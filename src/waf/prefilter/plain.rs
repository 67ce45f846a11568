//! Which operators could match a value because of its bytes and its length alone: those that ask for no text, and those
//! that ask for one of one byte.
//!
//! A value has few different bytes. For each of them a table says which texts of one byte and which of all sets it is in,
//! so nothing is asked of a set that the value has no byte of.

use std::collections::{BTreeMap, BTreeSet};

use super::{LENGTHS, Needs, set};
use crate::waf::signature::{self, Signature};

/// Sets that are looked up by byte, a bit each.
type Sets = u128;

/// These operators, which have the first bits of an answer.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// Words of an answer that are about them.
    words: usize,
    /// Those that ask for no text.
    textless: Vec<u64>,
    /// By length: those that it is enough for; `words` for each.
    lengths: Vec<u64>,
    /// By bit of a signature.
    bytes: Vec<Byte>,
    /// By bit of a signature: those that ask for that byte; `words` for each.
    asking: Vec<u64>,
    /// Sets that there are.
    sets: Sets,
    /// By bit of an answer: the sets that the operator needs.
    needed: Vec<Sets>,
    /// By number of a set: those that need it; `words` for each.
    needing: Vec<u64>,
    /// Those that need a set for which there is no number: their needs have to be looked at.
    others: Vec<u64>,
}

/// What a byte is in.
#[derive(Debug, Clone, Copy, Default)]
struct Byte {
    sets: Sets,
    /// Does anybody ask for it as a text?
    is_text: bool,
}

impl Plain {
    /// Of operators that ask for no text, and of `texts` with those that ask for each.
    pub(super) fn new(textless: &[u32], texts: &BTreeMap<Vec<u8>, Vec<u32>>, needs: &[Needs]) -> Self {
        let singles =
            || texts.iter().filter_map(|(text, bits)| Some((*text.first().filter(|_| text.len() == 1)?, bits)));
        let operators: BTreeSet<u32> = singles().flat_map(|(_, bits)| bits).chain(textless).copied().collect();
        let words = operators.last().map_or(0, |bit| *bit as usize / 64 + 1);
        let mut plain = Self {
            words,
            textless: vec![0; words],
            lengths: vec![0; LENGTHS * words],
            bytes: vec![Byte::default(); Signature::BITS as usize],
            asking: vec![0; Signature::BITS as usize * words],
            sets: 0,
            needed: vec![0; words * 64],
            needing: Vec::new(),
            others: vec![0; words],
        };
        textless.iter().for_each(|bit| set(&mut plain.textless, *bit));
        for (byte, bits) in singles() {
            let at = signature::of_bytes(&[byte]).trailing_zeros() as usize;
            if let Some(byte) = plain.bytes.get_mut(at) {
                byte.is_text = true;
            }
            bits.iter().for_each(|bit| set(plain.asking.get_mut(at * words..).unwrap_or_default(), *bit));
        }
        let mut sets: Vec<Signature> = Vec::new();
        for bit in operators {
            let (Some(needs), Some(own)) = (needs.get(bit as usize), plain.needed.get_mut(bit as usize)) else {
                continue;
            };
            for length in usize::from(needs.length)..LENGTHS {
                set(plain.lengths.get_mut(length * words..).unwrap_or_default(), bit);
            }
            for needed in needs.sets() {
                let number = sets.iter().position(|set| set == needed).unwrap_or(sets.len());
                if number >= Sets::BITS as usize {
                    set(&mut plain.others, bit);
                    continue;
                }
                if number == sets.len() {
                    sets.push(*needed);
                    plain.sets |= 1 << number;
                    plain.needing.resize(sets.len() * words, 0);
                }
                *own |= 1 << number;
                set(plain.needing.get_mut(number * words..).unwrap_or_default(), bit);
            }
        }
        for (bit, byte) in (0..).zip(&mut plain.bytes) {
            let numbered = (0..).zip(&sets).filter(|(_, set)| **set >> bit & 1 != 0);
            byte.sets = numbered.fold(0, |all, (number, _)| all | 1 << number);
        }
        plain
    }

    /// Adds to an answer what could match a value with this signature and length.
    pub(super) fn ask(&self, signature: Signature, length: u8, needs: &[Needs], answer: &mut [u64]) {
        let Some(answer) = answer.get_mut(..self.words) else { return };
        answer.copy_from_slice(&self.textless);
        let mut met = 0;
        for (start, half) in [(0, signature as u64), (64, (signature >> 64) as u64)] {
            let mut left = half;
            while left != 0 {
                let at = start + left.trailing_zeros() as usize;
                left &= left - 1;
                let Some(byte) = self.bytes.get(at) else { break };
                met |= byte.sets;
                if byte.is_text {
                    let asking = self.asking.get(at * self.words..).unwrap_or_default();
                    answer.iter_mut().zip(asking).for_each(|(word, asking)| *word |= asking);
                }
            }
        }
        let lengths = self.lengths.get(usize::from(length) * self.words..).unwrap_or_default();
        answer.iter_mut().zip(lengths).for_each(|(word, long_enough)| *word &= long_enough);
        let unmet = self.sets & !met;
        // Ordinary values lack most sets, and few operators are left; others lack few, and most are.
        if unmet.count_ones() < answer.iter().map(|word| word.count_ones()).sum() {
            self.remove_by_set(unmet, answer);
        } else {
            self.remove_by_operator(unmet, answer);
        }
        for (number, (word, others)) in (0..).zip(answer.iter_mut().zip(&self.others)) {
            let mut left = *word & others;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !needs.get(number * 64 + bit as usize).is_some_and(|needs| needs.are_met(signature, length)) {
                    *word &= !(1 << bit);
                }
            }
        }
    }

    /// Takes away those that need a set which is not met, set by set.
    fn remove_by_set(&self, unmet: Sets, answer: &mut [u64]) {
        for (start, half) in [(0, unmet as u64), (64, (unmet >> 64) as u64)] {
            let mut left = half;
            while left != 0 {
                let number = start + left.trailing_zeros() as usize;
                left &= left - 1;
                let needing = self.needing.get(number * self.words..).unwrap_or_default();
                answer.iter_mut().zip(needing).for_each(|(word, needing)| *word &= !needing);
            }
        }
    }

    /// Likewise, operator by operator.
    fn remove_by_operator(&self, unmet: Sets, answer: &mut [u64]) {
        for (word, needed) in answer.iter_mut().zip(self.needed.as_chunks::<64>().0) {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if needed.get(bit as usize & 63).is_some_and(|needed| needed & unmet != 0) {
                    *word &= !(1 << bit);
                }
            }
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
            rounds_with_others += usize::from(plain.others.iter().any(|word| *word != 0));
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
