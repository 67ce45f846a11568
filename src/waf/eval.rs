//! The plain evaluation: the rules of a phase in order, each value of each target through the transformations to the
//! operator, actions as ModSecurity 2 runs them.
//!
//! This is the reference that every fast path is compared with. What it must keep true:
//! - the list of targets is complete before the first value is tested;
//! - every value is tested; each match runs the non-disruptive actions; only an interruption ends the rule;
//! - a chain's disruptive action and its log line belong to the starter and happen per match of the last link;
//! - `skipAfter` ends with the phase.
//!
//! [`candidates`] is the way around rules that cannot match; it ends in the same tests in the same order.

mod candidates;

pub(crate) use candidates::CandidateScratch;

use super::action::disrupt;
use super::collection::matched::Matched;
use super::collection::{Buffer, Collector, Value, Variable, Wanted, is_excluded};
use super::line;
use super::operate;
use super::operator::Outcome;
use super::program::{AllowScope, Program, Rule, RuleIndex, Selector, Target};
use super::scratch::Scratch;
use super::settings::{AuditEngine, EngineMode};
use super::trace::TraceOutcome;
use super::transaction::Transaction;
use super::{Interruption, Verdict};
use crate::limits;

/// Runs the rules of a phase and says whether the transaction may go on.
pub(crate) fn run_phase(program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, phase: u8) -> Verdict {
    if visit_phase(program, transaction, scratch, phase) { verdict(transaction) } else { Verdict::Allow }
}

/// Runs the rules of a phase; `false` when whatever was decided before does not count for it. For the last phase, after
/// which nobody asks.
pub(crate) fn visit_phase(program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, phase: u8) -> bool {
    if transaction.phase >= phase || (transaction.is_interrupted && phase != 5) {
        return true;
    }
    scratch.meet(program);
    transaction.phase = phase;
    let is_allowed =
        matches!((transaction.allow, phase), (Some(AllowScope::Transaction), 2..=4) | (Some(AllowScope::Request), 2));
    if is_allowed || transaction.control.engine == EngineMode::Off {
        return false;
    }
    transaction.is_phase_over = false;
    transaction.matched.clear_chain();
    scratch.start_lap();
    if program.plan.is_active && transaction.trace.is_none() {
        candidates::run_rules(program, transaction, scratch, phase);
    } else {
        run_rules(program, transaction, scratch, phase);
    }
    transaction.matched.clear_chain();
    true
}

fn verdict(transaction: &Transaction) -> Verdict {
    match &transaction.interruption {
        Some(interruption) if transaction.is_interrupted => Verdict::Deny(Interruption::clone(interruption)),
        _ => Verdict::Allow,
    }
}

fn run_rules(program: &Program, transaction: &mut Transaction, scratch: &mut Scratch, phase: u8) {
    let range = program.phase(phase);
    let mut index = range.start;
    let mut skip = 0;
    // Where the chain under way will jump to if it matches.
    let mut jump = None;
    while index < range.end {
        let Some(rule) = program.rule(index) else { return };
        if rule.is_starter {
            jump = None;
            transaction.matched.clear_chain();
            if skip > 0 {
                skip -= 1;
                note(program, transaction, rule, phase, TraceOutcome::Skipped);
                index = rule.chain_end;
                continue;
            }
        }
        if transaction.removed_rules.contains(index) {
            note(program, transaction, rule, phase, TraceOutcome::Removed);
            index = rule.chain_end;
            continue;
        }
        if transaction.control.engine == EngineMode::Off {
            return;
        }
        note(program, transaction, rule, phase, TraceOutcome::NoMatch);
        let is_match = run_rule(program, transaction, scratch, index, rule);
        scratch.end_lap(Some(index));
        if !is_match {
            index = rule.chain_end;
            continue;
        }
        if let Some(trace) = &mut transaction.trace {
            trace.conclude(TraceOutcome::Match);
        }
        if transaction.is_phase_over {
            return;
        }
        jump = rule.skip_after.or(jump);
        index += 1;
        if !rule.has_link {
            match jump {
                Some(target) => {
                    note_jump(program, transaction, phase, index..target.min(range.end));
                    index = target;
                }
                None => skip = program.head(rule).skip,
            }
        }
    }
}

fn note(program: &Program, transaction: &mut Transaction, rule: &Rule, phase: u8, outcome: TraceOutcome) {
    if let Some(trace) = &mut transaction.trace {
        trace.visit(program.head(rule).id, rule.line, phase, outcome);
    }
}

fn note_jump(program: &Program, transaction: &mut Transaction, phase: u8, skipped: std::ops::Range<RuleIndex>) {
    if transaction.trace.is_none() {
        return;
    }
    for rule in skipped.filter_map(|index| program.rule(index)).filter(|rule| rule.is_starter) {
        note(program, transaction, rule, phase, TraceOutcome::Skipped);
    }
}

