//! Values and what has been found out about them.
//!
//! Clients send the same short texts again and again: names of fields and parameters, user agents, media types. A
//! worker keeps what it knows of those from request to request: which operators could match, which certainly do or do
//! not, what transformations make of them. They are found by their bytes, all of which are compared. Longer values,
//! and those for which there is no room, are known for the duration of their transaction only.
//!
//! When the room for kept values is used up some of them are forgotten before the next transaction ([`super::thinning`]), and
//! all when that for their classes or for what was learned of them is.
//!
//! The fields of a client's requests come in the same order each time, so the value that followed a kept one last time
//! is compared before a hash is worked out: beside it in memory, where the index is anywhere.
//!
//! Of a value little is stored, so that there is room for many: its class ([`Classes`]) says what could match it. What is
//! found out about the value itself, by asking an operator, is a set that it shares with others ([`Lessons`]).

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};

use crate::limits::{
    WAF_KEPT_BYTES, WAF_KEPT_CLASSES, WAF_KEPT_PER_TRANSACTION, WAF_KEPT_QUIET_BYTES, WAF_KEPT_STEPS,
    WAF_KEPT_VALUE_BYTES, WAF_KEPT_VALUES, WAF_PHASE_BYTES, WAF_PHASE_VALUES,
};
use crate::waf::collection::{Buffer, Bytes, Span};
use crate::waf::names::{self, NameIndex};
use crate::waf::number_index::{MOST_NUMBERS, NumberIndex};
use crate::waf::operator::Evidence;
use crate::waf::plan::Plan;
use crate::waf::prefilter::{ALL, ClassId, Classes, Look, Memory, Prefilter, ScopeId};
use crate::waf::program::OperatorId;
use crate::waf::scratch::make_room;
use crate::waf::signature::Signature;

use super::findings::Findings;
use super::lessons::{LessonId, Lessons};
use super::looks::Looks;
use super::store::{Place, SpanHasher, Store};
use super::visits::Visits;

/// Number of a value; those that are known for one transaction only have [`PASSING`] set.
pub(crate) type ValueId = u32;

/// See [`ValueId`].
const PASSING: u32 = 1 << 31;

/// No value, or no row.
pub(super) const NONE: u32 = u32::MAX;

const _: () = assert!(WAF_KEPT_VALUES < MOST_NUMBERS, "their numbers fit into the index");
const _: () = assert!(
    WAF_KEPT_CLASSES + WAF_PHASE_VALUES + WAF_KEPT_PER_TRANSACTION < MOST_NUMBERS,
    "each value of a transaction may have a class of its own"
);

/// There is no room for more values: the rule has to be evaluated plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// All that a worker knows of values for the rules of one prefilter.
#[derive(Debug)]
pub(super) struct Known {
    /// The prefilter's; 0 is nobody's.
    id: u64,
    classes: Classes,
    /// What classes ask of checks.
    pub(super) visits: Visits,
    pub(super) kept: Store,
    /// Groups whose checks ask for nothing that a kept value has, a bit each: so many bytes for each value.
    pub(super) quiet: Vec<u8>,
    pub(super) quiet_width: usize,
    /// What operators answered that were asked about values.
    lessons: Lessons,
    /// Kept values that this transaction learned something of.
    learned: Vec<ValueId>,
    /// What operators found in kept values.
    pub(super) findings: Findings,
    /// Of kept values, by their bytes.
    index: NumberIndex,
    /// The kept value that was found last, and the one that a transaction began with.
    pub(super) previous: ValueId,
    pub(super) first: ValueId,
    is_full: bool,
    are_lessons_full: bool,
    /// Kept values that this transaction added, from this one on.
    first_added: ValueId,
    added: usize,
    pub(super) seed: u64,
    passing: Store,
    /// Of short passing values, by their bytes.
    passing_texts: NameIndex,
    looks: Looks,
    /// Of long values that the transaction has.
    places: HashMap<(Buffer, Span, ScopeId), ValueId, BuildHasherDefault<SpanHasher>>,
    /// The transaction that they are of.
    serial: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            id: 0,
            classes: Classes::default(),
            visits: Visits::default(),
            kept: Store::default(),
            quiet: Vec::new(),
            quiet_width: 0,
            lessons: Lessons::default(),
            learned: Vec::new(),
            findings: Findings::default(),
            index: NumberIndex::default(),
            previous: NONE,
            first: NONE,
            is_full: false,
            are_lessons_full: false,
            first_added: 0,
            added: 0,
            seed: RandomState::new().hash_one(0_u8),
            passing: Store::default(),
            passing_texts: NameIndex::default(),
            looks: Looks::default(),
            places: HashMap::default(),
            serial: 0,
        }
    }
}

