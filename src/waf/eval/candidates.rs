//! The fast evaluation: of each block only the rules that could match, in their order.
//!
//! Which these are is worked out when the block is entered, from what the prefilter says of the values that its rules
//! look at ([`crate::waf::plan`]). A candidate is then tested as the plain evaluation does it, on values and
//! transformations that it shares with the other rules.

use std::ops::Range;

use super::{act, conclude, run_rule, test_value, value_name};
use crate::waf::collection::{Buffer, Bytes, Span, Value, Variable};
use crate::waf::operate;
use crate::waf::operator::Outcome;
use crate::waf::plan::{Folding, Layout, Shape, Step, View};
use crate::waf::program::{OperatorId, Program, Rule, RuleIndex, TxSlot};
use crate::waf::scratch::Scratch;
use crate::waf::settings::{AuditEngine, EngineMode};
use crate::waf::transaction::Transaction;
use crate::waf::values::{Full, Member, PhaseValues, Suspicion, ValueId};

/// What a worker reuses for it.
#[derive(Debug, Default)]
pub(crate) struct CandidateScratch {
    values: PhaseValues,
    /// Rules of the phase, a bit each, and again for their links.
    candidates: Vec<u64>,
}

impl CandidateScratch {
    /// Forgets what is known of values, for every program.
    pub(crate) fn forget_programs(&mut self) {
        self.values.forget_programs();
    }

    #[cfg(test)]
    pub(crate) fn kept_values(&self) -> usize {
        self.values.kept_values()
    }
}

/// As the plain [`super::run_rules`].
pub(super) fn run_rules(program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, phase: u8) {
    if phase == 1 {
        // TX has nothing yet, which is what the folding begins with.
        transaction.is_folded =
            program.plan.folded.as_ref().is_some_and(|(folding, _)| {
                folding.allows_audit || transaction.control.audit_engine == AuditEngine::Off
            });
    }
    let mut own = scratch.candidates.take().unwrap_or_default();
    own.values.begin(program, transaction, phase);
    walk(program, transaction, scratch, phase, &mut own);
    scratch.candidates = Some(own);
}

/// The layout to go by, and what stands in for rules in it.
fn layout_of<'p>(program: &'p Program, transaction: &Transaction) -> (&'p Layout, Option<&'p Folding>) {
    match &program.plan.folded {
        Some((folding, layout)) if transaction.is_folded => (layout, Some(folding)),
        _ => (&program.plan.whole, None),
    }
}

fn walk(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    phase: u8,
    own: &mut CandidateScratch,
) {
    let (mut layout, mut folding) = layout_of(program, transaction);
    own.candidates.clear();
    own.candidates.extend_from_slice(layout.always());
    let range = program.phase(phase);
    let mut index = range.start;
    let mut entered = u32::MAX;
    let mut end = range.start;
    // Where the chain under way will jump to if it matches.
    let mut jump = None;
    let mut is_in_chain = false;
    while index < range.end {
        if !is_in_chain {
            if folding.is_some() && !transaction.is_folded {
                // From here on every rule counts.
                (layout, folding) = layout_of(program, transaction);
                own.candidates.iter_mut().zip(layout.always()).for_each(|(own, always)| *own |= always);
                entered = u32::MAX;
            }
            let number = layout.block_of(index);
            if number != entered {
                let Some(block) = layout.block(number) else { return };
                own.values.add_candidates(
                    program,
                    transaction,
                    &mut scratch.caches,
                    layout,
                    block,
                    &mut own.candidates,
                );
                entered = number;
                end = block.end;
                scratch.end_lap(None);
            }
            index = next_candidate(&own.candidates, index, end);
            if index == end {
                continue;
            }
            jump = None;
            transaction.matched.clear_chain();
        }
        let Some(rule) = program.rule(index) else { return };
        is_in_chain = false;
        if transaction.removed_rules.contains(index) {
            index = rule.chain_end;
            continue;
        }
        if transaction.control.engine == EngineMode::Off {
            return;
        }
        if let Some((folding, step)) = folding.and_then(|folding| Some((folding, folding.step(index)?))) {
            let next = match step {
                Step::Assign(assignments) if transaction.assign(folding, assignments) => Some(assignments.next),
                Step::Assign(_) => {
                    // No room: the rules find out which of them has some.
                    transaction.is_folded = false;
                    Some(index)
                }
                Step::Act => {
                    for action in program.actions(rule) {
                        action.run(program, transaction, scratch, index);
                    }
                    Some(rule.skip_after.unwrap_or(rule.chain_end))
                }
                Step::Ask(shape) => (!may_match(*shape, transaction)).then_some(rule.chain_end),
            };
            if let Some(next) = next {
                scratch.end_lap(Some(index));
                index = next;
                continue;
            }
        }
        let is_match = run_candidate(program, transaction, scratch, &mut own.values, index, rule);
        scratch.end_lap(Some(index));
        if !is_match {
            if transaction.is_folded
                && let Some(chain) = program.plan.private_chain(index)
            {
                own.values.learn_fruitless(program, transaction, &mut scratch.caches, chain);
            }
            index = rule.chain_end;
            continue;
        }
        if transaction.is_phase_over {
            return;
        }
        jump = rule.skip_after.or(jump);
        index += 1;
        is_in_chain = rule.has_link;
        if !rule.has_link {
            match jump {
                Some(target) => index = target,
                None => {
                    for _ in 0..program.head(rule).skip {
                        index = program.rule(index).map_or(range.end, |rule| rule.chain_end);
                    }
                }
            }
        }
    }
}

