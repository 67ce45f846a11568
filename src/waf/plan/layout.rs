//! Where the walk over a phase stops to find candidates, and what it asks for there: of all rules, or of those that
//! [`super::fold`] leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::fold::Folding;
use super::{LaneId, PartId, Plan, Shape, SourceId, View};
use crate::waf::collection::needs::Needs;
use crate::waf::operator::Comparison;
use crate::waf::prefilter::set;
use crate::waf::program::{OperatorId, Program, Rule, RuleIndex};
use crate::waf::signature::Signature;

/// Blocks of all phases.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// By rule.
    block_of: Vec<u32>,
    blocks: Vec<Block>,
    groups: Vec<Group>,
    checks: Vec<Check>,
    /// Words for each group.
    masks: Vec<u64>,
    /// Of each check those words of its mask that are not 0, with their numbers.
    words: Vec<(u32, u64)>,
    hits: Vec<Hit>,
    doubts: Vec<Doubt>,
    counts: Vec<Count>,
    /// Rules that are candidates always, a bit each; and behind them those of whose links nothing is asked.
    always: Vec<u64>,
    /// By rule or link: the bit that answers for its values set.
    asked_as: Vec<RuleIndex>,
    /// How far behind its rule the bit is that says that a later link of its chain could match.
    links: RuleIndex,
}

/// Rules for which candidates are found together, when the first of them is come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) end: RuleIndex,
    first_group: u32,
    last_group: u32,
    first_doubt: u32,
    last_doubt: u32,
    first_count: u32,
    last_count: u32,
}

/// A negated rule: a candidate unless its operator is known to match every value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doubt {
    pub(crate) rule: RuleIndex,
    pub(crate) operator: OperatorId,
    pub(crate) view: View,
}

/// A rule about the number of values that a source has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) rule: RuleIndex,
    pub(crate) source: SourceId,
    /// Without it the source has no values.
    pub(crate) needs: Needs,
    comparison: Comparison,
    number: i64,
    /// The answer that is a match.
    wanted: bool,
}

impl Count {
    /// Does the rule match that many?
    pub(crate) fn holds(&self, count: u32) -> bool {
        self.comparison.holds(i64::from(count), self.number) == self.wanted
    }
}

/// What a block asks of the values of one part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// Among all groups.
    pub(crate) number: u32,
    pub(crate) part: PartId,
    /// Without it the part has no values.
    pub(crate) needs: Needs,
    /// Of all its lanes; nothing when one has none.
    pub(crate) trigger: Option<Signature>,
    /// Letters that any of its lanes changes the case of.
    pub(crate) case: Signature,
    /// The masks of all its checks together.
    first_mask: u32,
    pub(crate) first_check: u32,
    pub(crate) last_check: u32,
}

/// What to ask for when a block is entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) lane: LaneId,
    /// A shorter value has nothing that it asks for.
    pub(crate) shortest: usize,
    first_word: u32,
    last_word: u32,
    first_hit: u32,
    last_hit: u32,
}

/// A bit of an answer makes a rule a candidate.
#[derive(Debug, Clone, Copy)]
struct Hit {
    bit: u32,
    rule: RuleIndex,
}

/// Hits of the checks of one block.
type Hits = BTreeMap<(PartId, LaneId), Vec<Hit>>;

impl Layout {
    /// Number of a rule's block.
    pub(crate) fn block_of(&self, rule: RuleIndex) -> u32 {
        self.block_of.get(rule as usize).copied().unwrap_or(u32::MAX)
    }

    /// A block.
    pub(crate) fn block(&self, number: u32) -> Option<Block> {
        self.blocks.get(number as usize).copied()
    }

    /// What to ask for when a block is entered.
    pub(crate) fn groups(&self, block: Block) -> &[Group] {
        self.groups.get(block.first_group as usize..block.last_group as usize).unwrap_or_default()
    }