impl Known {
    /// Begins a phase.
    pub(super) fn begin(&mut self, filter: &Prefilter, plan: &Plan, serial: u64) {
        if self.id != filter.id() {
            *self = Self {
                id: filter.id(),
                classes: Classes::new(filter.words()),
                lessons: Lessons::new(filter.words()),
                quiet_width: plan.group_count().div_ceil(8),
                ..Self::default()
            };
        }
        if self.serial != serial {
            self.serial = serial;
            self.added = 0;
            self.previous = NONE;
            self.settle();
            self.clear_passing();
            self.passing.shrink();
            if !self.places.is_empty() {
                self.places.clear();
            }
            if self.places.capacity() > WAF_PHASE_VALUES / 16 {
                self.places = HashMap::default();
            }
            if self.visits.is_worn() {
                self.forget_kept();
                self.visits = Visits::default();
            }
            let is_lost = self.are_lessons_full || self.classes.len() > WAF_KEPT_CLASSES;
            if is_lost || (self.is_full && !self.thin_out()) {
                self.forget_kept();
            }
            self.is_full = false;
            self.first_added = self.kept.infos.len() as ValueId;
            if self.visits.is_large() {
                self.visits.clear();
            }
        } else if !self.places.is_empty() {
            // Only the arena stays what it is from one phase to the next.
            self.places.retain(|(buffer, ..), _| *buffer == Buffer::Arena);
        }
    }

    /// Of which prefilter it is.
    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    /// Values that are known from request to request.
    #[cfg(test)]
    pub(super) const fn kept_values(&self) -> usize {
        self.kept.infos.len()
    }

    /// What was learned of kept values is made ready for other transactions.
    fn settle(&mut self) {
        let Self { kept, lessons, learned, are_lessons_full, .. } = self;
        for id in learned.drain(..) {
            let Some(info) = kept.infos.get_mut(id as usize) else { continue };
            info.lesson = lessons.settle(info.lesson).unwrap_or_else(|| {
                *are_lessons_full = true;
                NONE
            });
        }
    }

    fn clear_passing(&mut self) {
        self.passing.clear();
        self.passing_texts.clear();
        self.looks.clear();
        self.lessons.clear_own();
    }

    fn forget_kept(&mut self) {
        (self.is_full, self.are_lessons_full) = (false, false);
        self.kept.clear();
        self.quiet.clear();
        self.lessons.clear();
        self.learned.clear();
        self.findings.clear();
        self.index.clear();
        (self.previous, self.first) = (NONE, NONE);
        // Values that the transaction has had are forgotten with it, so nobody refers to a class any more.
        debug_assert!(self.passing.infos.is_empty());
        if self.classes.len() > WAF_KEPT_CLASSES {
            self.classes = self.classes.anew();
            self.visits.clear();
        }
    }

    /// Forgets all that it found out, for comparisons of the engine with itself.
    pub(super) fn forget(&mut self) {
        self.clear_passing();
        self.places.clear();
        self.forget_kept();
        self.classes = self.classes.anew();
        self.visits.clear();
    }

    /// Forgets what transformations made of values.
    pub(super) fn forget_steps(&mut self) {
        self.kept.forget_steps();
        self.passing.forget_steps();
    }

    fn store(&self, id: ValueId) -> (&Store, usize) {
        if id & PASSING == 0 { (&self.kept, id as usize) } else { (&self.passing, (id & !PASSING) as usize) }
    }

    fn store_mut(&mut self, id: ValueId) -> (&mut Store, usize) {
        if id & PASSING == 0 { (&mut self.kept, id as usize) } else { (&mut self.passing, (id & !PASSING) as usize) }
    }