/// The first candidate from `index` on and before `end`, or `end`. It has a bit in both halves ([`Layout::always`]).
fn next_candidate(candidates: &[u64], index: RuleIndex, end: RuleIndex) -> RuleIndex {
    let (rules, links) = candidates.split_at(candidates.len() / 2);
    let word = |number: u32| {
        let rules = rules.get(number as usize).copied().unwrap_or_default();
        rules & links.get(number as usize).copied().unwrap_or_default()
    };
    let mut number = index / 64;
    let mut mask = u64::MAX << (index % 64);
    while number * 64 < end {
        let word = word(number) & mask;
        if word != 0 {
            return (number * 64 + word.trailing_zeros()).min(end);
        }
        number += 1;
        mask = u64::MAX;
    }
    end
}

/// As the plain [`run_rule`].
fn run_candidate(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    values: &mut PhaseValues,
    index: RuleIndex,
    rule: &Rule,
) -> bool {
    if let Some(view) = program.plan.view(index) {
        if !program.options.transformation_cache {
            values.forget_steps();
        }
        if let Ok(is_match) = run_shared(program, transaction, scratch, values, index, rule, view) {
            return is_match;
        }
        return run_rule(program, transaction, scratch, index, rule);
    }
    let shape = program.plan.shape(index);
    if !may_match(shape, transaction) {
        return false;
    }
    match shape {
        Shape::Number(slot, ..) | Shape::Count(slot, ..) if is_silent(program, transaction, index, rule) => {
            act_on_slot(program, transaction, scratch, index, rule, slot, matches!(shape, Shape::Count(..)))
        }
        _ => run_rule(program, transaction, scratch, index, rule),
    }
}

/// Does a match need nothing but the value and its name?
fn is_silent(program: &Program, transaction: &Transaction, index: RuleIndex, rule: &Rule) -> bool {
    let is_logged = !rule.has_link && program.head(rule).logs;
    !is_logged
        && !rule.captures
        && transaction.control.audit_engine == AuditEngine::Off
        && !transaction.has_removed_targets(program, index)
}

