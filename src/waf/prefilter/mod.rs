//! Which operators could match a value: "no" or "maybe", never "yes".
//!
//! [`Condition`] says what a value must have for an operator to match it: one of several texts, a byte of each of
//! several sets, a length. One walk over the value finds all [`texts`] and its [`signature`]; the operators without
//! texts depend on signature and length alone, and as ordinary values share few of these, their answer is remembered.
//! An answer has a bit per operator. Values with the same answer that the same transformations would change are of one
//! class ([`classes`]), which is what a question is answered with.
//!
//! Case is folded, so a text in the wrong case is a "maybe" too many, and the answer for a value holds for its
//! lower-case form as well.

mod around;
mod classes;
mod condition;
mod edits;
mod literals;
mod pairs;
mod pattern;
mod plain;
mod scope;
mod survey;
mod texts;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::operate::CompiledOperator;
use super::program::OperatorId;
use super::signature::{self, Signature};
use crate::limits::WAF_KEPT_BUFFER_BYTES;
use around::Around;
pub(crate) use classes::{ClassId, Classes};
use condition::Condition;
use literals::Literal;
use pattern::MOST_SETS;
pub(crate) use pattern::commonness;
use plain::Plain;
pub(crate) use scope::{ALL, Kind, ScopeId};
use scope::{Scopes, is_within};
use survey::Survey;
use texts::{SHORT_VALUE, Text};

/// Lengths that are told apart.
const LENGTHS: usize = 32;

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
    /// Those that ask for no text, or for one of one byte.
    plain: Plain,
    /// What transformations look for.
    telling: Signature,
    scopes: Scopes,
    /// By bit: how many texts the operator asks for.
    weights: Vec<usize>,
    /// By text: what it adds to the signature, and the bits of the operators that ask for it.
    asking: Vec<(Signature, Box<[u32]>)>,
    /// By text: what follows when it is found.
    sequels: Vec<Sequel>,
}

/// What follows when a text is found.
#[derive(Debug, Default)]
struct Sequel {
    /// What it adds to the signature.
    pair: Signature,
    /// The operators that then could match, whatever else is in the value: words of an answer.
    sure: Box<[(u32, u64)]>,
    /// Those that need something besides.
    others: Box<[u32]>,
}

impl Sequel {
    /// Of a text that operators ask for.
    fn new(pair: Signature, text: &[u8], asking: &[u32], needs: &[Needs]) -> Self {
        let signature = signature::of_value(text);
        let length = text.len().min(LENGTHS - 1) as u8;
        // A value has the bytes of the texts in it, and is not shorter.
        let is_sure = |bit: &u32| needs.get(*bit as usize).is_some_and(|needs| needs.are_met(signature, length));
        let (sure, others): (Vec<u32>, Vec<u32>) = asking.iter().copied().partition(is_sure);
        let mut words: BTreeMap<u32, u64> = BTreeMap::new();
        for bit in sure {
            *words.entry(bit / 64).or_default() |= 1 << (bit % 64);
        }
        Self { pair, sure: words.into_iter().collect(), others: others.into() }
    }

    const fn concerns_operators(&self) -> bool {
        !self.sure.is_empty() || !self.others.is_empty()
    }
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
        let sets = condition.sets.iter().map(|set| signature::of_set(*set));
        // Each of the texts may have a byte of a set anyway.
        let says_more = |set: &Signature| {
            let has_none = |text: &Literal| signature::of_value(&text.bytes) & set == 0;
            condition.literals.as_ref().is_none_or(|literals| literals.iter().any(has_none))
        };
        for (slot, set) in needs.sets.iter_mut().zip(sets.filter(says_more)) {
            *slot = set;
            needs.count += 1;
        }
        needs
    }

    /// Of each of these a byte.
    #[inline]
    fn sets(&self) -> impl Iterator<Item = &Signature> {
        self.sets.iter().take(usize::from(self.count))
    }

    #[inline]
    fn are_met(&self, signature: Signature, length: u8) -> bool {
        length >= self.length && self.sets().all(|set| set & signature != 0)
    }
}

/// What a worker needs for questions to any prefilter.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    survey: Survey,
    /// For values of which kind that was all that the last value was looked through for; nothing if it was not.
    kind: Option<Kind>,
    /// Where the next value differs from the one that it was made of ([`Self::compare`]).
    stretches: Vec<Range<usize>>,
}

/// A value from this length on is compared with what is made of it.
pub(crate) const COMPARED: usize = if cfg!(fuzzing) { 24 } else { 512 };

const _: () = assert!(COMPARED > SHORT_VALUE, "it is known which texts were found");

/// What was found in a value of the length [`COMPARED`] or more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'l> {
    /// Texts, a bit each.
    pub(crate) texts: &'l [u64],
    /// For values of this kind it is all.
    pub(crate) kind: Kind,
}

