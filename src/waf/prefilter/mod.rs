//! Which operators could match a value: "no" or "maybe", never "yes".
//!
//! [`Condition`] says what a value must have for an operator to match it: one of several texts, a byte of each of
//! several sets, a length. One walk over the value finds all [`texts`] and its [`signature`]; the operators without
//! texts depend on signature and length alone, and as ordinary values share few of these, their answer is remembered.
//! An answer has a bit per operator.
//!
//! Case is folded, so a text in the wrong case is a "maybe" too many, and the answer for a value holds for its
//! lower-case form as well.

mod condition;
mod pattern;
mod survey;
mod texts;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::operate::CompiledOperator;
use super::program::OperatorId;
use super::signature::{self, Signature};
use condition::Condition;
use pattern::MOST_SETS;
use survey::Survey;
use texts::Texts;

/// Lengths that are told apart.
const LENGTHS: usize = 32;

/// Answers of the operators without texts that a worker remembers.
const REMEMBERED: usize = 512;

/// The conditions of all operators of a program, made to be asked together.
#[derive(Debug, Default)]
pub(crate) struct Prefilter {
    /// Tells programs apart in [`Memory`].
    id: u64,
    /// Words of one answer.
    words: usize,
    /// Which bit of an answer is about an operator.
    bits: Vec<Option<u32>>,
    /// By bit.
    needs: Vec<Needs>,
    /// Bits of the operators that ask for no text.
    textless: Vec<u32>,
    texts: Texts,
    /// By text: what it adds to the signature, and the bits of the operators that ask for it.
    asking: Vec<(Signature, Box<[u32]>)>,
    /// Texts of one byte: their signature, and the operators that ask for them.
    singles: Vec<(Signature, Box<[u32]>)>,
    /// All of their signatures.
    all_singles: Signature,
}

/// What a value needs besides texts.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    sets: [Signature; MOST_SETS],
    count: u8,
    length: u8,
}

impl Needs {
    fn of(condition: &Condition) -> Self {
        let mut needs = Self { length: condition.length.min(LENGTHS - 1) as u8, ..Self::default() };
        for (slot, set) in needs.sets.iter_mut().zip(&condition.sets) {
            *slot = signature::of_set(*set);
            needs.count += 1;
        }
        needs
    }

    #[inline]
    fn are_met(&self, signature: Signature, length: u8) -> bool {
        length >= self.length && self.sets.iter().take(usize::from(self.count)).all(|set| set & signature != 0)
    }
}

/// What a worker remembers between questions.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    survey: Survey,
    /// Of the prefilters asked last, by the end of their ids.
    answers: [Answers; PREFILTERS],
}

/// Prefilters whose answers are remembered: two of each of four programs.
const PREFILTERS: usize = 8;

/// Answers for signatures and lengths.
#[derive(Debug, Default)]
struct Answers {
    /// Of this prefilter.
    id: u64,
    keys: Vec<Option<(Signature, u8)>>,
    answers: Vec<u64>,
}

impl Answers {
    fn turn_to(&mut self, filter: &Prefilter) {
        if self.id != filter.id {
            self.id = filter.id;
            self.keys.clear();
            self.keys.resize(REMEMBERED, None);
            self.answers.clear();
            self.answers.resize(REMEMBERED * filter.words, 0);
        }
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Prefilter {
    /// Of the operators of a program, as far as they are asked for.
    pub(crate) fn new(operators: &[CompiledOperator], is_asked: impl Fn(u32) -> bool) -> Self {
        let mut filter = Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), ..Self::default() };
        let mut asking: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
        for (id, operator) in (0_u32..).zip(operators) {
            // An operator without conditions has a bit too, for what is found out about it later.
            if !is_asked(id) || !operator.is_pure() {
                filter.bits.push(None);
                continue;
            }
            let condition = Condition::of(operator);
            let bit = filter.needs.len() as u32;
            filter.bits.push(Some(bit));
            filter.needs.push(Needs::of(&condition));
            let Some(literals) = condition.literals else {
                filter.textless.push(bit);
                continue;
            };
            for text in literals {
                let bits = asking.entry(text).or_default();
                if bits.last() != Some(&bit) {
                    bits.push(bit);
                }
            }
        }
        for (pair, _) in signature::PAIRS {
            asking.entry(pair.to_vec()).or_default();
        }
        filter.words = filter.needs.len().div_ceil(64);
        let mut texts: Vec<&[u8]> = Vec::new();
        for (text, bits) in &asking {
            match text.as_slice() {
                [byte] => filter.singles.push((signature::bit(*byte), bits.as_slice().into())),
                text => {
                    texts.push(text);
                    let pair = signature::PAIRS.iter().find(|(pair, _)| *pair == text);
                    filter.asking.push((pair.map_or(0, |(_, bit)| *bit), bits.as_slice().into()));
                }
            }
        }
        filter.all_singles = filter.singles.iter().fold(0, |all, (bit, _)| all | bit);
        filter.texts = Texts::new(&texts, pattern::commonness);
        filter
    }