/// A rule about a number in TX matches: what [`super::test`] does then. `true`, it did.
fn act_on_slot(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
    slot: TxSlot,
    is_count: bool,
) -> bool {
    let mut subject = std::mem::take(&mut scratch.subject);
    let mut name = std::mem::take(&mut scratch.name);
    subject.clear();
    let key = Bytes { buffer: Buffer::SlotName, span: Span { start: slot.0, len: 0 } };
    let mut value = Value { variable: Variable::Tx, key: None, bytes: Bytes::default(), is_count };
    match transaction.tx.held(slot) {
        held if is_count => subject.push(if held.is_some() { b'1' } else { b'0' }),
        Some((span, spelled)) => {
            subject.extend_from_slice(span.of(&transaction.arena));
            value.key = Some(spelled.map_or(key, Bytes::arena));
        }
        None => {}
    }
    value_name(program, transaction, &value, &[], &mut name);
    let mut matched = std::mem::take(&mut transaction.matched);
    matched.remember(&name, &subject);
    act(program, transaction, scratch, index, rule, &value, &name, matched, !rule.is_negated);
    scratch.subject = subject;
    scratch.name = name;
    true
}

/// Does a rule about a number in TX match?
fn may_match(shape: Shape, transaction: &Transaction) -> bool {
    match shape {
        Shape::Number(slot, comparison, number, wanted) => transaction.tx.slot(slot).is_some_and(|span| {
            comparison.holds(crate::waf::number::atoi(span.of(&transaction.arena)), number) == wanted
        }),
        Shape::Count(slot, comparison, number, wanted) => {
            comparison.holds(i64::from(transaction.tx.slot(slot).is_some()), number) == wanted
        }
        Shape::Values(..) | Shape::Other => true,
    }
}

/// Rules have rarely more targets.
const USUAL_PARTS: usize = 12;

/// Tests a rule on shared values. Nothing has happened yet when there is no room for them.
fn run_shared(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    values: &mut PhaseValues,
    index: RuleIndex,
    rule: &Rule,
    view: View,
) -> Result<bool, Full> {
    let Some(lane) = program.plan.lane(view.lane) else { return Err(Full) };
    let parts = program.plan.list(view.list);
    let suspicion = values.suspect(program, index);
    if suspicion == Suspicion::None {
        return Ok(false);
    }
    let mut found: [Range<u32>; USUAL_PARTS] = Default::default();
    for (place, part) in parts.iter().enumerate() {
        let range = values.part(program, transaction, &mut scratch.caches, *part)?;
        if let Some(slot) = found.get_mut(place) {
            *slot = range;
        }
    }
    let is_filtered = program.options.prefilter;
    let can_give_up = program.operator(rule.operator).can_give_up();
    let operator = asked_operator(program, transaction, index, rule);
    let (mut removals, mut has_removed_targets) = (0, false);
    let mut is_match = false;
    for (place, part) in parts.iter().enumerate() {
        // They are all known by now.
        let mut range = match found.get(place) {
            Some(range) => range.clone(),
            None => values.part(program, transaction, &mut scratch.caches, *part)?,
        };
        while let Some(member) = values.next_suspect(suspicion, &mut range) {
            let value = &member.value;
            // A match may have taken away what is still to come.
            if removals != transaction.removed_targets.len() {
                removals = transaction.removed_targets.len();
                has_removed_targets = transaction.has_removed_targets(program, index);
            }
            if has_removed_targets
                && transaction.is_target_removed(program, index, value, &values.text, &mut scratch.caches)
            {
                continue;
            }
            // The answer for what the lane makes of a value is that of the value, if it leaves it alone.
            if is_filtered
                && !rule.is_multi_match
                && !rule.is_negated
                && values.is_unchanged(lane, member.id)
                && !values.may_match(program, operator, member.id)
            {
                continue;
            }
            let outcome = if rule.is_multi_match {
                test_often(program, transaction, scratch, values, index, rule, member)
            } else {
                values
                    .transform(program, transaction, lane, member.id)
                    .map(|id| test_shared(program, transaction, scratch, values, index, rule, member, id))
            };
            is_match |= match outcome {
                Ok(false) if !can_give_up => {
                    // The same value elsewhere need not be looked at.
                    values.trust(suspicion, member.id);
                    false
                }
                Ok(is_match) => is_match,
                // Nothing of this value was tested yet.
                Err(Full) => test_value(program, transaction, scratch, index, rule, value, &values.text),
            };
            if transaction.is_phase_over {
                return Ok(is_match);
            }
        }
    }
    Ok(is_match)
}

