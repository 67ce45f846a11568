//! Where the time goes: by stage of a transaction, and by rule.
//!
//! Stages are timed in runs of their own, so that the stopwatch of the rules does not weigh on them.
//!
//! Of a machine that does other things too a run now and then is interrupted for longer than all others take, and the
//! stage or rule that it was at would seem the dearest. So a stage has the median of its runs, and of the stopwatch's
//! runs those count that took at most twice as long as the fastest.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::measure::Clock;
use super::subject::Stage;
use super::{Figures, Subject};
use crate::waf::{Profile, Program, RuleCost, RuleId, Scratch};

/// Where the time of a number of runs went.
#[derive(Debug, Clone)]
pub struct Breakdown {
    /// How many requests.
    pub requests: usize,
    /// How many runs, of all requests together.
    pub runs: usize,
    /// Nanoseconds by stage, of each request those of its median run.
    pub stages: Vec<(Stage, Figures)>,
    /// Nanoseconds over all runs spent for many rules at once.
    pub shared: u64,
    /// Rules that were visited, the dearest first; figures over all runs, interrupted ones taken for ordinary ones.
    pub rules: Vec<RuleCost>,
}

/// Runs the subjects, `runs` times each, and adds up.
pub fn of(subjects: &[Subject], program: &Program, scratch: &mut Scratch, clock: Clock, runs: usize) -> Breakdown {
    let mut medians = vec![Vec::new(); Stage::ALL.len()];
    for subject in subjects {
        let mut times = vec![Vec::with_capacity(runs); Stage::ALL.len()];
        for _ in 0..runs {
            let mut spent = [0; Stage::ALL.len()];
            let before = Cell::new(clock());
            drop(subject.run_in_stages(program, scratch, |stage| {
                let now = clock();
                spent[stage as usize] += now.saturating_sub(before.replace(now));
            }));
            for (times, spent) in times.iter_mut().zip(spent) {
                times.push(spent);
            }
        }
        for (medians, times) in medians.iter_mut().zip(times) {
            medians.push(Figures::of(times).median);
        }
    }
    let stages = Stage::ALL.into_iter().zip(medians.into_iter().map(Figures::of)).collect();
    let mut costs = Costs::default();
    for subject in subjects {
        costs.add(Undisturbed::of(subject, program, scratch, clock, runs), runs as u64);
    }
    let Costs { shared, rules } = costs;
    let cost = |((rule_id, line), (visits, nanoseconds))| RuleCost { rule_id, line, visits, nanoseconds };
    let mut rules: Vec<RuleCost> = rules.into_iter().map(cost).collect();
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.nanoseconds));
    Breakdown { requests: subjects.len(), runs: runs * subjects.len(), stages, shared, rules }
}

/// What rules cost: visits and nanoseconds by id and line.
#[derive(Debug, Default)]
struct Costs {
    shared: u64,
    rules: BTreeMap<(RuleId, u32), (u64, u64)>,
}

/// The stopwatch's runs of one request that nothing interrupted.
#[derive(Debug, Default)]
struct Undisturbed {
    runs: u64,
    costs: Costs,
}

impl Undisturbed {
    fn of(subject: &Subject, program: &Program, scratch: &mut Scratch, clock: Clock, runs: usize) -> Self {
        let mut own = Self::default();
        let mut fastest = u64::MAX;
        for _ in 0..runs {
            scratch.begin_profile(clock);
            drop(subject.run(program, scratch));
            let profile = scratch.end_profile(program).unwrap_or_default();
            let total = profile.shared + profile.rules.iter().map(|rule| rule.nanoseconds).sum::<u64>();
            if total < fastest / 2 {
                own = Self::default();
            }
            fastest = fastest.min(total);
            if total / 2 <= fastest {
                own.runs += 1;
                own.costs.add_run(&profile);
            }
        }
        own
    }
}

