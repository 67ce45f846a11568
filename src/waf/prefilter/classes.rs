//! Classes of values: those that could match the same operators and that the same transformations would change.
//!
//! Of many short values that nobody has seen before nearly all are of few classes, and what a block asks of a value
//! depends on its class alone until an operator was asked. Most have no text that is looked for; their class is found
//! by their signature and length.

use super::Signature;
use crate::waf::number_index::NumberIndex;
use crate::waf::scratch::make_room;

/// Number of a class.
pub(crate) type ClassId = u32;

/// Signatures and lengths whose class is remembered; a power of two.
const REMEMBERED: usize = 1024;

/// What a worker knows of classes for one prefilter.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    /// Words of an answer.
    words: usize,
    signatures: Vec<Signature>,
    /// Operators that could match the values of a class: `words` for each.
    answers: Vec<u64>,
    index: NumberIndex,
    /// Classes of values without texts.
    plain: Vec<Plain>,
    /// An answer in the making.
    pub(super) draft: Vec<u64>,
}

/// The class of values with this signature and length, as far as no text was found in them.
#[derive(Debug, Clone, Copy)]
struct Plain {
    signature: Signature,
    length: u8,
    class: ClassId,
}

/// Not remembered.
const NONE: ClassId = ClassId::MAX;

impl Classes {
    /// For answers of so many words.
    pub(crate) fn new(words: usize) -> Self {
        let nothing = Plain { signature: 0, length: 0, class: NONE };
        Self { words, plain: vec![nothing; REMEMBERED], draft: vec![0; words], ..Self::default() }
    }

    /// Others of the same prefilter.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.words)
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.signatures.len()
    }

    /// What transformations look for in values of a class. Other bytes than those are not in it.
    #[inline]
    pub(crate) fn signature(&self, class: ClassId) -> Signature {
        self.signatures.get(class as usize).copied().unwrap_or(Signature::MAX)
    }

    /// Operators that could match values of a class or forms of them in another case, a bit each.
    #[inline]
    pub(crate) fn answer(&self, class: ClassId) -> &[u64] {
        let start = class as usize * self.words;
        self.answers.get(start..start + self.words).unwrap_or_default()
    }

    /// The class of values with this signature and length in which no text was found, if it is remembered.
    #[inline]
    pub(super) fn plain(&self, signature: Signature, length: u8) -> Option<ClassId> {
        let known = self.plain.get(place(signature, length))?;
        (known.signature == signature && known.length == length && known.class != NONE).then_some(known.class)
    }

    /// Remembers a class.
    pub(super) fn note_plain(&mut self, signature: Signature, length: u8, class: ClassId) {
        if let Some(slot) = self.plain.get_mut(place(signature, length)) {
            *slot = Plain { signature, length, class };
        }
    }

    /// Begins a draft with the answer of a class.
    pub(super) fn draft_from(&mut self, class: ClassId) {
        let start = class as usize * self.words;
        self.draft.clear();
        self.draft.extend_from_slice(self.answers.get(start..start + self.words).unwrap_or_default());
    }

    /// The class of values with this signature and the answer in `draft`.
    pub(super) fn of_draft(&mut self, signature: Signature) -> ClassId {
        let Self { words, signatures, answers, index, draft, .. } = self;
        let own = hash(index, signature, draft);
        let is_it = |number: u32| {
            let start = number as usize * *words;
            signatures.get(number as usize) == Some(&signature)
                && answers.get(start..start + *words).is_some_and(|answer| answer.iter().eq(draft.iter()))
        };
        if let Some(class) = index.find(own, is_it) {
            return class;
        }
        let class = signatures.len() as ClassId;
        make_room(signatures, 1);
        signatures.push(signature);
        make_room(answers, draft.len());
        answers.extend_from_slice(draft);
        index.insert(own, class, |index, class| {
            let start = class as usize * *words;
            let answer = answers.get(start..start + *words).unwrap_or_default();
            hash(index, signatures.get(class as usize).copied().unwrap_or_default(), answer)
        });
        class
    }
}

#[inline]
fn mixed(signature: Signature) -> u64 {
    (signature as u64).wrapping_mul(SPREAD) ^ ((signature >> 64) as u64).rotate_left(29)
}

fn place(signature: Signature, length: u8) -> usize {
    ((mixed(signature) ^ u64::from(length) << 17).wrapping_mul(SPREAD) >> 54) as usize % REMEMBERED
}

fn hash(index: &NumberIndex, signature: Signature, answer: &[u64]) -> u32 {
    index.hash([(signature >> 64) as u64, signature as u64].into_iter().chain(answer.iter().copied()))
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
