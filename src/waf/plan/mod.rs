//! What is known of a program before any request: which rules look at the same values in the same way, and where to
//! look for those that could match.
//!
//! The targets of the rules are taken apart into *sources* (`ARGS`, `REQUEST_HEADERS:User-Agent`), which many rules
//! share, and their transformations into *lanes*. A rule can match only if the prefilter has its operator's bit for a
//! value of one of its sources in its lane; so for each *block* the [`layout`] lists the (source, lane) pairs to ask for and
//! the rules that a bit there makes candidates, and what makes rules candidates that negate or count. Rules that this cannot
//! be said of are candidates always: those about variables that rules change while the phase runs (TX, MATCHED_…,
//! persistent collections). What such rules do in every transaction alike is settled beforehand ([`fold`]).

mod fold;
mod layout;
mod private;
mod scopes;
mod shape;
mod source;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::collection::needs::Needs;
use super::prefilter::Prefilter;
use super::program::{OperatorId, PipelineId, Program, Rule, RuleIndex, RuleSet, Target};
use super::signature::Signature;
use super::transformation::{Transformation, Trigger};

pub(crate) use fold::{Assignments, Folding, Step};
pub(crate) use layout::{Block, Check, Doubt, Group, Layout};
pub(crate) use private::PrivateChain;
pub(crate) use scopes::Scopes;
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
    /// Of each of them.
    scopes: [Scopes; 2],
    sources: Vec<Target>,
    /// Of each source what it needs.
    needs: Vec<Needs>,
    /// Of each source: does it stay the same from the phase of a head to that of its body?
    is_of_head: Vec<bool>,
    lanes: Vec<Lane>,
    parts: Vec<Part>,
    /// Of each source the part that nothing is taken away from.
    whole_parts: Vec<PartId>,
    /// Distinct lists of targets.
    lists: Vec<Box<[PartId]>>,
    /// By rule.
    rules: Vec<RulePlan>,
    private_chains: Vec<PrivateChain>,
    /// Somebody may read what a rule of another chain captured.
    exposes_captures: bool,
    /// Of all rules.
    pub(crate) whole: Layout,
    /// What is done alike in every transaction, and the layout of what is left.
    pub(crate) folded: Option<(Folding, Layout)>,
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
    /// Letters that it changes the case of.
    pub(crate) case: Signature,
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
    /// In a folded transaction this asks for its operator.
    stand_in: Option<OperatorId>,
    /// Of a private chain that it is a link of.
    chain: Option<u16>,
}

/// How a rule looks at values that cannot change while the phase runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) list: u32,
    pub(crate) lane: LaneId,
}

impl Plan {
    /// Of a program that is complete but for this.
    pub(crate) fn new(program: &Program) -> Self {
        if !program.options.prefilter && !program.options.transformation_cache {
            return Self::default();
        }
        Builder::new(program).build()
    }

    /// Does taking these rules away make what was folded untrue?
    pub(crate) fn needs_any(&self, rules: &RuleSet) -> bool {
        self.folded.as_ref().is_some_and(|(folding, _)| folding.needs_any(rules))
    }

    /// The layout that most transactions go by.
    pub(crate) fn usual(&self) -> &Layout {
        self.folded.as_ref().map_or(&self.whole, |(_, layout)| layout)
    }

    /// How many groups the usual layout has.
    pub(crate) fn group_count(&self) -> usize {
        self.usual().group_count()
    }

    /// May the audit engine be on in a folded transaction?
    pub(crate) fn allows_audit(&self) -> bool {
        self.folded.as_ref().is_some_and(|(folding, _)| folding.allows_audit)
    }

    /// The prefilter for the rules of a phase.
    pub(crate) fn prefilter(&self, phase: u8) -> &Prefilter {
        let [request, response] = &self.prefilters;
        if phase <= 2 { request } else { response }
    }