impl Memory {
    /// One large value shall not hold memory for good.
    pub(crate) fn shrink(&mut self) {
        self.survey.shrink();
        self.stretches.clear();
        self.stretches.shrink_to(WAF_KEPT_BUFFER_BYTES / size_of::<Range<usize>>());
    }

    /// Finds out whether a form differs from its value at so few places that it need not be looked through as a whole.
    pub(crate) fn compare(&mut self, filter: &Prefilter, value: &[u8], form: &[u8]) -> bool {
        edits::compare(value, form, filter.scopes.reach, &mut self.stretches)
    }

    /// What was found in the value that was asked about last, if it is as long as [`COMPARED`].
    pub(crate) fn look(&self) -> Option<Look<'_>> {
        let kind = self.kind.filter(|_| self.survey.len >= COMPARED)?;
        Some(Look { texts: &self.survey.found, kind })
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Prefilter {
    /// Of the operators of a program, as far as they are asked for. The ids behind theirs are of `stand_ins`: things that
    /// are asked as operators are, and need what the operators named there need, or nothing. `telling` is what the
    /// program's transformations look for in values.
    pub(crate) fn new(
        operators: &[CompiledOperator],
        stand_ins: &[Option<OperatorId>],
        telling: Signature,
        is_asked: impl Fn(u32) -> bool,
    ) -> Self {
        let mut filter = Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), telling, ..Self::default() };
        let mut textless: Vec<u32> = Vec::new();
        let mut asking: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
        // In the order of those.
        let mut arounds: HashMap<Vec<u8>, Vec<Around>> = HashMap::new();
        // An operator without conditions has a bit too, for what is found out about it later.
        let own = operators.iter().map(|operator| operator.is_pure().then(|| Condition::of(operator)));
        let others = stand_ins.iter().map(|operator| {
            let operator = operator.and_then(|id| operators.get(id.0 as usize));
            Some(operator.map(Condition::of).unwrap_or_default())
        });
        let asked = (0_u32..).zip(own.chain(others)).map(|(id, condition)| (id, condition.filter(|_| is_asked(id))));
        let mut conditions: Vec<(u32, Condition)> = Vec::new();
        for (id, condition) in asked {
            filter.bits.push(None);
            conditions.extend(condition.map(|condition| (id, condition)));
        }
        // Those without texts or with texts of one byte have the first bits, so that they are in few words.
        let has_single = |literals: &Vec<Literal>| literals.iter().any(|text| text.bytes.len() == 1);
        conditions.sort_by_key(|(_, condition)| condition.literals.as_ref().map(|literals| !has_single(literals)));
        for (bit, (id, condition)) in (0_u32..).zip(conditions) {
            if let Some(slot) = filter.bits.get_mut(id as usize) {
                *slot = Some(bit);
            }
            filter.needs.push(Needs::of(&condition));
            let Some(literals) = condition.literals else {
                textless.push(bit);
                continue;
            };
            for Literal { bytes: text, around } in literals.into_iter().map(Literal::part) {
                let arounds = arounds.entry(text.clone()).or_default();
                let bits = asking.entry(text).or_default();
                if bits.last() != Some(&bit) {
                    bits.push(bit);
                    arounds.push(around);
                } else if let Some(last) = arounds.last_mut() {
                    *last = last.or(around);
                }
            }
        }
        for (pair, _) in signature::PAIRS {
            asking.entry(pair.to_vec()).or_default();
        }
        filter.words = filter.needs.len().div_ceil(64);
        filter.plain = Plain::new(&textless, &asking, &filter.needs);
        filter.weights = vec![0; filter.needs.len()];
        let mut texts: Vec<Text> = Vec::new();
        for (text, bits) in &asking {
            for bit in bits {
                if let Some(weight) = filter.weights.get_mut(*bit as usize) {
                    *weight += 1;
                }
            }
            if text.len() > 1 {
                texts.push(Text::new(text, arounds.remove(text).unwrap_or_default(), commonness));
                let pair = signature::PAIRS.iter().find(|(pair, _)| *pair == text);
                let pair = pair.map_or(0, |(_, bit)| *bit);
                filter.asking.push((pair, bits.as_slice().into()));
                filter.sequels.push(Sequel::new(pair & telling, text, bits, &filter.needs));
            }
        }
        filter.scopes = Scopes::new(texts);
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

    /// The bits of operators, as a set.
    pub(crate) fn operators(&self, operators: impl Iterator<Item = OperatorId>) -> Box<[u64]> {
        let mut all = vec![0; self.words];
        operators.filter_map(|operator| self.bit(operator)).for_each(|bit| set(&mut all, bit));
        all.into()
    }

    /// How much there is to look for on behalf of a set of operators.
    pub(crate) fn weight(&self, operators: &[u64]) -> usize {
        (0..).zip(&self.weights).filter(|(bit, _)| is_set(operators, *bit)).map(|(_, weight)| weight).sum()
    }

