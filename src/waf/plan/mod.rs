//! What is known of a program before any request: which rules look at the same values in the same way, and where to
//! look for those that could match.
//!
//! The targets of the rules are taken apart into *sources* (`ARGS`, `REQUEST_HEADERS:User-Agent`), which many rules
//! share, and their transformations into *lanes*. A rule can match only if the prefilter has its operator's bit for a
//! value of one of its sources in its lane; so for each *block* (rules between which nothing jumps) the plan lists the
//! (source, lane) pairs to ask for and the rules that a bit there makes candidates. Rules that this cannot be said of
//! are candidates always: negated operators, counts, and variables that rules change while the phase runs (TX,
//! MATCHED_…, persistent collections).

mod shape;
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::prefilter::Prefilter;
use super::program::{OperatorId, PipelineId, Program, Rule, RuleIndex, Target};
use super::signature::Signature;
use super::transformation::{Transformation, Trigger};

pub(crate) use shape::Shape;

/// Index of a source.
pub(crate) type SourceId = u16;

/// Index of a part.
pub(crate) type PartId = u16;

/// Index of a lane.
pub(crate) type LaneId = u16;

/// What is known of a program as a whole.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Is there anything to gain?
    pub(crate) is_active: bool,
    /// Of rules of phases 1 and 2, and of those of the others.
    prefilters: [Prefilter; 2],
    sources: Vec<Target>,
    lanes: Vec<Lane>,
    /// Pairs of source and lane that are asked for.
    pub(crate) unions: usize,
    parts: Vec<Part>,
    /// Distinct lists of targets.
    lists: Vec<Box<[PartId]>>,
    /// By rule.
    rules: Vec<RulePlan>,
    blocks: Vec<Block>,
    groups: Vec<Group>,
    checks: Vec<Check>,
    /// Words for each check.
    masks: Vec<u64>,
    hits: Vec<Hit>,
    /// Rules that are candidates always, a bit each.
    always: Vec<u64>,
    /// How many transformations there are, and where each of them is among those.
    pub(crate) transformations: usize,
    places: Vec<usize>,
}

/// Transformations, and how they are applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    pub(crate) pipeline: PipelineId,
    /// The value is tested between transformations too.
    pub(crate) is_multi_match: bool,
    /// A value without these bytes comes out as it was, but for the case of letters; nothing when that is not known.
    pub(crate) trigger: Option<Signature>,
}

/// A target with what the exclusions behind it take away.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Part {
    pub(crate) source: SourceId,
    /// Numbers of the targets whose values are left out.
    pub(crate) exclusions: Box<[u32]>,
}

#[derive(Debug, Clone, Copy)]
struct RulePlan {
    view: Option<View>,
    shape: Shape,
    block: u32,
}

/// How a rule looks at values that cannot change while the phase runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) list: u32,
    pub(crate) lane: LaneId,
}

/// Rules that are entered at the first of them only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) end: RuleIndex,
    first_group: u32,
    last_group: u32,
}

/// What a block asks for one source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) source: SourceId,
    /// Of all its lanes; nothing when one has none.
    pub(crate) trigger: Option<Signature>,
    /// The masks of all its checks together.
    first_mask: u32,
    first_check: u32,
    last_check: u32,
}

/// What to ask for when a block is entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) source: SourceId,
    pub(crate) lane: LaneId,
    /// The lane's.
    pub(crate) trigger: Option<Signature>,
    /// Number of the pair.
    pub(crate) union: u32,
    first_mask: u32,
    first_hit: u32,
    last_hit: u32,
}

/// A bit of an answer makes a rule a candidate.
#[derive(Debug, Clone, Copy)]
struct Hit {
    bit: u32,
    rule: RuleIndex,
}

impl Plan {
    /// Of a program that is complete but for this.
    pub(crate) fn new(program: &Program) -> Self {
        if !program.options.prefilter && !program.options.transformation_cache {
            return Self::default();
        }
        Builder::new(program).build()
    }

    /// The prefilter for the rules of a phase.
    pub(crate) fn prefilter(&self, phase: u8) -> &Prefilter {
        let [request, response] = &self.prefilters;
        if phase <= 2 { request } else { response }
    }