/// Tests all values of one rule or link; did any match?
fn run_rule(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
) -> bool {
    let mut values = std::mem::take(&mut scratch.values);
    let mut text = std::mem::take(&mut scratch.text);
    values.clear();
    text.clear();
    for target in program.targets(rule) {
        collect(program, transaction, scratch, index, target, &mut values, &mut text);
    }
    let mut is_match = false;
    for value in &values {
        if !transaction.removed_targets.is_empty()
            && transaction.is_target_removed(program, index, value, &text, &mut scratch.caches)
        {
            continue;
        }
        is_match |= test_value(program, transaction, scratch, index, rule, value, &text);
        if transaction.is_phase_over {
            break;
        }
    }
    scratch.values = values;
    scratch.text = text;
    is_match
}

/// Adds the values of one target to the list, or takes an exclusion's away.
fn collect(
    program: &Program,
    transaction: &Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    target: &Target,
    values: &mut Vec<Value>,
    text: &mut Vec<u8>,
) {
    let mut expanded = Vec::new();
    if let Selector::Dynamic(name) = &target.selector {
        name.expand(program, transaction, scratch, Some(index), &mut expanded);
    }
    let wanted = Wanted::of(&target.selector, &expanded);
    if target.is_exclusion {
        let caches = &mut scratch.caches;
        values.retain(|value| !is_excluded(program, transaction, target, wanted, value, text, caches));
        return;
    }
    let before = values.len();
    let mut collector = Collector { program, values, text, caches: &mut scratch.caches };
    transaction.collect(target.variable, wanted, Some(index), &mut collector);
    if target.is_count {
        let count = collector.values.len() - before;
        collector.values.truncate(before);
        let bytes = collector.number(count);
        collector.push(Value { variable: target.variable, key: None, bytes, is_count: true });
    }
}

/// Transforms and tests one value; did the rule match it?
fn test_value(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
    value: &Value,
    text: &[u8],
) -> bool {
    let mut front = std::mem::take(&mut scratch.front);
    let mut back = std::mem::take(&mut scratch.back);
    let pipeline = program.pipeline(rule.pipeline);
    let context = &program.settings.transformations;
    let mut is_match = false;
    // Is the value in `front`, or still where it came from?
    let mut is_changed = false;
    // multiMatch tests the value as it is, and again after every transformation that says that it changed it (some
    // always say so, and then the same value is tested, and scored, twice).
    let mut is_tested = false;
    for transformation in pipeline {
        if rule.is_multi_match && !is_tested {
            is_tested = true;
            let changed = is_changed.then_some(&front[..]);
            is_match |= test(program, transaction, scratch, index, rule, value, text, changed);
            if transaction.is_phase_over {
                break;
            }
        }
        let input = if is_changed { &front[..] } else { transaction.bytes(program, text, value.bytes) };
        let changes = transformation.apply(input, &mut back, context);
        if rule.is_multi_match {
            is_tested = !transformation.reports_change(input, if changes { &back } else { input });
        }
        if changes {
            std::mem::swap(&mut front, &mut back);
            is_changed = true;
        }
    }
    if !is_tested && !transaction.is_phase_over {
        let changed = is_changed.then_some(&front[..]);
        is_match |= test(program, transaction, scratch, index, rule, value, text, changed);
    }
    scratch.front = front;
    scratch.back = back;
    is_match
}

/// Puts one value to the operator and, when the rule matches it, runs the actions.
#[expect(clippy::too_many_arguments, reason = "the three kinds of data and the place in them, nothing to bundle")]
fn test(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
    value: &Value,
    text: &[u8],
    changed: Option<&[u8]>,
) -> bool {
    let operator = program.operator(rule.operator);
    let bytes = match changed {
        Some(changed) => changed,
        None => transaction.bytes(program, text, value.bytes),
    };
    let outcome = operate::test(operator, program, transaction, scratch, index, rule.captures, bytes);
    conclude(program, transaction, scratch, index, rule, value, text, changed, outcome)
}

