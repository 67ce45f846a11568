//! Rules that are about one number in TX: the gates, switches and scores that a rule set is held together by. Whether
//! they match takes no list of values.

use crate::waf::collection::Variable;
use crate::waf::operator::{Comparison, Operator};
use crate::waf::program::{Program, Rule, Selector, TxSlot};

/// What is known of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `SecRule TX:name "@lt 1"`: the test of a value, and the answer that is a match.
    Number(TxSlot, Comparison, i64, bool),
    /// `SecRule &TX:name "@eq 0"`
    Count(TxSlot, Comparison, i64, bool),
    /// Anything else.
    Other,
}

impl Shape {
    /// Of a rule.
    pub(super) fn of(program: &Program, rule: &Rule) -> Self {
        let operator = program.operator(rule.operator);
        let ([target], []) = (program.targets(rule), program.pipeline(rule.pipeline)) else { return Self::Other };
        let Operator::Number(comparison, number) = operator.operator else { return Self::Other };
        let Selector::Slot(slot) = target.selector else { return Self::Other };
        if operator.has_macros() || target.variable != Variable::Tx || target.is_exclusion {
            return Self::Other;
        }
        let wanted = !rule.is_negated;
        if target.is_count {
            Self::Count(slot, comparison, number, wanted)
        } else {
            Self::Number(slot, comparison, number, wanted)
        }
    }
}