    /// Where a transformation is among those that there are.
    pub(crate) fn place(&self, transformation: Transformation) -> usize {
        self.places.get(transformation as usize).copied().unwrap_or_default()
    }

    /// How a rule looks; nothing when its values can change while the phase runs.
    pub(crate) fn view(&self, rule: RuleIndex) -> Option<View> {
        self.rules.get(rule as usize).and_then(|plan| plan.view)
    }

    /// What the rule is, as far as that allows a shortcut.
    pub(crate) fn shape(&self, rule: RuleIndex) -> Shape {
        self.rules.get(rule as usize).map_or(Shape::Other, |plan| plan.shape)
    }

    /// How many sources there are.
    pub(crate) fn source_count(&self) -> usize {
        self.sources.len()
    }

    /// Target of a source.
    pub(crate) fn source(&self, id: SourceId) -> Option<&Target> {
        self.sources.get(usize::from(id))
    }

    /// A lane.
    pub(crate) fn lane(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.get(usize::from(id))
    }

    /// How many parts there are.
    pub(crate) fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// A part.
    pub(crate) fn part(&self, id: PartId) -> Option<&Part> {
        self.parts.get(usize::from(id))
    }

    /// Parts of a list, in order.
    pub(crate) fn list(&self, id: u32) -> &[PartId] {
        self.lists.get(id as usize).map(|list| &**list).unwrap_or_default()
    }

    /// Number of a rule's block.
    pub(crate) fn block_of(&self, rule: RuleIndex) -> u32 {
        self.rules.get(rule as usize).map_or(u32::MAX, |plan| plan.block)
    }

    /// A block.
    pub(crate) fn block(&self, number: u32) -> Option<Block> {
        self.blocks.get(number as usize).copied()
    }

    /// What to ask for when a block is entered.
    pub(crate) fn groups(&self, block: Block) -> &[Group] {
        self.groups.get(block.first_group as usize..block.last_group as usize).unwrap_or_default()
    }

    /// The checks of a group.
    pub(crate) fn checks(&self, group: &Group) -> &[Check] {
        self.checks.get(group.first_check as usize..group.last_check as usize).unwrap_or_default()
    }

    /// Does any check of the group ask for a bit of `answer`?
    pub(crate) fn concerns(&self, group: &Group, answer: &[u64]) -> bool {
        let masks = self.masks.get(group.first_mask as usize..).unwrap_or_default();
        answer.iter().zip(masks).any(|(word, mask)| word & mask != 0)
    }

    /// Rules that are candidates always.
    pub(crate) fn always(&self) -> &[u64] {
        &self.always
    }

    /// Adds the rules that the bits of `answer` make candidates.
    pub(crate) fn add_candidates(&self, check: &Check, answer: &[u64], candidates: &mut [u64]) {
        let masks = self.masks.get(check.first_mask as usize..).unwrap_or_default();
        for ((word, mask), number) in answer.iter().zip(masks).zip(0_u32..) {
            let mut bits = word & mask;
            while bits != 0 {
                let bit = number * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                let hits = self.hits.get(check.first_hit as usize..check.last_hit as usize).unwrap_or_default();
                let first = hits.partition_point(|hit| hit.bit < bit);
                for hit in hits.get(first..).unwrap_or_default().iter().take_while(|hit| hit.bit == bit) {
                    if let Some(word) = candidates.get_mut((hit.rule / 64) as usize) {
                        *word |= 1 << (hit.rule % 64);
                    }
                }
            }
        }
    }
}

/// Hits of the checks of one block.
type Hits = BTreeMap<(SourceId, LaneId), Vec<Hit>>;

struct Builder<'p> {
    program: &'p Program,
    plan: Plan,
    source_ids: HashMap<String, SourceId>,
    exclusion_ids: HashMap<String, u32>,
    lane_ids: HashMap<(PipelineId, bool), LaneId>,
    part_ids: HashMap<Part, PartId>,
    list_ids: HashMap<Box<[PartId]>, u32>,
    union_ids: HashMap<(SourceId, LaneId), u32>,
}