/// Tests what a lane made of a value.
#[expect(clippy::too_many_arguments, reason = "the three kinds of data, the place in them and what is there")]
fn test_shared(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    values: &mut PhaseValues,
    index: RuleIndex,
    rule: &Rule,
    member: Member,
    id: ValueId,
) -> bool {
    let operator = asked_operator(program, transaction, index, rule);
    if program.options.prefilter && is_known_to_fail(program, values, rule, operator, id) {
        return false;
    }
    let is_recalled =
        operator == rule.operator && values.recall(program, operator, rule.captures, id, &mut scratch.evidence);
    let outcome = if is_recalled {
        Outcome::Match
    } else if program.options.prefilter && !values.may_match(program, operator, id) {
        // Which is what a negated rule asks for.
        scratch.evidence.clear();
        Outcome::NoMatch
    } else {
        ask(program, transaction, scratch, values, index, rule, id)
    };
    let changed = if id == member.id { None } else { Some(values.own_bytes(id)) };
    conclude(program, transaction, scratch, index, rule, &member.value, &values.text, changed, outcome)
}

/// Puts what a lane made of a value to the rule's operator, and learns from the answer.
fn ask(
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    values: &mut PhaseValues,
    index: RuleIndex,
    rule: &Rule,
    id: ValueId,
) -> Outcome {
    let bytes = values.bytes(program, transaction, id);
    let own = program.operator(rule.operator);
    let outcome = operate::test(own, program, transaction, scratch, index, rule.captures, bytes);
    let operator = asked_operator(program, transaction, index, rule);
    match outcome {
        Outcome::Match => {
            values.learn(program, operator, id, true);
            if operator == rule.operator {
                values.note_finding(program, operator, rule.captures, id, &scratch.evidence);
            }
        }
        Outcome::NoMatch => values.learn(program, operator, id, false),
        Outcome::Undecided | Outcome::Exhausted => {}
    }
    outcome
}

/// As the plain [`test_value`] for `multiMatch`: tests the value as it is, and again after every transformation that
/// says that it changed it.
fn test_often(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    values: &mut PhaseValues,
    index: RuleIndex,
    rule: &Rule,
    member: Member,
) -> Result<bool, Full> {
    let pipeline = program.pipeline(rule.pipeline);
    // All steps first, and each once: when there is no room for one, nothing must have been tested.
    let mut steps = Vec::with_capacity(pipeline.len());
    let mut id = member.id;
    for transformation in pipeline {
        id = values.step(program, transaction, *transformation, id)?;
        steps.push(id);
    }
    let mut is_match = false;
    let mut is_tested = false;
    let mut current = member.id;
    for (transformation, next) in pipeline.iter().zip(steps) {
        if !is_tested {
            is_match |= test_shared(program, transaction, scratch, values, index, rule, member, current);
            if transaction.is_phase_over {
                return Ok(is_match);
            }
        }
        let input = values.bytes(program, transaction, current);
        is_tested = !transformation.reports_change(input, values.bytes(program, transaction, next));
        current = next;
    }
    if !is_tested {
        is_match |= test_shared(program, transaction, scratch, values, index, rule, member, current);
    }
    Ok(is_match)
}

/// Is it known without asking that the rule does not match, and that asking would change nothing?
fn is_known_to_fail(program: &Program, values: &PhaseValues, rule: &Rule, operator: OperatorId, id: ValueId) -> bool {
    if rule.is_negated {
        // What a negated rule captures is what its operator matches.
        !rule.captures && values.surely_matches(program, operator, id)
    } else {
        !values.may_match(program, operator, id)
    }
}

/// What stands for the rule's operator in answers.
fn asked_operator(program: &Program, transaction: &Transaction, index: RuleIndex, rule: &Rule) -> OperatorId {
    let stand_in = if transaction.is_folded { program.plan.stand_in(index) } else { None };
    stand_in.unwrap_or(rule.operator)
}