    /// Unlike that of any other prefilter of the process; never 0.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Words of an answer.
    pub(crate) const fn words(&self) -> usize {
        self.words
    }

    /// Which bit of an answer is about that operator; nothing when its answer depends on more than the value.
    pub(crate) fn bit(&self, operator: OperatorId) -> Option<u32> {
        self.bits.get(operator.0 as usize).copied().flatten()
    }

    /// Writes what could match `value` to `out`, which has [`Prefilter::words`] words; gives the value's signature.
    pub(crate) fn ask(&self, memory: &mut Memory, value: &[u8], out: &mut [u64]) -> Signature {
        let length = value.len().min(LENGTHS - 1) as u8;
        let Memory { survey, answers } = memory;
        let bytes = survey.of(value);
        if let Some(answers) = answers.get_mut(self.id as usize % PREFILTERS) {
            self.ask_textless(answers, bytes, length, out);
        }
        let mut pass = |bits: &[u32]| {
            for bit in bits {
                if !is_set(out, *bit) && self.needs.get(*bit as usize).is_some_and(|needs| needs.are_met(bytes, length))
                {
                    set(out, *bit);
                }
            }
        };
        let mut signature = bytes;
        self.texts.find(survey, |text| {
            if let Some((pair, bits)) = self.asking.get(text as usize) {
                signature |= pair;
                pass(bits);
            }
        });
        if bytes & self.all_singles != 0 {
            for (bit, asking) in &self.singles {
                if bytes & bit != 0 {
                    pass(asking);
                }
            }
        }
        if value.last() == Some(&b'.') {
            signature |= signature::ENDS_WITH_DOT;
        }
        signature
    }

    /// Writes what the operators without texts say.
    fn ask_textless(&self, memory: &mut Answers, signature: Signature, length: u8, out: &mut [u64]) {
        memory.turn_to(self);
        let mixed = (signature as u64) ^ ((signature >> 64) as u64).rotate_left(29) ^ u64::from(length) << 17;
        let place = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize % REMEMBERED;
        let words = place * self.words..(place + 1) * self.words;
        let (Some(key), Some(answer)) = (memory.keys.get_mut(place), memory.answers.get_mut(words)) else {
            // There is room for every place; in doubt everything may match.
            out.fill(u64::MAX);
            return;
        };
        if *key != Some((signature, length)) {
            *key = Some((signature, length));
            answer.fill(0);
            for bit in &self.textless {
                if self.needs.get(*bit as usize).is_some_and(|needs| needs.are_met(signature, length)) {
                    set(answer, *bit);
                }
            }
        }
        out.copy_from_slice(answer);
    }
}

fn set(words: &mut [u64], bit: u32) {
    if let Some(word) = words.get_mut((bit / 64) as usize) {
        *word |= 1 << (bit % 64);
    }
}

/// Is the bit set?
pub(crate) fn is_set(words: &[u64], bit: u32) -> bool {
    words.get((bit / 64) as usize).is_some_and(|word| word & (1 << (bit % 64)) != 0)
}