impl<'p> Builder<'p> {
    fn new(program: &'p Program) -> Self {
        Self {
            program,
            plan: Plan { is_active: true, ..Plan::default() },
            source_ids: HashMap::new(),
            exclusion_ids: HashMap::new(),
            lane_ids: HashMap::new(),
            part_ids: HashMap::new(),
            list_ids: HashMap::new(),
            union_ids: HashMap::new(),
        }
    }

    fn build(mut self) -> Plan {
        let program = self.program;
        for rule in &program.rules {
            let view = self.view(rule);
            let shape = Shape::of(program, rule);
            self.plan.rules.push(RulePlan { view, shape, block: 0 });
        }
        self.number_transformations();
        self.plan.prefilters = [1..=2, 3..=5].map(|phases: std::ops::RangeInclusive<u8>| {
            let indices = phases.flat_map(|phase| program.phase(phase));
            let rules = indices.filter(|index| self.plan.view(*index).is_some());
            let asked: HashSet<OperatorId> = rules
                .filter_map(|index| program.rule(index))
                .filter(|rule| !rule.is_negated)
                .map(|rule| rule.operator)
                .collect();
            Prefilter::new(&program.operators, |id| program.options.prefilter && asked.contains(&OperatorId(id)))
        });
        self.plan.always = vec![0; program.rules.len().div_ceil(64)];
        for phase in 1..=5 {
            self.add_blocks(phase);
        }
        self.plan.unions = self.union_ids.len();
        self.plan
    }

    /// How the rule's values are put together, when they stay the same.
    fn view(&mut self, rule: &Rule) -> Option<View> {
        let targets = self.program.targets(rule);
        if !targets.iter().all(source::is_stable) {
            return None;
        }
        let mut list = Vec::new();
        for (place, target) in targets.iter().enumerate() {
            if target.is_exclusion {
                continue;
            }
            let mut exclusions = Vec::new();
            for (number, other) in (rule.targets.start..).zip(targets).skip(place + 1) {
                if other.is_exclusion && other.variable == target.variable {
                    // Two rules' exclusions are the same when their texts are.
                    exclusions.push(self.exclusion(number, other));
                }
            }
            let part = Part { source: self.source(target), exclusions: exclusions.into() };
            list.push(self.part(part));
        }
        let next = self.plan.lists.len() as u32;
        let parts = list.into_boxed_slice();
        let list = *self.list_ids.entry(parts.clone()).or_insert(next);
        if list == next {
            self.plan.lists.push(parts);
        }
        Some(View { list, lane: self.lane(rule) })
    }

    fn source(&mut self, target: &Target) -> SourceId {
        let next = self.plan.sources.len() as SourceId;
        let id = *self.source_ids.entry(source::key(target)).or_insert(next);
        if id == next {
            self.plan.sources.push(target.clone());
        }
        id
    }

    fn part(&mut self, part: Part) -> PartId {
        let next = self.plan.parts.len() as PartId;
        let id = *self.part_ids.entry(part.clone()).or_insert(next);
        if id == next {
            self.plan.parts.push(part);
        }
        id
    }

    /// The first target that excludes the same.
    fn exclusion(&mut self, number: u32, target: &Target) -> u32 {
        *self.exclusion_ids.entry(source::key(target)).or_insert(number)
    }

    fn lane(&mut self, rule: &Rule) -> LaneId {
        let next = self.plan.lanes.len() as LaneId;
        let id = *self.lane_ids.entry((rule.pipeline, rule.is_multi_match)).or_insert(next);
        if id == next {
            let steps = self.program.pipeline(rule.pipeline).iter();
            let trigger = steps.map(|step| step.trigger()).try_fold(0, |all, trigger| match trigger {
                Trigger::Any => None,
                Trigger::Bytes(bytes) => Some(all | bytes),
            });
            self.plan.lanes.push(Lane { pipeline: rule.pipeline, is_multi_match: rule.is_multi_match, trigger });
        }
        id
    }

    fn number_transformations(&mut self) {
        let used: BTreeSet<Transformation> = self.program.pipelines.iter().flatten().copied().collect();
        self.plan.places = vec![0; Transformation::ALL.len()];
        for (place, transformation) in used.iter().enumerate() {
            if let Some(slot) = self.plan.places.get_mut(*transformation as usize) {
                *slot = place;
            }
        }
        self.plan.transformations = used.len();
    }