    /// Negated rules of a block.
    pub(crate) fn doubts(&self, block: Block) -> &[Doubt] {
        self.doubts.get(block.first_doubt as usize..block.last_doubt as usize).unwrap_or_default()
    }

    /// Rules of a block that count.
    pub(crate) fn counts(&self, block: Block) -> &[Count] {
        self.counts.get(block.first_count as usize..block.last_count as usize).unwrap_or_default()
    }

    /// A check.
    pub(crate) fn check(&self, number: u32) -> Option<&Check> {
        self.checks.get(number as usize)
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

    /// What is there before anything is asked: twice as many bits as there are rules, rounded up to words. A rule is a
    /// candidate when it has one in both halves: it could match, and so could a later link of its chain.
    pub(crate) fn always(&self) -> &[u64] {
        &self.always
    }

    /// Does the check ask for a bit of `answer`?
    pub(crate) fn asks_for(&self, check: &Check, answer: &[u64]) -> bool {
        let words = self.words.get(check.first_word as usize..check.last_word as usize).unwrap_or_default();
        words.iter().any(|(number, mask)| answer.get(*number as usize).is_some_and(|word| word & mask != 0))
    }

    /// Adds the rules that the bits of `answer` make candidates; were there any?
    pub(crate) fn add_candidates(&self, check: &Check, answer: &[u64], candidates: &mut [u64]) -> bool {
        let mut is_any = false;
        self.each_candidate(check, answer, |rule| {
            is_any = true;
            set(candidates, rule);
        });
        is_any
    }

    /// The bits of candidates that the bits of `answer` set.
    pub(crate) fn each_candidate(&self, check: &Check, answer: &[u64], mut add: impl FnMut(RuleIndex)) {
        let words = self.words.get(check.first_word as usize..check.last_word as usize).unwrap_or_default();
        for (number, mask) in words {
            let mut bits = answer.get(*number as usize).copied().unwrap_or_default() & mask;
            while bits != 0 {
                let bit = number * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                let hits = self.hits(check);
                let first = hits.partition_point(|hit| hit.bit < bit);
                let hits = hits.get(first..).unwrap_or_default().iter().take_while(|hit| hit.bit == bit);
                hits.for_each(|hit| add(hit.rule));
            }
        }
    }

    /// Adds all rules of a check.
    pub(crate) fn add_all(&self, check: &Check, candidates: &mut [u64]) {
        self.each_rule(check).for_each(|rule| set(candidates, rule));
    }

    /// The bits of candidates that a check can set.
    pub(crate) fn each_rule(&self, check: &Check) -> impl Iterator<Item = RuleIndex> {
        self.hits(check).iter().map(|hit| hit.rule)
    }

    /// The bit of candidates that answers for values of a rule or link set, when nothing else does.
    pub(crate) fn asked_as(&self, rule: RuleIndex) -> Option<RuleIndex> {
        self.asked_as.get(rule as usize).copied().filter(|bit| *bit != RuleIndex::MAX)
    }

    fn hits(&self, check: &Check) -> &[Hit] {
        self.hits.get(check.first_hit as usize..check.last_hit as usize).unwrap_or_default()
    }

    /// How many groups there are.
    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Of all rules, or of those that `folding` leaves.
    pub(super) fn new(program: &Program, plan: &Plan, folding: Option<&Folding>) -> Self {
        let words = program.rules.len().div_ceil(64);
        let always = [0, u64::MAX].into_iter().flat_map(|word| std::iter::repeat_n(word, words)).collect();
        let block_of = vec![u32::MAX; program.rules.len()];
        let asked_as = block_of.clone();
        let layout = Self { block_of, asked_as, always, links: words as RuleIndex * 64, ..Self::default() };
        let mut builder = Builder { program, plan, folding, layout };
        for phase in 1..=5 {
            builder.add_blocks(phase);
        }
        builder.layout
    }
}

struct Builder<'p> {
    program: &'p Program,
    plan: &'p Plan,
    folding: Option<&'p Folding>,
    layout: Layout,
}

