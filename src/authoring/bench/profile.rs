//! Where the time goes: by stage of a transaction, and by rule.
//!
//! Stages are timed in runs of their own, so that the stopwatch of the rules does not weigh on them.

use std::cell::Cell;

use super::measure::Clock;
use super::subject::Stage;
use super::{Figures, Subject};
use crate::waf::{Program, RuleCost, Scratch};

/// Where the time of a number of runs went.
#[derive(Debug, Clone)]
pub struct Breakdown {
    /// How many runs.
    pub runs: usize,
    /// Nanoseconds per run, by stage.
    pub stages: Vec<(Stage, Figures)>,
    /// Nanoseconds over all runs spent for many rules at once.
    pub shared: u64,
    /// Rules that were visited, the dearest first; figures over all runs.
    pub rules: Vec<RuleCost>,
}

/// Runs the subjects, `runs` times each, and adds up.
pub fn of(subjects: &[Subject], program: &Program, scratch: &mut Scratch, clock: Clock, runs: usize) -> Breakdown {
    let mut times = vec![Vec::new(); Stage::ALL.len()];
    for subject in subjects {
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
    }
    let stages = Stage::ALL.into_iter().zip(times.into_iter().map(Figures::of)).collect();
    scratch.begin_profile(clock);
    for subject in subjects {
        for _ in 0..runs {
            drop(subject.run(program, scratch));
        }
    }
    let profile = scratch.end_profile(program).unwrap_or_default();
    let mut rules = profile.rules;
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.nanoseconds));
    Breakdown { runs: runs * subjects.len(), stages, shared: profile.shared, rules }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::authoring::bench::{Decision, scenario};
    use crate::authoring::rule_set;
    use crate::diagnostics::Source;
    use crate::seclang::source::MemoryLoader;

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
}
