//! Which operators could match a value: "no" or "maybe", never "yes".
//!
//! [`Condition`] says what a value must have for an operator to match it: one of several texts, a byte of each of
//! several sets, a length. One walk over the value with all texts in one automaton, and the set of its bytes, answers
//! for all operators at once; the answer is a bit per operator.
//!
//! Case is folded for the search only, so a text in the wrong case is a "maybe" too many. Long texts are cut: what they
//! begin with is as necessary, and the automaton stays small enough for the cache.

mod condition;
mod pattern;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

use super::operate::CompiledOperator;
use super::program::OperatorId;
use super::regex::ByteSet;
use condition::Condition;
use pattern::MOST_SETS;

/// How much of a text is looked for.
const TEXT_BYTES: usize = 6;

/// Lengths that are told apart.
const LENGTHS: usize = 32;

/// The conditions of all operators of a program, made to be asked together.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    /// Words of one answer.
    words: usize,
    /// Which bit of an answer is about an operator.
    bits: Vec<Option<u32>>,
    /// All texts; `None` when there are none, or too many to be worth it.
    automaton: Option<DFA>,
    /// Operators of each text, ranges of `text_operators`.
    texts: Vec<(u32, u32)>,
    text_operators: Vec<u32>,
    /// Operators that ask for no text, and all when there is no automaton.
    textless: Vec<u64>,
    /// Operators with so many sets or fewer: those that pass whatever bytes there are.
    setless: [Vec<u64>; MOST_SETS],
    /// For the n-th set of each operator and each byte: the operators whose set has it.
    by_byte: [Vec<u64>; MOST_SETS],
    /// Operators that a value of that length is long enough for.
    by_length: Vec<u64>,
}

impl Prefilter {
    /// Of the operators of a program, as far as they are asked for.
    pub(crate) fn new(operators: &[CompiledOperator], is_asked: impl Fn(u32) -> bool) -> Self {
        let mut filter = Self::default();
        let mut conditions = Vec::new();
        for (id, operator) in (0_u32..).zip(operators) {
            let condition = Condition::of(operator);
            let is_told = is_asked(id) && !condition.is_empty();
            filter.bits.push(is_told.then_some(conditions.len() as u32));
            if is_told {
                conditions.push(condition);
            }
        }
        let words = conditions.len().div_ceil(64);
        filter.words = words;
        filter.textless = vec![0; words];
        filter.by_length = vec![0; words * LENGTHS];
        for table in &mut filter.setless {
            *table = vec![0; words];
        }
        for table in &mut filter.by_byte {
            *table = vec![0; words * 256];
        }
        let mut texts: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for (bit, condition) in (0_u32..).zip(&conditions) {
            match &condition.literals {
                None => set(&mut filter.textless, bit),
                Some(literals) => {
                    for text in literals {
                        let known = texts.entry(text.get(..TEXT_BYTES).unwrap_or(text)).or_default();
                        if known.last() != Some(&bit) {
                            known.push(bit);
                        }
                    }
                }
            }
            filter.add_sets(bit, &condition.sets);
            for length in condition.length.min(LENGTHS - 1)..LENGTHS {
                set(filter.by_length.get_mut(length * words..).unwrap_or_default(), bit);
            }
        }
        filter.add_texts(&texts);
        filter
    }

    fn add_sets(&mut self, operator: u32, sets: &[ByteSet]) {
        let words = self.words;
        for (number, (setless, by_byte)) in self.setless.iter_mut().zip(&mut self.by_byte).enumerate() {
            let Some(members) = sets.get(number) else {
                set(setless, operator);
                continue;
            };
            for byte in members.iter() {
                set(by_byte.get_mut(usize::from(byte) * words..).unwrap_or_default(), operator);
            }
        }
    }

    fn add_texts(&mut self, texts: &BTreeMap<&[u8], Vec<u32>>) {
        if texts.is_empty() {
            return;
        }
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .build(texts.keys());
        let Ok(automaton) = automaton else {
            self.textless.fill(u64::MAX);
            return;
        };
        for operators in texts.values() {
            let start = self.text_operators.len() as u32;
            self.text_operators.extend_from_slice(operators);
            self.texts.push((start, self.text_operators.len() as u32));
        }
        self.automaton = Some(automaton);
    }

    /// Words of an answer.
    pub(crate) const fn words(&self) -> usize {
        self.words
    }

    /// Which bit of an answer is about that operator; nothing when it is always "maybe".
    pub(crate) fn bit(&self, operator: OperatorId) -> Option<u32> {
        self.bits.get(operator.0 as usize).copied().flatten()
    }

    /// Writes what could match `value` to `out`, which has [`Prefilter::words`] words.
    pub(crate) fn ask(&self, value: &[u8], out: &mut [u64]) {
        let words = self.words;
        out.copy_from_slice(self.textless.get(..out.len()).unwrap_or_default());
        let mut present = [false; 256];
        self.find_texts(value, &mut present, out);
        let length = value.len().min(LENGTHS - 1);
        narrow(out, self.by_length.get(length * words..).unwrap_or_default());
        let mut bytes = [0_u8; 256];
        let mut count = 0;
        for (byte, _) in (0..=u8::MAX).zip(&present).filter(|(_, is_there)| **is_there) {
            if let Some(slot) = bytes.get_mut(count) {
                *slot = byte;
                count += 1;
            }
        }
        let bytes = bytes.get(..count).unwrap_or_default();
        let (mut few, mut many) = ([0_u64; 16], Vec::new());
        let passing = match few.get_mut(..words) {
            Some(passing) => passing,
            None => {
                many.resize(words, 0);
                &mut many[..]
            }
        };
        for (setless, by_byte) in self.setless.iter().zip(&self.by_byte) {
            if out.iter().all(|word| *word == 0) {
                return;
            }
            passing.copy_from_slice(setless);
            for byte in bytes {
                let row = by_byte.get(usize::from(*byte) * words..).unwrap_or_default();
                for (word, more) in passing.iter_mut().zip(row) {
                    *word |= more;
                }
            }
            narrow(out, passing);
        }
    }

    fn find_texts(&self, value: &[u8], present: &mut [bool; 256], out: &mut [u64]) {
        let start = self.automaton.as_ref().and_then(|found| found.start_state(Anchored::No).ok());
        let (Some(automaton), Some(start)) = (&self.automaton, start) else {
            value.iter().for_each(|byte| mark(present, *byte));
            return;
        };
        let mut state = start;
        for byte in value {
            mark(present, *byte);
            state = automaton.next_state(Anchored::No, state, *byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                for index in 0..automaton.match_len(state) {
                    let text = automaton.match_pattern(state, index).as_usize();
                    let (start, end) = self.texts.get(text).copied().unwrap_or_default();
                    for operator in self.text_operators.get(start as usize..end as usize).unwrap_or_default() {
                        set(out, *operator);
                    }
                }
            }
        }
    }
}

fn narrow(out: &mut [u64], allowed: &[u64]) {
    for (word, allowed) in out.iter_mut().zip(allowed) {
        *word &= allowed;
    }
}

fn mark(present: &mut [bool; 256], byte: u8) {
    if let Some(slot) = present.get_mut(usize::from(byte)) {
        *slot = true;
    }
}

/// Sets a bit.
pub(crate) fn set(words: &mut [u64], bit: u32) {
    if let Some(word) = words.get_mut((bit / 64) as usize) {
        *word |= 1 << (bit % 64);
    }
}

/// Is the bit set?
pub(crate) fn is_set(words: &[u64], bit: u32) -> bool {
    words.get((bit / 64) as usize).is_some_and(|word| word & (1 << (bit % 64)) != 0)
}
