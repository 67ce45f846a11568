//! What was visited and why, for `explain`. Off in traffic.

use super::RuleId;

/// The rules visited in one transaction, in order.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// In order.
    pub steps: Vec<TraceStep>,
    /// Were steps or values left out because there were too many?
    pub is_cut: bool,
}

/// One visit to a rule or a link of a chain.
#[derive(Debug, Clone)]
pub struct TraceStep {
    /// The chain's id.
    pub rule_id: RuleId,
    /// Line of the rule or link.
    pub line: u32,
    /// 1 to 5
    pub phase: u8,
    /// What became of it.
    pub outcome: TraceOutcome,
    /// The values tested, in order.
    pub tests: Vec<TraceTest>,
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceOutcome {
    /// Its operator matched no value, or there was none.
    NoMatch,
    /// It matched.
    Match,
    /// A `ctl` had removed it.
    Removed,
    /// A `skip` or `skipAfter` of an earlier rule passed it over.
    Skipped,
}

/// One value put to the operator.
#[derive(Debug, Clone)]
pub struct TraceTest {
    /// `ARGS:q`
    pub variable: Vec<u8>,
    /// After transformation, cut at 1 kB.
    pub value: Vec<u8>,
    /// Did the rule match it?
    pub is_match: bool,
}

/// Most steps kept.
const STEPS: usize = 20_000;
/// Most values kept of one step.
const TESTS: usize = 200;
/// Most bytes kept of one value.
const VALUE_BYTES: usize = 1024;

impl Trace {
    /// Adds a visit.
    pub(crate) fn visit(&mut self, rule_id: RuleId, line: u32, phase: u8, outcome: TraceOutcome) {
        if self.steps.len() < STEPS {
            self.steps.push(TraceStep { rule_id, line, phase, outcome, tests: Vec::new() });
        } else {
            self.is_cut = true;
        }
    }

    /// Adds a value to the last visit.
    pub(crate) fn test(&mut self, variable: Vec<u8>, value: &[u8], is_match: bool) {
        let Some(step) = self.steps.last_mut() else { return };
        if step.tests.len() < TESTS {
            let value = value.get(..value.len().min(VALUE_BYTES)).unwrap_or_default().to_vec();
            step.tests.push(TraceTest { variable, value, is_match });
        } else {
            self.is_cut = true;
        }
    }

    /// The last visit ended so.
    pub(crate) fn conclude(&mut self, outcome: TraceOutcome) {
        if let Some(step) = self.steps.last_mut() {
            step.outcome = outcome;
        }
    }
}