    /// Makes a set of operators a scope, if there is a number left for it.
    pub(crate) fn add_scope(&mut self, operators: Box<[u64]>) -> Option<ScopeId> {
        self.scopes.add(operators)
    }

    /// A shorter value does not match the operator of this bit.
    pub(crate) fn shortest(&self, bit: u32) -> usize {
        self.needs.get(bit as usize).map_or(0, |needs| usize::from(needs.length))
    }

    /// Finds the class of a value: which operators of a scope could match it, and which transformations could change it.
    /// Of operators outside of the scope it says nothing.
    pub(crate) fn ask(&self, memory: &mut Memory, classes: &mut Classes, value: &[u8], scope: ScopeId) -> ClassId {
        self.ask_form(memory, classes, value, scope, None)
    }

    /// Likewise. With what was found in another value, in the same scope or one that has more: the value was made of that
    /// one, and [`Memory::compare`] says where they differ. Then also those operators count whose texts only the other
    /// one has.
    pub(crate) fn ask_form(
        &self,
        memory: &mut Memory,
        classes: &mut Classes,
        value: &[u8],
        scope: ScopeId,
        other: Option<Look<'_>>,
    ) -> ClassId {
        let length = value.len().min(LENGTHS - 1) as u8;
        let Memory { survey, kind, stretches } = memory;
        let bytes = survey.of(value);
        let known = classes.plain(bytes, length);
        let mut is_drafted = false;
        let mut signature = match known {
            Some(class) => classes.signature(class),
            None => {
                classes.draft.clear();
                classes.draft.resize(self.words, 0);
                self.plain.ask(bytes, length, &mut classes.draft);
                is_drafted = true;
                bytes & self.telling
            }
        };
        let own = signature;
        let mut has_text = false;
        *kind = None;
        if let Some((texts, kind_of_texts)) = self.scopes.texts(scope, bytes, &self.asking, &self.needs) {
            *kind = Some(kind_of_texts);
            let mut found = |text: u32| {
                let Some(sequel) = self.sequels.get(text as usize) else { return };
                signature |= sequel.pair;
                if !sequel.concerns_operators() {
                    return;
                }
                if let Some(class) = known.filter(|_| !is_drafted) {
                    is_drafted = true;
                    classes.draft_from(class);
                }
                has_text = true;
                self.pass(&mut classes.draft, sequel, bytes, length);
            };
            match other.filter(|other| is_within(kind_of_texts, other.kind)) {
                None => texts.find(survey, found),
                Some(other) => {
                    survey.found.clear();
                    survey.found.extend_from_slice(other.texts);
                    each_bit(other.texts, &mut found);
                    texts.find_within(survey, stretches, found);
                }
            }
        }
        if value.last() == Some(&b'.') {
            signature |= signature::ENDS_WITH_DOT & self.telling;
        }
        match known {
            Some(class) if signature == own && !is_drafted => return class,
            Some(class) if !is_drafted => classes.draft_from(class),
            _ => {}
        }
        let class = classes.of_draft(signature);
        if known.is_none() && !has_text && signature == own {
            classes.note_plain(bytes, length, class);
        }
        class
    }

    /// The class of a form of a value of this class in which only the case of letters is another, so that its signature is
    /// this one.
    pub(crate) fn in_other_case(&self, classes: &mut Classes, class: ClassId, signature: Signature) -> ClassId {
        classes.draft_from(class);
        classes.of_draft(signature & self.telling)
    }

    /// Adds those operators to an answer whose other needs are met.
    #[inline]
    fn pass(&self, answer: &mut [u64], sequel: &Sequel, signature: Signature, length: u8) {
        for (word, sure) in &sequel.sure {
            if let Some(word) = answer.get_mut(*word as usize) {
                *word |= sure;
            }
        }
        for bit in &sequel.others {
            if !is_set(answer, *bit)
                && self.needs.get(*bit as usize).is_some_and(|needs| needs.are_met(signature, length))
            {
                set(answer, *bit);
            }
        }
    }
}

/// Calls `each` with the number of each bit that is set.
fn each_bit(words: &[u64], mut each: impl FnMut(u32)) {
    for (first, word) in (0..).step_by(64).zip(words) {
        let mut rest = *word;
        while rest != 0 {
            each(first + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
}

/// Sets the bit.
pub(crate) fn set(words: &mut [u64], bit: u32) {
    if let Some(word) = words.get_mut((bit / 64) as usize) {
        *word |= 1 << (bit % 64);
    }
}

/// Is the bit set?
pub(crate) fn is_set(words: &[u64], bit: u32) -> bool {
    words.get((bit / 64) as usize).is_some_and(|word| word & (1 << (bit % 64)) != 0)
}