impl Costs {
    fn add_run(&mut self, profile: &Profile) {
        self.shared += profile.shared;
        for rule in &profile.rules {
            let (visits, nanoseconds) = self.rules.entry((rule.rule_id, rule.line)).or_default();
            *visits += rule.visits;
            *nanoseconds += rule.nanoseconds;
        }
    }

    /// As if all of so many runs had been like those.
    fn add(&mut self, other: Undisturbed, runs: u64) {
        let scale = |sum: u64| (u128::from(sum) * u128::from(runs) / u128::from(other.runs.max(1))) as u64;
        self.shared += scale(other.costs.shared);
        for (rule, cost) in other.costs.rules {
            let (visits, nanoseconds) = self.rules.entry(rule).or_default();
            *visits += scale(cost.0);
            *nanoseconds += scale(cost.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::authoring::bench::{Decision, scenario};
    use crate::authoring::rule_set;
    use crate::diagnostics::Source;
    use crate::seclang::source::MemoryLoader;

    /// As [`clock`], but now and then something else has the processor for long.
    fn busy_clock() -> u64 {
        static READ: AtomicU64 = AtomicU64::new(0);
        let read = READ.fetch_add(1, Ordering::Relaxed);
        read * 10 + read / 97 * 1_000_000
    }

    /// A clock that moves whenever it is read.
    fn clock() -> u64 {
        static NOW: AtomicU64 = AtomicU64::new(0);
        NOW.fetch_add(10, Ordering::Relaxed)
    }

    #[test]
    fn visited_rules_and_stages_get_their_time() {
        let rules = "SecRuleEngine On\nSecRequestBodyAccess On\n\
                     SecRule ARGS:filter \"@contains open\" \"id:1,phase:1,pass,nolog,setvar:tx.seen=1\"\n\
                     SecRule TX:seen \"@eq 1\" \"id:2,phase:2,deny\"\n";
        let root = Source::new("a.conf", rules);
        let program = rule_set::compile(&root, &MemoryLoader::new()).unwrap().0;
        let subject = Subject::of(&scenario::named(&["get"])[0]).unwrap();
        let mut scratch = Scratch::new();
        assert_eq!(subject.run(&program, &mut scratch).decision, Decision::Blocked);
        let found = of(&[subject], &program, &mut scratch, clock, 3);
        let rules: Vec<_> = found.rules.iter().map(|rule| (rule.rule_id.0, rule.visits)).collect();
        assert_eq!(rules.len(), 2, "{rules:?}");
        assert!(rules.contains(&(1, 3)) && rules.contains(&(2, 3)), "{rules:?}");
        let at = |stage: Stage| found.stages.iter().find(|(own, _)| *own == stage).unwrap().1;
        assert!(at(Stage::Phase2).mean > 0);
        // The request never got as far.
        assert_eq!(at(Stage::ResponseBody).mean, 0);
        assert!(scratch.end_profile(&program).is_none(), "it is off again");
    }

    #[test]
    fn a_run_that_is_interrupted_does_not_count() {
        let rules = "SecRuleEngine On\nSecRule ARGS:filter \"@contains open\" \"id:1,phase:1,pass,nolog\"\n\
                     SecRule ARGS:filter \"@contains pen\" \"id:2,phase:1,pass,nolog\"\n";
        let program = rule_set::compile(&Source::new("a.conf", rules), &MemoryLoader::new()).unwrap().0;
        let subject = Subject::of(&scenario::named(&["get"])[0]).unwrap();
        let found = of(&[subject], &program, &mut Scratch::new(), busy_clock, 200);
        let stages: u64 = found.stages.iter().map(|(_, figures)| figures.mean).sum();
        assert!(stages < 1000, "{stages}");
        assert_eq!(found.rules.len(), 2, "{found:?}");
        assert!(found.rules.iter().all(|rule| rule.visits == 200 && rule.nanoseconds < 200 * 100), "{found:?}");
    }
}
