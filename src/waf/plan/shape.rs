//! Rules that are about one number: in TX, as the gates, switches and scores are that a rule set is held together by, or
//! of values. Whether they match takes no list of values.

use super::SourceId;
use super::source::is_stable;
use crate::waf::collection::Variable;
use crate::waf::operator::{Comparison, Operator};
use crate::waf::program::{Program, Rule, Selector, Target, TxSlot};

/// What is known of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `SecRule TX:name "@lt 1"`: the test of a value, and the answer that is a match.
    Number(TxSlot, Comparison, i64, bool),
    /// `SecRule &TX:name "@eq 0"`
    Count(TxSlot, Comparison, i64, bool),
    /// `SecRule &REQUEST_HEADERS:Host "@eq 0"`: how many values a source has that cannot change while the phase runs.
    Values(SourceId, Comparison, i64, bool),
    /// Anything else.
    Other,
}

impl Shape {
    /// Of a rule.
    pub(super) fn of(program: &Program, rule: &Rule, mut source: impl FnMut(&Target) -> SourceId) -> Self {
        let operator = program.operator(rule.operator);
        let ([target], []) = (program.targets(rule), program.pipeline(rule.pipeline)) else { return Self::Other };
        let Operator::Number(comparison, number) = operator.operator else { return Self::Other };
        // What a negated rule captures is what its operator matches, and so what it does not.
        let captures_elsewhere = rule.is_negated && rule.captures;
        if operator.has_macros() || target.is_exclusion || captures_elsewhere {
            return Self::Other;
        }
        let wanted = !rule.is_negated;
        let counted = Target { is_count: false, ..target.clone() };
        if target.is_count && is_stable(&counted) {
            return Self::Values(source(&counted), comparison, number, wanted);
        }
        let Selector::Slot(slot) = target.selector else { return Self::Other };
        if target.variable != Variable::Tx {
            return Self::Other;
        }
        if target.is_count {
            Self::Count(slot, comparison, number, wanted)
        } else {
            Self::Number(slot, comparison, number, wanted)
        }
    }
}
