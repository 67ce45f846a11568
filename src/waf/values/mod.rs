//! What the rules of a phase look at, each value worked out once.
//!
//! Values of a source are collected when a block first asks for it; [`known`] has what is known of each. A
//! transformation that changes nothing leads back to the same value, so every lane that leaves a value alone shares its
//! answer of the prefilter; whether a lane does is mostly told by the value's signature.

mod findings;
mod known;
mod lessons;
mod looks;
mod sets;
mod sources;
mod store;
mod thinning;
mod visits;

use super::EngineOptions;
use super::collection::{Buffer, Bytes, Span, Value};
use super::operator::Evidence;
use super::plan::{Block, Check, Doubt, Group, Lane, Layout, PrivateChain, SourceId};
use super::prefilter::{COMPARED, Memory, Prefilter, is_set, set};
use super::program::{OperatorId, Program};
use super::scratch::RegexCaches;
use super::signature::Signature;
use super::transaction::Transaction;
use super::transformation::{Transformation, Trigger};
use crate::limits::WAF_KEPT_BUFFER_BYTES;

use known::Known;
pub(crate) use known::{Full, ValueId};
use store::Place;
pub(crate) use visits::Suspicion;
use visits::{Suspects, in_other_case};

/// Prefilters whose values are kept: two of each of four programs.
const PREFILTERS: usize = 8;

/// Values that are remembered by where they lie.
const RECENT: usize = 64;

/// No value lies there.
const NOWHERE: Bytes = Bytes { buffer: Buffer::Text, span: Span { start: u32::MAX, len: 0 } };

/// The values of one phase.
#[derive(Debug, Default)]
pub(crate) struct PhaseValues {
    phase: u8,
    last_phase: u8,
    /// Whose `text` it is.
    serial: u64,
    memory: Memory,
    known: [Known; PREFILTERS],
    /// Which of them is in use.
    current: usize,
    /// Values of sources and parts.
    members: Vec<Member>,
    /// Sources and parts of this phase have this stamp.
    stamp: u32,
    /// Those of the head have at least this one.
    head_stamp: u32,
    sources: Vec<Source>,
    /// Values that several sources have, by where they begin.
    recent: Vec<(Bytes, ValueId)>,
    /// [`Transaction::header_names`]
    header_names: u64,
    /// Ranges of `members`.
    parts: Vec<Part>,
    collected: Vec<Value>,
    /// The value that is looked at for candidates.
    visited: ValueId,
    /// Does a check of the group that is visited ask for something that it has?
    is_loud: bool,
    suspects: Suspects,
    /// Are they known for the block that was entered last?
    are_suspects_known: bool,
    output: Vec<u8>,
    /// Bytes generated for values.
    pub(crate) text: Vec<u8>,
}

/// A value of a target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    pub(crate) value: Value,
    pub(crate) id: ValueId,
}

/// Range of `members` of a part.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    stamp: u32,
    first: u32,
    last: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Source {
    stamp: u32,
    first: u32,
    last: u32,
    /// There was no room for its values.
    is_full: bool,
}

impl PhaseValues {
    /// Begins a phase.
    pub(crate) fn begin(&mut self, program: &Program, transaction: &Transaction, phase: u8) {
        self.phase = phase;
        let is_same_transaction = self.serial == transaction.serial;
        if !is_same_transaction {
            self.serial = transaction.serial;
            self.text.clear();
            // One large request shall not hold memory for good.
            self.text.shrink_to(WAF_KEPT_BUFFER_BYTES);
            self.output.shrink_to(WAF_KEPT_BUFFER_BYTES);
            self.memory.shrink();
        }
        let plan = &program.plan;
        let filter = plan.prefilter(phase);
        self.current = filter.id() as usize % PREFILTERS;
        let is_kept = program.options.transformation_cache;
        self.known_mut().begin(filter, plan, transaction.serial);
        if !is_kept {
            self.known_mut().forget();
        }
        if self.stamp == u32::MAX {
            // Once in four thousand million phases old stamps would come round.
            self.sources.clear();
            self.parts.clear();
            self.stamp = 0;
        }
        self.stamp += 1;
        let continues = is_kept && is_same_transaction && (phase == 2 || phase == 4) && self.last_phase == phase - 1;
        self.last_phase = phase;
        if !continues {
            self.head_stamp = self.stamp;
            self.members.clear();
            self.members.shrink_to(WAF_KEPT_BUFFER_BYTES / size_of::<Member>());
            self.recent.clear();
            self.recent.resize(RECENT, (NOWHERE, 0));
            // The head stays what it is.
            self.header_names = transaction.header_names();
        }
        self.are_suspects_known = false;
        self.suspects.begin(program.rules.len());
        self.sources.resize(plan.source_count(), Source::default());
        self.parts.resize(plan.part_count(), Part::default());
    }