    fn add_blocks(&mut self, phase: u8) {
        let range = self.program.phase(phase);
        let mut starts = BTreeSet::from([range.start]);
        for (index, rule) in range.clone().zip(range.clone().filter_map(|index| self.program.rule(index))) {
            if let Some(target) = rule.skip_after {
                starts.extend([index + 1, target]);
            }
        }
        let starts: Vec<RuleIndex> = starts.into_iter().filter(|start| range.contains(start)).collect();
        for (number, start) in starts.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(range.end);
            self.add_block(phase, *start..end);
        }
    }

    fn add_block(&mut self, phase: u8, range: std::ops::Range<RuleIndex>) {
        let number = self.plan.blocks.len() as u32;
        let mut checks = Hits::new();
        for index in range.clone() {
            if let Some(plan) = self.plan.rules.get_mut(index as usize) {
                plan.block = number;
            }
            let Some(rule) = self.program.rule(index).filter(|rule| rule.is_starter) else { continue };
            if !self.add_hits(phase, index, rule, &mut checks)
                && let Some(word) = self.plan.always.get_mut((index / 64) as usize)
            {
                *word |= 1 << (index % 64);
            }
        }
        let first_group = self.plan.groups.len() as u32;
        let words = self.plan.prefilter(phase).words();
        for ((source, lane), mut hits) in checks {
            if self
                .plan
                .groups
                .get(first_group as usize..)
                .is_none_or(|groups| groups.last().is_none_or(|group| group.source != source))
            {
                let next = self.plan.checks.len() as u32;
                let first_mask = self.plan.masks.len() as u32;
                self.plan.masks.resize(self.plan.masks.len() + words, 0);
                self.plan.groups.push(Group {
                    source,
                    trigger: Some(0),
                    first_mask,
                    first_check: next,
                    last_check: next,
                });
            }
            hits.sort_by_key(|hit| (hit.bit, hit.rule));
            hits.dedup_by_key(|hit| (hit.bit, hit.rule));
            self.add_check(source, lane, hits, words);
        }
        let last_group = self.plan.groups.len() as u32;
        self.plan.blocks.push(Block { end: range.end, first_group, last_group });
    }

    /// Adds a check to the last group.
    fn add_check(&mut self, source: SourceId, lane: LaneId, hits: Vec<Hit>, words: usize) {
        let plan = &mut self.plan;
        let Some(group) = plan.groups.last_mut() else { return };
        let next = self.union_ids.len() as u32;
        let union = *self.union_ids.entry((source, lane)).or_insert(next);
        let first_mask = plan.masks.len();
        plan.masks.resize(first_mask + words, 0);
        for hit in &hits {
            for start in [first_mask, group.first_mask as usize] {
                if let Some(word) = plan.masks.get_mut(start + (hit.bit / 64) as usize) {
                    *word |= 1 << (hit.bit % 64);
                }
            }
        }
        let trigger = plan.lanes.get(usize::from(lane)).and_then(|lane| lane.trigger);
        group.trigger = group.trigger.zip(trigger).map(|(one, other)| one | other);
        let first_hit = plan.hits.len() as u32;
        plan.hits.extend(hits);
        let last_hit = plan.hits.len() as u32;
        let first_mask = first_mask as u32;
        plan.checks.push(Check { source, lane, trigger, union, first_mask, first_hit, last_hit });
        group.last_check = plan.checks.len() as u32;
    }

    /// Notes what makes the rule a candidate; `false` when it has to be one always.
    fn add_hits(&self, phase: u8, index: RuleIndex, rule: &Rule, checks: &mut Hits) -> bool {
        let (Some(view), Some(bit)) = (self.plan.view(index), self.plan.prefilter(phase).bit(rule.operator)) else {
            return false;
        };
        if rule.is_negated {
            return false;
        }
        for part in self.plan.list(view.list).iter().filter_map(|part| self.plan.part(*part)) {
            checks.entry((part.source, view.lane)).or_default().push(Hit { bit, rule: index });
        }
        true
    }
}