    /// What has to be looked for in values in a phase.
    pub(crate) fn scopes(&self, phase: u8) -> &Scopes {
        let [request, response] = &self.scopes;
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

    /// What stands for the rule's operator in the prefilter's answers of a folded transaction, when its argument has
    /// macros that stand for the same in each of these.
    pub(crate) fn stand_in(&self, rule: RuleIndex) -> Option<OperatorId> {
        self.rules.get(rule as usize)?.stand_in
    }

    /// The private chain that the rule is a link of; for folded transactions.
    pub(crate) fn private_chain(&self, rule: RuleIndex) -> Option<&PrivateChain> {
        let number = self.rules.get(rule as usize)?.chain?;
        self.private_chains.get(usize::from(number))
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

    /// What a source needs.
    pub(crate) fn needs(&self, id: SourceId) -> Needs {
        self.needs.get(usize::from(id)).copied().unwrap_or(Needs::Nothing)
    }

    /// Does a source stay the same from the phase of a head to that of its body?
    pub(crate) fn is_of_head(&self, id: SourceId) -> bool {
        self.is_of_head.get(usize::from(id)).copied().unwrap_or_default()
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

    /// The part whose values are asked about for the sake of this one. Where there may be many values they are asked about
    /// once for all parts of a source.
    fn asked_part(&self, id: PartId) -> PartId {
        let Some(part) = self.part(id) else { return id };
        let is_small = self.is_of_head(part.source);
        if is_small { id } else { self.whole_parts.get(usize::from(part.source)).copied().unwrap_or(id) }
    }

    /// Parts of a list, in order.
    pub(crate) fn list(&self, id: u32) -> &[PartId] {
        self.lists.get(id as usize).map(|list| &**list).unwrap_or_default()
    }
}

struct Builder<'p> {
    program: &'p Program,
    plan: Plan,
    source_ids: HashMap<String, SourceId>,
    exclusion_ids: HashMap<String, u32>,
    lane_ids: HashMap<(PipelineId, bool), LaneId>,
    part_ids: HashMap<Part, PartId>,
    list_ids: HashMap<Box<[PartId]>, u32>,
    /// What any transformation looks for in values.
    telling: Signature,
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
            telling: 0,
        }
    }

    fn build(mut self) -> Plan {
        let program = self.program;
        for rule in &program.rules {
            let view = self.view(rule);
            let shape = Shape::of(program, rule, |target| self.source(target));
            self.plan.rules.push(RulePlan { view, shape, stand_in: None, chain: None });
        }
        self.number_transformations();
        let folding = Folding::of(program);
        let stand_ins = folding.as_ref().map(|folding| self.find_stand_ins(folding)).unwrap_or_default();
        for (number, phases) in [1..=2, 3..=5].into_iter().enumerate() {
            let indices = phases.flat_map(|phase: u8| program.phase(phase));
            let rules: Vec<RuleIndex> = indices.filter(|index| self.plan.view(*index).is_some()).collect();
            let asked = |index: RuleIndex| -> Vec<OperatorId> {
                let own = program.rule(index).map(|rule| rule.operator);
                let chain = self.plan.private_chain(index).map(|chain| chain.stand_in);
                own.into_iter().chain(self.plan.stand_in(index)).chain(chain).collect()
            };
            let all: HashSet<OperatorId> = rules.iter().flat_map(|index| asked(*index)).collect();
            let is_asked = |id| program.options.prefilter && all.contains(&OperatorId(id));
            let mut filter = Prefilter::new(&program.operators, &stand_ins, self.telling, is_asked);
            let scopes = Scopes::new(program, &self.plan, &mut filter, &rules, asked);
            if let (Some(slot), Some(of)) = (self.plan.prefilters.get_mut(number), self.plan.scopes.get_mut(number)) {
                (*slot, *of) = (filter, scopes);
            }
        }
        let mut plan = self.plan;
        plan.whole = Layout::new(program, &plan, None);
        plan.folded = folding.map(|folding| {
            let layout = Layout::new(program, &plan, Some(&folding));
            (folding, layout)
        });
        plan
    }

    /// Gives rules whose answers can be learned in folded transactions something that stands for them in answers: of each
    /// the operator whose conditions it has, if any.
    fn find_stand_ins(&mut self, folding: &Folding) -> Vec<Option<OperatorId>> {
        let program = self.program;
        let usage = private::Usage::of(program);
        let mut found = Vec::new();
        let next = |found: &[Option<OperatorId>]| OperatorId((program.operators.len() + found.len()) as u32);
        for (index, rule) in (0..).zip(&program.rules) {
            if self.plan.view(index).is_none() {
                continue;
            }
            if let Some(chain) = usage.chain(program, folding, index, next(&found)) {
                let number = self.plan.private_chains.len() as u16;
                self.plan.private_chains.push(chain);
                found.push(Some(rule.operator));
                for plan in self.plan.rules.iter_mut().skip(index as usize).take(2) {
                    plan.chain = Some(number);
                }
            }
            if !rule.is_multi_match
                && folding.has_constant_argument(index)
                && let Some(plan) = self.plan.rules.get_mut(index as usize)
            {
                plan.stand_in = Some(next(&found));
                found.push(None);
            }
        }
        self.plan.exposes_captures = usage.exposes_captures;
        found
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
            self.plan.needs.push(Needs::of(target));
            self.plan.is_of_head.push(source::is_of_head(target));
            let whole = self.part(Part { source: id, exclusions: Box::default() });
            self.plan.whole_parts.push(whole);
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
            let case = self.program.pipeline(rule.pipeline).iter().fold(0, |all, step| all | step.case_trigger());
            let (pipeline, is_multi_match) = (rule.pipeline, rule.is_multi_match);
            self.plan.lanes.push(Lane { pipeline, is_multi_match, trigger, case });
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
            self.telling |= transformation.case_trigger();
            if let Trigger::Bytes(trigger) = transformation.trigger() {
                self.telling |= trigger;
            }
        }
        self.plan.transformations = used.len();
    }
}