    /// Forgets all that it knows, for every program.
    pub(crate) fn forget_programs(&mut self) {
        self.known = Default::default();
        // What a transaction has found in a phase before has to be found again.
        self.serial = 0;
    }

    /// Values that are known from request to request.
    #[cfg(test)]
    pub(crate) fn kept_values(&self) -> usize {
        self.known.iter().map(Known::kept_values).sum()
    }

    /// Is what is known of a source true in this phase?
    fn is_current(&self, program: &Program, id: SourceId, stamp: u32) -> bool {
        stamp == self.stamp || (stamp >= self.head_stamp && program.plan.is_of_head(id))
    }

    #[expect(clippy::indexing_slicing, reason = "`current` is a remainder of the length")]
    fn known(&self) -> &Known {
        &self.known[self.current % PREFILTERS]
    }

    #[expect(clippy::indexing_slicing, reason = "as above")]
    fn known_mut(&mut self) -> &mut Known {
        &mut self.known[self.current % PREFILTERS]
    }

    fn prefilter<'p>(&self, program: &'p Program) -> &'p Prefilter {
        let filter = program.plan.prefilter(self.phase);
        debug_assert_eq!(filter.id(), self.known().id());
        filter
    }

    /// Forgets what transformations made of values (but not the values themselves).
    pub(crate) fn forget_steps(&mut self) {
        self.known_mut().forget_steps();
    }

    /// Finds the candidates of a block: what the answers for its sources say.
    pub(crate) fn add_candidates(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        layout: &Layout,
        block: Block,
        candidates: &mut [u64],
    ) {
        // What is remembered of classes is about the usual layout.
        let is_remembered = program.options.transformation_cache && std::ptr::eq(layout, program.plan.usual());
        self.are_suspects_known = is_remembered;
        for group in layout.groups(block) {
            if !transaction.has(group.needs, self.header_names) {
                continue;
            }
            let Ok(values) = self.part(program, transaction, caches, group.part) else {
                // Nothing is known of the values, so every operator could match.
                for check in layout.checks(group) {
                    layout.add_all(check, candidates);
                    self.suspects.add_all(self.stamp, layout, check);
                }
                continue;
            };
            if is_remembered {
                self.begin_visit();
            }
            for index in values {
                let Some(id) = self.members.get(index as usize).map(|member| member.id) else { break };
                if is_remembered {
                    self.visit_value(program, transaction, layout, group, id, candidates);
                } else {
                    self.add_candidates_of(program, transaction, layout, group, id, candidates);
                }
            }
        }
        for count in layout.counts(block) {
            let source = if transaction.has(count.needs, self.header_names) {
                self.source(program, transaction, caches, count.source)
            } else {
                Source::default()
            };
            if source.is_full || count.holds(source.last - source.first) {
                set(candidates, count.rule);
            }
        }
        for doubt in layout.doubts(block) {
            if self.is_in_doubt(program, transaction, caches, doubt) {
                set(candidates, doubt.rule);
            }
        }
    }

    /// Could there be a value that the operator does not match?
    fn is_in_doubt(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        doubt: &Doubt,
    ) -> bool {
        let plan = &program.plan;
        let Some(lane) = plan.lane(doubt.view.lane) else { return true };
        for part in plan.list(doubt.view.list).iter().filter_map(|part| plan.part(*part)) {
            let source = self.source(program, transaction, caches, part.source);
            if source.is_full {
                return true;
            }
            for index in source.first..source.last {
                let Some(id) = self.members.get(index as usize).map(|member| member.id) else { return true };
                let is_known = self
                    .transform(program, transaction, lane, id)
                    .is_ok_and(|id| self.surely_matches(program, doubt.operator, id));
                if !is_known {
                    return true;
                }
            }
        }
        false
    }

    /// Finds the candidates of a group because of one value.
    fn add_candidates_of(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        layout: &Layout,
        group: &Group,
        id: ValueId,
        candidates: &mut [u64],
    ) {
        let is_left_alone = group.trigger.is_some_and(|trigger| trigger & self.known().signature(id) == 0);
        if is_left_alone && !layout.concerns(group, self.answer(group.case, id)) {
            return;
        }
        for check in layout.checks(group) {
            if let Err(Full) = self.add_candidates_of_check(program, transaction, layout, check, id, 0, candidates) {
                layout.add_all(check, candidates);
            }
        }
    }

    /// What could match a value, or what becomes of it when letters of `case` change theirs.
    fn answer(&self, case: Signature, id: ValueId) -> &[u64] {
        if case & self.known().signature(id) == 0 { self.known().open(id) } else { self.known().maybe(id) }
    }

    /// Finds the candidates of a check because of one value, which the first `passed` functions of its lane have made;
    /// are there any?
    #[expect(clippy::too_many_arguments, reason = "the kinds of data, the place in them and what is there")]
    fn add_candidates_of_check(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        layout: &Layout,
        check: &Check,
        id: ValueId,
        passed: usize,
        candidates: &mut [u64],
    ) -> Result<bool, Full> {
        let Some(lane) = program.plan.lane(check.lane) else { return Ok(false) };
        let mut is_any = false;
        let mut current = id;
        let is_left_alone = self.is_left_alone(lane, id);
        if is_left_alone && !layout.asks_for(check, self.answer(lane.case, id)) {
            return Ok(false);
        }
        if !is_left_alone || lane.case & self.known().signature(id) != 0 {
            for transformation in program.pipeline(lane.pipeline).iter().skip(passed) {
                if lane.is_multi_match {
                    // The value is tested on its way too.
                    is_any |= layout.add_candidates(check, self.known().open(current), candidates);
                }
                current = self.step(program, transaction, *transformation, current)?;
            }
        }
        Ok(is_any | layout.add_candidates(check, self.known().open(current), candidates))
    }

    /// The bytes of a value.
    pub(crate) fn bytes<'a>(&'a self, program: &'a Program, transaction: &'a Transaction, id: ValueId) -> &'a [u8] {
        match self.known().place(id) {
            Some((Place::Given(bytes), _)) => transaction.bytes(program, &self.text, bytes),
            Some((Place::Own(span), bytes)) => span.of(bytes),
            None => &[],
        }
    }

    /// The bytes of a value that a transformation made.
    pub(crate) fn own_bytes(&self, id: ValueId) -> &[u8] {
        match self.known().place(id) {
            Some((Place::Own(span), bytes)) => span.of(bytes),
            _ => &[],
        }
    }

    /// What a lane makes of a value.
    pub(crate) fn transform(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        lane: &Lane,
        id: ValueId,
    ) -> Result<ValueId, Full> {
        let mut current = id;
        for transformation in program.pipeline(lane.pipeline) {
            current = self.step(program, transaction, *transformation, current)?;
        }
        Ok(current)
    }

    /// Does the lane change nothing of the value, not even the case of letters?
    pub(crate) fn is_unchanged(&self, lane: &Lane, id: ValueId) -> bool {
        lane.trigger.is_some_and(|trigger| (trigger | lane.case) & self.known().signature(id) == 0)
    }

    /// Does the lane change nothing of the value but the case of letters?
    pub(crate) fn is_left_alone(&self, lane: &Lane, id: ValueId) -> bool {
        lane.trigger.is_some_and(|trigger| trigger & self.known().signature(id) == 0)
    }

    /// What a transformation makes of a value.
    pub(crate) fn step(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        transformation: Transformation,
        id: ValueId,
    ) -> Result<ValueId, Full> {
        let signature = self.known().signature(id);
        let is_left_alone = matches!(transformation.trigger(), Trigger::Bytes(trigger) if trigger & signature == 0);
        if is_left_alone && transformation.case_trigger() & signature == 0 {
            return Ok(id);
        }
        let place = program.plan.place(transformation);
        if let Some(known) = self.known().step(id, place) {
            return Ok(known);
        }
        let mut output = std::mem::take(&mut self.output);
        let is_changed =
            transformation.apply(self.bytes(program, transaction, id), &mut output, &program.settings.transformations);
        let filter = self.prefilter(program);
        let scopes = program.plan.scopes(self.phase);
        let mut other = None;
        if is_changed && !is_left_alone && output.len() >= COMPARED && self.known().look(id).is_some() {
            let mut memory = std::mem::take(&mut self.memory);
            let differs_little = memory.compare(filter, self.bytes(program, transaction, id), &output);
            other = differs_little.then_some(id);
            self.memory = memory;
        }
        let Self { known, current, memory, .. } = self;
        let result = match known.get_mut(*current) {
            Some(known) if is_changed && is_left_alone => {
                let signature = in_other_case(signature, transformation);
                known.made_in_case(filter, &output, id, signature)
            }
            Some(known) if is_changed => {
                known.made(filter, memory, &output, scopes.made(known.scope(id), place), other)
            }
            _ => Ok(id),
        };
        if let Ok(result) = result {
            self.known_mut().note_step(id, place, result);
        }
        self.output = output;
        result
    }

    /// Could the operator match the value?
    pub(crate) fn may_match(&self, program: &Program, operator: OperatorId, id: ValueId) -> bool {
        let Some(bit) = self.prefilter(program).bit(operator) else { return true };
        is_set(self.known().open(id), bit)
    }

    /// Is it known that the operator matches the value?
    pub(crate) fn surely_matches(&self, program: &Program, operator: OperatorId, id: ValueId) -> bool {
        self.prefilter(program).bit(operator).is_some_and(|bit| self.known().surely_matches(id, bit))
    }

    /// The operator was asked, and does or does not match.
    pub(crate) fn learn(&mut self, program: &Program, operator: OperatorId, id: ValueId, is_match: bool) {
        if let Some(bit) = self.prefilter(program).bit(operator) {
            self.known_mut().learn(id, bit, is_match);
        }
    }

    /// Does the operator match the value, and is it known what it finds? That is then in `evidence`.
    pub(crate) fn recall(
        &self,
        program: &Program,
        operator: OperatorId,
        captures: bool,
        id: ValueId,
        evidence: &mut Evidence,
    ) -> bool {
        self.keeps_findings(program, operator) && self.known().recall(id, operator, captures, evidence)
    }

    /// The operator matches the value: what it found, for [`Self::recall`].
    pub(crate) fn note_finding(
        &mut self,
        program: &Program,
        operator: OperatorId,
        captures: bool,
        id: ValueId,
        evidence: &Evidence,
    ) {
        if self.keeps_findings(program, operator) {
            self.known_mut().note_finding(id, operator, captures, evidence);
        }
    }

    /// Those that have a bit depend on the value alone.
    fn keeps_findings(&self, program: &Program, operator: OperatorId) -> bool {
        let EngineOptions { prefilter, transformation_cache, .. } = program.options;
        prefilter && transformation_cache && self.prefilter(program).bit(operator).is_some()
    }

    /// A private chain has found nothing in all values of its first link, and it would not in the same ones again.
    pub(crate) fn learn_fruitless(
        &mut self,
        program: &Program,
        transaction: &Transaction,
        caches: &mut RegexCaches,
        chain: &PrivateChain,
    ) {
        let Some(view) = program.plan.view(chain.starter) else { return };
        let Some(lane) = program.plan.lane(view.lane) else { return };
        let is_whole = !transaction.is_arena_full && !transaction.has_removed_targets(program, chain.starter);
        if !is_whole || transaction.has_tx_for(&chain.prefix, &chain.others, caches) {
            return;
        }
        let Some(bit) = self.prefilter(program).bit(chain.stand_in) else { return };
        for part in program.plan.list(view.list) {
            let Ok(range) = self.part(program, transaction, caches, *part) else { return };
            for place in range {
                let Some(member) = self.members.get(place as usize).copied() else { return };
                if self.is_left_alone(lane, member.id) && !is_set(self.known().maybe(member.id), bit) {
                    continue;
                }
                let Ok(id) = self.transform(program, transaction, lane, member.id) else { return };
                self.learn(program, chain.stand_in, id, false);
            }
        }
    }
}
