//! What the values of a phase turn into, each worked out once.
//!
//! A value is known by where its bytes lie, which does not change while a phase runs. What a transformation makes of it
//! is another value; one that changes nothing leads back to the same, so every chain of transformations that leaves a
//! value alone shares its answer of the prefilter. Rules with the same targets share the list of values, and rules that
//! transform them in the same way share the union of the answers: for most of them a look at one bit of it is all.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::collection::{Buffer, Bytes, Span, Value};
use super::plan::View;
use super::prefilter::{Prefilter, is_set};
use super::program::{Program, Rule};
use super::transaction::Transaction;

/// Number of a value.
pub(crate) type ValueId = u32;

/// More values are not remembered in one phase: the rest is evaluated plainly.
const MOST_VALUES: usize = 32 * 1024;

/// No value yet.
const UNKNOWN: ValueId = ValueId::MAX;

/// One phase of one transaction.
#[derive(Debug, Default)]
pub(crate) struct PhaseValues {
    /// Where the bytes of each value are.
    places: Vec<Place>,
    known: HashMap<(Buffer, Span), ValueId, BuildHasherDefault<SpanHasher>>,
    /// What each pipeline makes of each value.
    transformed: Vec<ValueId>,
    /// What each transformation makes of a value.
    steps: Vec<ValueId>,
    phase: u8,
    /// Answers of the prefilter by value, and whether they are there.
    answers: Vec<u64>,
    is_asked: Vec<bool>,
    /// Transformed bytes.
    bytes: Vec<u8>,
    output: Vec<u8>,
    /// Values of each list of targets, as ranges of `values`.
    lists: Vec<Option<Range<u32>>>,
    pub(crate) values: Vec<Value>,
    ids: Vec<ValueId>,
    /// Bytes generated for `values`.
    pub(crate) text: Vec<u8>,
    /// Union of the answers by group, and whether it is there.
    unions: Vec<u64>,
    has_union: Vec<bool>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// Where the transaction has it.
    Given(Bytes),
    /// In `bytes`.
    Made(Span),
}

impl PhaseValues {
    /// Forgets everything.
    pub(crate) fn begin(&mut self, program: &Program, phase: u8) {
        self.phase = phase;
        self.places.clear();
        self.known.clear();
        self.transformed.clear();
        self.steps.clear();
        self.answers.clear();
        self.is_asked.clear();
        self.bytes.clear();
        self.lists.clear();
        self.lists.resize(program.plan.lists, None);
        self.values.clear();
        self.ids.clear();
        self.text.clear();
        let groups = program.plan.groups;
        self.has_union.clear();
        self.has_union.resize(groups, false);
        self.unions.resize(groups * self.prefilter(program).words(), 0);
    }