/// The operator has answered: runs the actions when the rule matches the value.
#[expect(clippy::too_many_arguments, reason = "as above")]
fn conclude(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
    value: &Value,
    text: &[u8],
    changed: Option<&[u8]>,
    outcome: Outcome,
) -> bool {
    let is_hit = match outcome {
        Outcome::Match => true,
        Outcome::NoMatch => false,
        Outcome::Undecided | Outcome::Exhausted => {
            if outcome == Outcome::Exhausted {
                transaction.note_exhausted_regex(program, index);
            }
            trace_test(program, transaction, value, text, changed, false);
            return false;
        }
    };
    let is_match = is_hit != rule.is_negated;
    if transaction.trace.is_some() {
        trace_test(program, transaction, value, text, changed, is_match);
    }
    // A negated rule looks at what its operator matches only to keep it.
    if !is_match && (!is_hit || !rule.captures && scratch.evidence.geo.is_none()) {
        return false;
    }
    // From here on the transaction changes, so what matched is copied out of its buffers: at once to where MATCHED_VAR has
    // it, unless it comes from there.
    let mut subject = std::mem::take(&mut scratch.subject);
    let mut name = std::mem::take(&mut scratch.name);
    let is_apart = !is_match || changed.is_none() && value.bytes.buffer == Buffer::Matched;
    if is_apart {
        subject.clear();
        subject.extend_from_slice(changed.unwrap_or_else(|| transaction.bytes(program, text, value.bytes)));
    }
    if is_match {
        value_name(program, transaction, value, text, &mut name);
    }
    let mut matched = std::mem::take(&mut transaction.matched);
    if is_match {
        let bytes = if is_apart { Some(&*subject) } else { changed };
        matched.remember(&name, bytes.unwrap_or_else(|| transaction.bytes(program, text, value.bytes)));
    }
    if is_hit {
        let bytes = if is_match { matched.last_value() } else { &subject };
        let evidence = std::mem::take(&mut scratch.evidence);
        if rule.captures {
            transaction.take_captures(bytes, &evidence);
        }
        if let Some(record) = &evidence.geo {
            transaction.take_geo(record);
        }
        scratch.evidence = evidence;
    }
    if is_match {
        act(program, transaction, scratch, index, rule, value, &name, matched, is_hit);
    } else {
        transaction.matched = matched;
    }
    scratch.subject = subject;
    scratch.name = name;
    is_match
}

/// Does what the rule asks for when it matches a value, which `matched` has.
#[expect(clippy::too_many_arguments, reason = "the three kinds of data, the place in them and what is there")]
fn act(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
    value: &Value,
    name: &[u8],
    matched: Matched,
    is_hit: bool,
) {
    let has_line = program.head(rule).logs && transaction.has_lines && transaction.takes_matches();
    let needs_message = !rule.has_link && (has_line || transaction.control.audit_engine != AuditEngine::Off);
    let message = if needs_message {
        let operator = program.operator(rule.operator);
        let shown = name.get(..limits::WAF_LOG_TEXT_BYTES).unwrap_or(name);
        operate::message(operator, scratch, matched.last_value(), shown, full_name(rule, program, value, shown), is_hit)
    } else {
        Vec::new()
    };
    let head = program.head(rule);
    let severity = head.severity.filter(|severity| !rule.has_link && *severity > 0);
    if let Some(severity) = severity.filter(|severity| *severity < transaction.highest_severity) {
        transaction.highest_severity = severity;
    }
    transaction.matched = matched;
    if transaction.control.audit_engine != AuditEngine::Off {
        transaction.audit.note_match(index);
    }
    for action in program.actions(rule) {
        action.run(program, transaction, scratch, index);
    }
    if !rule.has_link {
        disrupt::run(program, transaction, scratch, index, head, &message);
    }
}

fn trace_test(
    program: &Program,
    transaction: &mut Transaction,
    value: &Value,
    text: &[u8],
    changed: Option<&[u8]>,
    is_match: bool,
) {
    let Some(mut trace) = transaction.trace.take() else { return };
    let bytes = changed.unwrap_or_else(|| transaction.bytes(program, text, value.bytes));
    let mut name = Vec::new();
    value_name(program, transaction, value, text, &mut name);
    trace.test(name, bytes, is_match);
    transaction.trace = Some(trace);
}

/// Writes `ARGS:q`, as MATCHED_VAR_NAME and the log lines name a value.
fn value_name(program: &Program, transaction: &Transaction, value: &Value, text: &[u8], name: &mut Vec<u8>) {
    name.clear();
    let key = value.key.map(|key| transaction.bytes(program, text, key));
    match (value.variable, key) {
        // These keep the names of what was matched.
        (Variable::MatchedVars | Variable::MatchedVarsNames, Some(key)) => name.extend_from_slice(key),
        // All nodes have the same name.
        (Variable::Xml, _) | (_, None) => name.extend_from_slice(value.variable.name().as_bytes()),
        (variable, Some(key)) => {
            name.extend_from_slice(variable.name().as_bytes());
            name.push(b':');
            line::escape_name(key, name);
        }
    }
}

/// The name with `&` and selector, for "Match of … against … required".
fn full_name<'a>(rule: &Rule, program: &'a Program, value: &Value, name: &'a [u8]) -> &'a [u8] {
    if !value.is_count && value.variable != Variable::Xml {
        return name;
    }
    let targets = program.targets(rule);
    let target = targets.iter().find(|target| target.variable == value.variable && target.is_count == value.is_count);
    target.map_or(name, |target| &target.label)
}
