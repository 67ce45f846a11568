//! Rules whose values cannot change while the phase runs: lists of values and their transformations are shared, and a
//! rule is left alone when the prefilter says that its operator matches none of them.

use super::{collect, test, test_value};
use crate::waf::plan::View;
use crate::waf::program::{Program, Rule, RuleIndex};
use crate::waf::scratch::Scratch;
use crate::waf::transaction::Transaction;
use crate::waf::values::PhaseValues;

/// A phase begins.
pub(super) fn begin(program: &Program, scratch: &mut Scratch, phase: u8) {
    if program.plan.groups > 0 {
        scratch.phase_values.get_or_insert_default().begin(program, phase);
    }
}

/// As the plain `run_rule`; nothing when that has to be asked.
pub(super) fn run_rule(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    index: RuleIndex,
    rule: &Rule,
) -> Option<bool> {
    // A trace shows every test, those with a known outcome too.
    let view = program.plan.view(index).filter(|_| transaction.trace.is_none())?;
    let mut known = scratch.phase_values.take()?;
    if !program.options.transformation_cache {
        let phase = known.phase();
        known.begin(program, phase);
    }
    let is_match = run_known(program, transaction, scratch, &mut known, index, rule, view);
    scratch.phase_values = Some(known);
    is_match
}

fn run_known(
    program: &Program,
    transaction: &mut Transaction,
    scratch: &mut Scratch,
    known: &mut PhaseValues,
    index: RuleIndex,
    rule: &Rule,
    view: View,
) -> Option<bool> {
    let list = match known.list(view) {
        Some(list) => list,
        None => {
            // Values of this list alone, so that an exclusion does not reach those of others.
            let mut values = std::mem::take(&mut scratch.values);
            values.clear();
            for target in program.targets(rule) {
                collect(program, transaction, scratch, index, target, &mut values, &mut known.text);
            }
            let start = known.values.len();
            known.values.extend_from_slice(&values);
            scratch.values = values;
            if !known.add_list(program, view, start) {
                return None;
            }
            known.list(view)?
        }
    };
    let is_filtered = program.options.prefilter && !rule.is_negated;
    if is_filtered && !known.may_match_any(program, transaction, rule, view, list.clone())? {
        return Some(false);
    }
    let mut is_match = false;
    for place in list {
        let Some(value) = known.values.get(place as usize).copied() else { break };
        if !transaction.removed_targets.is_empty()
            && transaction.is_target_removed(program, index, &value, &known.text, &mut scratch.caches)
        {
            continue;
        }
        if rule.is_multi_match {
            is_match |= test_value(program, transaction, scratch, index, rule, &value, &known.text);
        } else {
            // The union asked for all of them, so there is room for each; if not, the plain way has the answer.
            let Some(id) = known.transform(program, transaction, rule, known.id(place)) else {
                is_match |= test_value(program, transaction, scratch, index, rule, &value, &known.text);
                continue;
            };
            if is_filtered && !known.may_match(program, transaction, rule, id) {
                continue;
            }
            let bytes = known.made(id);
            is_match |= test(program, transaction, scratch, index, rule, &value, &known.text, bytes);
        }
        if transaction.is_phase_over {
            break;
        }
    }
    Some(is_match)
}