impl Builder<'_> {
    fn add_blocks(&mut self, phase: u8) {
        let range = self.program.phase(phase);
        let mut starts = BTreeSet::from([range.start]);
        match self.folding {
            Some(folding) => starts.extend(folding.jumps.iter().flat_map(|(from, to)| [from + 1, *to])),
            None => {
                for (index, rule) in range.clone().zip(range.clone().filter_map(|index| self.program.rule(index))) {
                    if let Some(target) = rule.skip_after {
                        starts.extend([index + 1, target]);
                    }
                }
            }
        }
        let starts: Vec<RuleIndex> = starts.into_iter().filter(|start| range.contains(start)).collect();
        for (number, start) in starts.iter().enumerate() {
            let end = starts.get(number + 1).copied().unwrap_or(range.end);
            self.add_block(phase, *start..end);
        }
    }

    fn add_block(&mut self, phase: u8, range: Range<RuleIndex>) {
        let number = self.layout.blocks.len() as u32;
        let (first_doubt, first_count) = (self.layout.doubts.len() as u32, self.layout.counts.len() as u32);
        let mut checks = Hits::new();
        for index in range.clone() {
            if let Some(block) = self.layout.block_of.get_mut(index as usize) {
                *block = number;
            }
            let Some(rule) = self.program.rule(index).filter(|rule| rule.is_starter) else { continue };
            if self.folding.is_some_and(|folding| !folding.visited.contains(index)) {
                continue;
            }
            let is_settled = self.folding.is_some_and(|folding| folding.step(index).is_some());
            if is_settled || !self.add_hits(phase, index, rule, index, &mut checks) {
                self.set_always(index, true);
            }
            self.add_link_hits(phase, index, rule, &mut checks);
        }
        let first_group = self.layout.groups.len() as u32;
        let words = self.plan.prefilter(phase).words();
        let mut last_part = None;
        for ((part, lane), mut hits) in checks {
            if last_part != Some(part) {
                last_part = Some(part);
                let next = self.layout.checks.len() as u32;
                let first_mask = self.layout.masks.len() as u32;
                self.layout.masks.resize(self.layout.masks.len() + words, 0);
                let number = self.layout.groups.len() as u32;
                let needs = self.plan.part(part).map_or(Needs::Nothing, |part| self.plan.needs(part.source));
                self.layout.groups.push(Group {
                    number,
                    part,
                    needs,
                    trigger: Some(0),
                    case: 0,
                    first_mask,
                    first_check: next,
                    last_check: next,
                });
            }
            hits.sort_by_key(|hit| (hit.bit, hit.rule));
            hits.dedup_by_key(|hit| (hit.bit, hit.rule));
            let shortest = hits.iter().map(|hit| self.plan.prefilter(phase).shortest(hit.bit)).min().unwrap_or(0);
            self.add_check(lane, hits, words, shortest);
        }
        let last_group = self.layout.groups.len() as u32;
        let (last_doubt, last_count) = (self.layout.doubts.len() as u32, self.layout.counts.len() as u32);
        let end = range.end;
        self.layout.blocks.push(Block {
            end,
            first_group,
            last_group,
            first_doubt,
            last_doubt,
            first_count,
            last_count,
        });
    }

    /// Does nobody read what a rule of a chain that does not match has captured?
    fn captures_in_vain(&self) -> bool {
        self.folding.is_some() && !self.plan.exposes_captures
    }

    fn set_always(&mut self, bit: RuleIndex, is_set: bool) {
        if let Some(word) = self.layout.always.get_mut((bit / 64) as usize) {
            *word = *word & !(1 << (bit % 64)) | u64::from(is_set) << (bit % 64);
        }
    }

    /// A chain whose first links do nothing but match need not be begun when a later one cannot match.
    fn add_link_hits(&mut self, phase: u8, index: RuleIndex, starter: &Rule, checks: &mut Hits) {
        if self.folding.is_none() || !self.program.options.prefilter {
            return;
        }
        let bit = index + self.layout.links;
        let links = (index + 1..starter.chain_end).filter_map(|link| Some((link, self.program.rule(link)?)));
        let mut before = starter;
        for (number, link) in links {
            if before.captures && !self.captures_in_vain() || !acts_not(self.program, before) {
                return;
            }
            if self.add_hits(phase, number, link, bit, checks) {
                self.set_always(bit, false);
                return;
            }
            before = link;
        }
    }

    /// Adds a check to the last group.
    fn add_check(&mut self, lane: LaneId, hits: Vec<Hit>, words: usize, shortest: usize) {
        let layout = &mut self.layout;
        let Some(group) = layout.groups.last_mut() else { return };
        let mut mask = vec![0; words];
        for hit in &hits {
            if let Some(word) = mask.get_mut((hit.bit / 64) as usize) {
                *word |= 1 << (hit.bit % 64);
            }
        }
        let of_group = layout.masks.get_mut(group.first_mask as usize..).unwrap_or_default();
        of_group.iter_mut().zip(&mask).for_each(|(all, word)| *all |= word);
        let first_word = layout.words.len() as u32;
        layout.words.extend((0..).zip(mask).filter(|(_, word)| *word != 0));
        let last_word = layout.words.len() as u32;
        let trigger = self.plan.lane(lane).and_then(|lane| lane.trigger);
        group.case |= self.plan.lane(lane).map_or(0, |lane| lane.case);
        group.trigger = group.trigger.zip(trigger).map(|(one, other)| one | other);
        let first_hit = layout.hits.len() as u32;
        layout.hits.extend(hits);
        let last_hit = layout.hits.len() as u32;
        layout.checks.push(Check { lane, shortest, first_word, last_word, first_hit, last_hit });
        group.last_check = layout.checks.len() as u32;
    }

    /// Notes what makes a rule or link set `bit`; `false` when nothing is known of that.
    fn add_hits(&mut self, phase: u8, index: RuleIndex, rule: &Rule, bit: RuleIndex, checks: &mut Hits) -> bool {
        if let Shape::Values(source, comparison, number, wanted) = self.plan.shape(index)
            && self.program.options.prefilter
        {
            let needs = self.plan.needs(source);
            self.layout.counts.push(Count { rule: bit, source, needs, comparison, number, wanted });
            return true;
        }
        let stand_in = self.folding.and_then(|_| {
            let chain = self.plan.private_chain(index).filter(|chain| chain.starter == index);
            chain.map(|chain| chain.stand_in).or_else(|| self.plan.stand_in(index))
        });
        let operator = stand_in.unwrap_or(rule.operator);
        let (Some(view), Some(asked)) = (self.plan.view(index), self.plan.prefilter(phase).bit(operator)) else {
            return false;
        };
        if rule.is_negated {
            // What a negated rule captures is what its operator matches; and multiMatch looks at more than the last value.
            let can_be_known = (!rule.captures || self.captures_in_vain()) && !rule.is_multi_match;
            if can_be_known {
                self.layout.doubts.push(Doubt { rule: bit, operator, view });
            }
            return can_be_known;
        }
        for part in self.plan.list(view.list) {
            let hits = checks.entry((self.plan.asked_part(*part), view.lane)).or_default();
            hits.push(Hit { bit: asked, rule: bit });
        }
        if let Some(slot) = self.layout.asked_as.get_mut(index as usize) {
            *slot = bit;
        }
        true
    }
}

/// Does a match, or the search for one, change nothing but MATCHED_VAR and captures?
fn acts_not(program: &Program, rule: &Rule) -> bool {
    let operator = program.operator(rule.operator);
    program.actions(rule).is_empty() && operator.is_pure() && !operator.can_give_up()
}
