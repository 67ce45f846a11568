//! Where the time of a phase goes: a stopwatch that is read after every rule that is visited. Off in traffic, where it
//! costs one branch per visited rule.

use super::RuleId;
use super::program::{Program, RuleIndex};
use super::scratch::Scratch;

/// What evaluation spent, over all transactions since [`Scratch::begin_profile`].
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Rules and links of chains that were visited, in order of evaluation.
    pub rules: Vec<RuleCost>,
    /// Nanoseconds spent for many rules at once: on finding out which of them to visit.
    pub shared: u64,
}

/// What one rule or link of a chain cost.
#[derive(Debug, Clone, Copy)]
pub struct RuleCost {
    /// The chain's id.
    pub rule_id: RuleId,
    /// Line of the rule or link.
    pub line: u32,
    /// How often it was visited.
    pub visits: u64,
    /// Nanoseconds, those for values included that it was the first to ask for.
    pub nanoseconds: u64,
}

/// The stopwatch.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: fn() -> u64,
    last: u64,
    shared: u64,
    /// Nanoseconds and visits, by rule.
    rules: Vec<(u64, u64)>,
}

impl Scratch {
    /// Measures from now on. `clock` gives nanoseconds since some moment; it is read after every visited rule.
    pub fn begin_profile(&mut self, clock: fn() -> u64) {
        self.stopwatch = Some(Box::new(Stopwatch { clock, last: 0, shared: 0, rules: Vec::new() }));
    }

    /// What was measured; from now on nothing is. `program` is the one that ran.
    pub fn end_profile(&mut self, program: &Program) -> Option<Profile> {
        let watch = self.stopwatch.take()?;
        let visited = (0..).zip(&watch.rules).filter(|(_, (_, visits))| *visits > 0);
        let rules = visited.filter_map(|(index, (nanoseconds, visits))| {
            let rule = program.rule(index)?;
            let rule_id = program.head(rule).id;
            Some(RuleCost { rule_id, line: rule.line, visits: *visits, nanoseconds: *nanoseconds })
        });
        Some(Profile { rules: rules.collect(), shared: watch.shared })
    }

    /// A phase begins: what came before belongs to nobody.
    pub(crate) fn start_lap(&mut self) {
        if let Some(watch) = &mut self.stopwatch {
            watch.last = (watch.clock)();
        }
    }

    /// The time since the last lap was this rule's; without one, that of many.
    pub(crate) fn end_lap(&mut self, rule: Option<RuleIndex>) {
        if let Some(watch) = &mut self.stopwatch {
            watch.end_lap(rule);
        }
    }
}

impl Stopwatch {
    #[cold]
    fn end_lap(&mut self, rule: Option<RuleIndex>) {
        let now = (self.clock)();
        let lap = now.saturating_sub(self.last);
        match rule.map(|rule| rule as usize) {
            None => self.shared += lap,
            Some(rule) => {
                if self.rules.len() <= rule {
                    self.rules.resize(rule + 1, (0, 0));
                }
                if let Some((nanoseconds, visits)) = self.rules.get_mut(rule) {
                    *nanoseconds += lap;
                    *visits += 1;
                }
            }
        }
        // Reading the clock again leaves out what the bookkeeping took.
        self.last = (self.clock)();
    }
}