    fn prefilter<'p>(&self, program: &'p Program) -> &'p Prefilter {
        program.plan.prefilter(self.phase)
    }

    /// Phase that this is about.
    pub(crate) const fn phase(&self) -> u8 {
        self.phase
    }

    /// Values of a list when they are known.
    pub(crate) fn list(&self, view: View) -> Option<Range<u32>> {
        self.lists.get(view.list as usize).cloned().flatten()
    }

    /// Takes the values from `start` on as those of a list. `false` when there are too many.
    pub(crate) fn add_list(&mut self, program: &Program, view: View, start: usize) -> bool {
        for index in start..self.values.len() {
            let Some(value) = self.values.get(index) else { break };
            let bytes = value.bytes;
            let key = (bytes.buffer, if bytes.span.len == 0 { Span::default() } else { bytes.span });
            let known = self.known.get(&key).copied();
            let id = match known {
                Some(id) => id,
                None => {
                    let Some(id) = self.add(program, Place::Given(bytes)) else {
                        self.values.truncate(start);
                        self.ids.truncate(start);
                        return false;
                    };
                    self.known.insert(key, id);
                    id
                }
            };
            self.ids.push(id);
        }
        if let Some(list) = self.lists.get_mut(view.list as usize) {
            *list = Some(start as u32..self.values.len() as u32);
        }
        true
    }

    fn add(&mut self, program: &Program, place: Place) -> Option<ValueId> {
        let id = self.places.len();
        if id >= MOST_VALUES {
            return None;
        }
        self.places.push(place);
        self.transformed.resize((id + 1) * program.pipelines.len(), UNKNOWN);
        self.steps.resize((id + 1) * program.plan.transformations, UNKNOWN);
        self.answers.resize((id + 1) * self.prefilter(program).words(), 0);
        self.is_asked.push(false);
        Some(id as ValueId)
    }

    /// The number of a value of a list.
    pub(crate) fn id(&self, index: u32) -> ValueId {
        self.ids.get(index as usize).copied().unwrap_or(UNKNOWN)
    }

    /// The bytes of a value.
    pub(crate) fn bytes<'a>(&'a self, program: &'a Program, transaction: &'a Transaction, id: ValueId) -> &'a [u8] {
        match self.places.get(id as usize) {
            Some(Place::Given(bytes)) => transaction.bytes(program, &self.text, *bytes),
            Some(Place::Made(span)) => span.of(&self.bytes),
            None => &[],
        }
    }

    /// The bytes of a value that a transformation made; nothing when it is as the transaction has it.
    pub(crate) fn made(&self, id: ValueId) -> Option<&[u8]> {
        match self.places.get(id as usize) {
            Some(Place::Made(span)) => Some(span.of(&self.bytes)),
            _ => None,
        }
    }

    /// What the rule's transformations make of a value; nothing when there are too many values.
    pub(crate) fn transform(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        rule: &Rule,
        id: ValueId,
    ) -> Option<ValueId> {
        let place = id as usize * program.pipelines.len() + usize::from(rule.pipeline.0);
        match self.transformed.get(place).copied() {
            Some(UNKNOWN) | None => {}
            Some(known) => return Some(known),
        }
        let mut current = id;
        for transformation in program.pipeline(rule.pipeline) {
            current = self.step(program, transaction, *transformation, current)?;
        }
        if let Some(slot) = self.transformed.get_mut(place) {
            *slot = current;
        }
        Some(current)
    }

    fn step(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        transformation: super::transformation::Transformation,
        id: ValueId,
    ) -> Option<ValueId> {
        let place = id as usize * program.plan.transformations + program.plan.place(transformation);
        match self.steps.get(place).copied() {
            Some(UNKNOWN) | None => {}
            Some(known) => return Some(known),
        }
        let mut output = std::mem::take(&mut self.output);
        let input = self.bytes(program, transaction, id);
        let is_changed = transformation.apply(input, &mut output, &program.settings.transformations);
        let result = if is_changed {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(&output);
            self.add(program, Place::Made(Span { start, len: output.len() as u32 }))
        } else {
            Some(id)
        };
        self.output = output;
        if let (Some(slot), Some(result)) = (self.steps.get_mut(place), result) {
            *slot = result;
        }
        result
    }

    /// Could the rule's operator match the value?
    pub(crate) fn may_match(&mut self, program: &Program, transaction: &Transaction, rule: &Rule, id: ValueId) -> bool {
        let Some(bit) = self.prefilter(program).bit(rule.operator) else { return true };
        is_set(self.answer(program, transaction, id), bit)
    }

    fn answer(&mut self, program: &Program, transaction: &Transaction, id: ValueId) -> &[u64] {
        let filter = self.prefilter(program);
        let range = id as usize * filter.words()..(id as usize + 1) * filter.words();
        if !self.is_asked.get(id as usize).copied().unwrap_or(true) {
            let mut answers = std::mem::take(&mut self.answers);
            if let Some(answer) = answers.get_mut(range.clone()) {
                filter.ask(self.bytes(program, transaction, id), answer);
            }
            self.answers = answers;
            if let Some(is_asked) = self.is_asked.get_mut(id as usize) {
                *is_asked = true;
            }
        }
        self.answers.get(range).unwrap_or_default()
    }

    /// Could the rule's operator match any value of the list? Nothing when there are too many to know.
    pub(crate) fn may_match_any(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        rule: &Rule,
        view: View,
        list: Range<u32>,
    ) -> Option<bool> {
        let filter = self.prefilter(program);
        let Some(bit) = filter.bit(rule.operator) else { return Some(!list.is_empty()) };
        let words = filter.words();
        let group = view.group as usize;
        let range = group * words..(group + 1) * words;
        if !self.has_union.get(group).copied().unwrap_or(false) {
            let mut unions = std::mem::take(&mut self.unions);
            let union = unions.get_mut(range.clone()).unwrap_or_default();
            union.fill(0);
            let is_complete = self.unite(program, transaction, rule, list, union);
            self.unions = unions;
            is_complete?;
            if let Some(has_union) = self.has_union.get_mut(group) {
                *has_union = true;
            }
        }
        Some(is_set(self.unions.get(range).unwrap_or_default(), bit))
    }

    fn unite(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        rule: &Rule,
        list: Range<u32>,
        union: &mut [u64],
    ) -> Option<()> {
        for index in list {
            let id = self.id(index);
            if rule.is_multi_match {
                // The value is tested on its way too.
                let mut current = id;
                for transformation in program.pipeline(rule.pipeline) {
                    add_all(union, self.answer(program, transaction, current));
                    current = self.step(program, transaction, *transformation, current)?;
                }
                add_all(union, self.answer(program, transaction, current));
            } else {
                let transformed = self.transform(program, transaction, rule, id)?;
                add_all(union, self.answer(program, transaction, transformed));
            }
        }
        Some(())
    }
}

fn add_all(union: &mut [u64], answer: &[u64]) {
    for (word, more) in union.iter_mut().zip(answer) {
        *word |= more;
    }
}

/// Hashes a few small integers.
#[derive(Debug, Default)]
pub(crate) struct SpanHasher(u64);

impl Hasher for SpanHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}