    /// The number of a value that the transaction has. `scope` is what it can be asked about.
    pub(super) fn given(
        &mut self,
        filter: &Prefilter,
        memory: &mut Memory,
        bytes: Bytes,
        value: &[u8],
        scope: ScopeId,
    ) -> Result<ValueId, Full> {
        if value.len() <= WAF_KEPT_VALUE_BYTES {
            return self.short(value, |classes| filter.ask(memory, classes, value, ALL));
        }
        if let Some(id) = self.places.get(&(bytes.buffer, bytes.span, scope)) {
            return Ok(*id);
        }
        if self.passing.infos.len() >= WAF_PHASE_VALUES {
            return Err(Full);
        }
        let class = filter.ask(memory, &mut self.classes, value, scope);
        let id = self.passing.push(class, Place::Given(bytes), scope) | PASSING;
        self.note_look(id, memory);
        self.places.insert((bytes.buffer, bytes.span, scope), id);
        Ok(id)
    }

    fn note_look(&mut self, id: ValueId, memory: &Memory) {
        if let Some(look) = memory.look() {
            self.looks.note(id, look);
        }
    }

    /// What was found in a value, if that is noted.
    pub(super) fn look(&self, id: ValueId) -> Option<Look<'_>> {
        self.looks.of(id)
    }

    /// The number of a value that a transformation made. `scope` is what it can be asked about. `other` is the value that
    /// it was made of, if they were compared ([`Memory::compare`]).
    pub(super) fn made(
        &mut self,
        filter: &Prefilter,
        memory: &mut Memory,
        value: &[u8],
        scope: ScopeId,
        other: Option<ValueId>,
    ) -> Result<ValueId, Full> {
        if value.len() <= WAF_KEPT_VALUE_BYTES {
            return self.short(value, |classes| filter.ask(memory, classes, value, ALL));
        }
        let place = self.hold(value)?;
        let look = other.and_then(|other| self.looks.of(other));
        let class = filter.ask_form(memory, &mut self.classes, value, scope, look);
        let id = self.passing.push(class, place, scope) | PASSING;
        self.note_look(id, memory);
        Ok(id)
    }

    /// The number of a value that is another one but for the case of letters, which makes its signature this one.
    pub(super) fn made_in_case(
        &mut self,
        filter: &Prefilter,
        value: &[u8],
        other: ValueId,
        signature: Signature,
    ) -> Result<ValueId, Full> {
        let (class, scope) = (self.class(other), self.scope(other));
        if value.len() <= WAF_KEPT_VALUE_BYTES {
            debug_assert_eq!(scope, ALL);
            return self.short(value, |classes| filter.in_other_case(classes, class, signature));
        }
        let place = self.hold(value)?;
        let class = filter.in_other_case(&mut self.classes, class, signature);
        let id = self.passing.push(class, place, scope) | PASSING;
        self.looks.note_again(id, other);
        Ok(id)
    }

    /// The number of a value that is found by its bytes: a kept one, or one that the transaction has had before. If it is
    /// new, `ask` finds its class among all operators.
    fn short(&mut self, value: &[u8], ask: impl FnOnce(&mut Classes) -> ClassId) -> Result<ValueId, Full> {
        if let Some(id) = self.follow(value) {
            return Ok(id);
        }
        // Keyed, so that nobody outside can fill the index with values that are found slowly.
        let hash = names::hash(self.seed, value);
        let ask = match self.keep(value, hash, ask) {
            Ok(id) => {
                *self.following() = id;
                self.previous = id;
                return Ok(id);
            }
            Err(ask) => ask,
        };
        let Store { infos, bytes, .. } = &self.passing;
        let is_it = |number: u32| infos.get(number as usize).is_some_and(|info| info.is_text(value, bytes));
        if let Some(number) = self.passing_texts.find(hash, is_it) {
            return Ok(number | PASSING);
        }
        let place = self.hold(value)?;
        let class = ask(&mut self.classes);
        let number = self.passing.push(class, place, ALL);
        self.passing_texts.insert(hash, number);
        Ok(number | PASSING)
    }

    /// What was asked for behind the value that was found last; [`NONE`] if nothing was.
    fn following(&mut self) -> &mut ValueId {
        match self.kept.infos.get_mut(self.previous as usize) {
            Some(info) => &mut info.next,
            None => &mut self.first,
        }
    }

    /// The number of a value, if it is the kept one that followed last time too.
    fn follow(&mut self, value: &[u8]) -> Option<ValueId> {
        let id = *self.following();
        let info = self.kept.infos.get_mut(id as usize)?;
        if !info.is_text(value, &self.kept.bytes) {
            return None;
        }
        info.is_asked_again |= id < self.first_added;
        self.previous = id;
        Some(id)
    }

    /// Makes room for a value for the duration of the transaction.
    fn hold(&mut self, value: &[u8]) -> Result<Place, Full> {
        let store = &mut self.passing;
        if store.infos.len() >= WAF_PHASE_VALUES || store.bytes.len() + value.len() > WAF_PHASE_BYTES {
            return Err(Full);
        }
        let span = Span { start: store.bytes.len() as u32, len: value.len() as u32 };
        store.bytes.extend_from_slice(value);
        Ok(Place::Own(span))
    }

    /// Finds a value among the kept ones, or adds it; gives `ask` back when there is no room.
    fn keep<A: FnOnce(&mut Classes) -> ClassId>(&mut self, value: &[u8], hash: u32, ask: A) -> Result<ValueId, A> {
        let Store { infos, bytes, .. } = &mut self.kept;
        let is_it = |number: u32| infos.get(number as usize).is_some_and(|info| info.is_text(value, bytes));
        if let Some(id) = self.index.find(hash, is_it) {
            if let Some(info) = infos.get_mut(id as usize) {
                info.is_asked_again |= id < self.first_added;
            }
            return Ok(id);
        }
        if self.added >= WAF_KEPT_PER_TRANSACTION {
            return Err(ask);
        }
        let most = WAF_KEPT_VALUES.min(WAF_KEPT_QUIET_BYTES / self.quiet_width.max(1));
        if infos.len() >= most || bytes.len() + value.len() > WAF_KEPT_BYTES {
            self.is_full = true;
            return Err(ask);
        }
        let span = Span { start: bytes.len() as u32, len: value.len() as u32 };
        make_room(bytes, value.len());
        bytes.extend_from_slice(value);
        let class = ask(&mut self.classes);
        make_room(infos, 1);
        let id = self.kept.push(class, Place::Own(span), ALL);
        make_room(&mut self.quiet, self.quiet_width);
        self.quiet.resize(self.quiet.len() + self.quiet_width, 0);
        let Self { kept, index, seed, .. } = self;
        index.insert(hash, id, |_, id| kept.infos.get(id as usize).map_or(0, |info| info.hash(*seed, &kept.bytes)));
        self.added += 1;
        Ok(id)
    }

    /// Finds the kept values again, which have other numbers and another hash.
    pub(super) fn index_anew(&mut self) {
        let Self { kept, index, seed, .. } = self;
        index.renumber(kept.infos.iter().map(|info| info.hash(*seed, &kept.bytes)));
    }

    /// Where the bytes of a value are, and those of its store.
    pub(super) fn place(&self, id: ValueId) -> Option<(Place, &[u8])> {
        let (store, index) = self.store(id);
        store.infos.get(index).map(|info| (info.place(), store.bytes.as_slice()))
    }

    /// The class of a value.
    #[inline]
    pub(super) fn class(&self, id: ValueId) -> ClassId {
        let (store, index) = self.store(id);
        store.infos.get(index).map_or(ClassId::MAX, |info| info.class)
    }

    /// What a value can be asked about.
    #[inline]
    pub(super) fn scope(&self, id: ValueId) -> ScopeId {
        let (store, index) = self.store(id);
        store.infos.get(index).map_or(ALL, |info| info.scope)
    }

    /// How many bytes a value has.
    #[inline]
    pub(super) fn len(&self, id: ValueId) -> usize {
        let (store, index) = self.store(id);
        store.infos.get(index).map_or(usize::MAX, |info| info.len())
    }

    /// What is known of classes, and what they ask of checks.
    pub(super) const fn classes(&mut self) -> (&Classes, &mut Visits) {
        (&self.classes, &mut self.visits)
    }

    /// What transformations look for in a value, as its signature has it.
    #[inline]
    pub(super) fn signature(&self, id: ValueId) -> Signature {
        self.classes.signature(self.class(id))
    }

    /// What was learned of a value since the prefilter was asked.
    #[inline]
    fn lesson(&self, id: ValueId) -> LessonId {
        let (store, index) = self.store(id);
        store.infos.get(index).map_or(NONE, |info| info.lesson)
    }

    /// Operators that could match a value as it is, a bit each.
    #[inline]
    pub(super) fn open(&self, id: ValueId) -> &[u64] {
        self.lessons.open(self.lesson(id)).unwrap_or_else(|| self.maybe(id))
    }

    /// Operators that could match a value or a form of it in another case, a bit each.
    #[inline]
    pub(super) fn maybe(&self, id: ValueId) -> &[u64] {
        self.classes.answer(self.class(id))
    }

    /// Was an operator asked about the value?
    #[inline]
    pub(super) fn has_learned(&self, id: ValueId) -> bool {
        self.lesson(id) != NONE
    }

    /// Did this visit come by a value last?
    #[inline]
    pub(super) fn is_visited(&self, id: ValueId, visit: u32) -> bool {
        let (store, index) = self.store(id);
        store.infos.get(index).is_some_and(|info| info.visit == visit)
    }

    /// Notes that a visit comes by a value; was it there before?
    #[inline]
    pub(super) fn was_visited(&mut self, id: ValueId, visit: u32) -> bool {
        let (store, index) = self.store_mut(id);
        store.infos.get_mut(index).is_some_and(|info| std::mem::replace(&mut info.visit, visit) == visit)
    }

    /// Does no check of the group ask for anything that the value has?
    #[inline]
    pub(super) fn is_quiet(&self, id: ValueId, group: u32) -> bool {
        let byte = self.quiet.get(id as usize * self.quiet_width + (group / 8) as usize);
        id & PASSING == 0 && byte.is_some_and(|byte| byte >> (group % 8) & 1 == 1)
    }

    /// No check of the group asks for anything that the value has.
    pub(super) fn note_quiet(&mut self, id: ValueId, group: u32) {
        if id & PASSING == 0
            && let Some(byte) = self.quiet.get_mut(id as usize * self.quiet_width + (group / 8) as usize)
        {
            *byte |= 1 << (group % 8);
        }
    }

    /// Is it known that the operator of this bit matches?
    pub(super) fn surely_matches(&self, id: ValueId, bit: u32) -> bool {
        self.lessons.surely_matches(self.lesson(id), bit)
    }

    /// The operator of this bit was asked, and does or does not match.
    pub(super) fn learn(&mut self, id: ValueId, bit: u32, is_match: bool) {
        let Self { classes, kept, passing, lessons, learned, .. } = self;
        let is_kept = id & PASSING == 0;
        let (store, index) = if is_kept { (kept, id as usize) } else { (passing, (id & !PASSING) as usize) };
        let Some(info) = store.infos.get_mut(index) else { return };
        let before = info.lesson;
        info.lesson = lessons.learn(before, classes.answer(info.class), bit, is_match);
        if is_kept && before != info.lesson {
            learned.push(id);
        }
    }

    /// Writes what an operator found in the value into `evidence`, if it is known.
    pub(super) fn recall(&self, id: ValueId, operator: OperatorId, captures: bool, evidence: &mut Evidence) -> bool {
        id & PASSING == 0 && self.findings.recall(id, operator, captures, evidence)
    }

    /// Notes what an operator found in the value.
    pub(super) fn note_finding(&mut self, id: ValueId, operator: OperatorId, captures: bool, evidence: &Evidence) {
        if id & PASSING == 0 {
            self.findings.note(id, operator, captures, evidence);
        }
    }

    /// What a transformation made of a value, if it is known.
    #[inline]
    pub(super) fn step(&self, id: ValueId, transformation: usize) -> Option<ValueId> {
        let (store, index) = self.store(id);
        store.step(index, transformation)
    }

    /// Notes what a transformation made of a value of which that was not known.
    pub(super) fn note_step(&mut self, id: ValueId, transformation: usize, result: ValueId) {
        if id & PASSING == 0 && (result & PASSING != 0 || self.kept.step_count() >= WAF_KEPT_STEPS) {
            // It would outlive what it refers to, or there is no room.
            return;
        }
        let (store, index) = self.store_mut(id);
        store.note_step(index, transformation, result);
    }
}
