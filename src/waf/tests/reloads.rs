//! What a worker keeps when the rules are loaded again and again.

use std::sync::Arc;

use super::*;

/// Rules with regexes of their own, all of which are searched with by [`exchange`].
fn rules(round: usize) -> Program {
    let rules: String = (1..=20)
        .map(|id| {
            format!("SecRule ARGS \"@rx (?:a+|b)[0-9]{{{id},}}x?r{round}(.)\" \"id:{id},phase:2,pass,capture\"\n")
        })
        .collect();
    program_with(&rules, &EngineOptions::default())
}

fn exchange(round: usize) -> Exchange {
    Exchange::get(&format!("/?q=aab0123456789012345678901234567890xr{round}z"))
}

#[test]
fn caches_of_rules_that_are_gone_do_not_add_up() {
    let mut scratch = Scratch::new();
    for round in 0..50 {
        let program = rules(round);
        assert_eq!(exchange(round).run_with(&program, &mut scratch).ids().len(), 20);
        assert!(scratch.caches.cache.len() <= 20, "{} in round {round}", scratch.caches.cache.len());
    }
}

#[test]
fn rules_that_run_beside_newer_ones_keep_their_caches() {
    let mut scratch = Scratch::new();
    let (first, second) = (rules(1), rules(2));
    for _ in 0..3 {
        assert_eq!(exchange(1).run_with(&first, &mut scratch).ids().len(), 20);
        assert_eq!(exchange(2).run_with(&second, &mut scratch).ids().len(), 20);
        // Tests beside this one number regexes too, so some may share a slot.
        assert!((30..=40).contains(&scratch.caches.cache.len()), "{}", scratch.caches.cache.len());
    }
    drop(first);
    let third = rules(3);
    assert_eq!(exchange(3).run_with(&third, &mut scratch).ids().len(), 20);
    assert!((30..=40).contains(&scratch.caches.cache.len()), "{}", scratch.caches.cache.len());
}

/// Rules that say something of themselves.
fn telling(count: usize, word: &str) -> Program {
    let rule = |id| {
        format!("SecRule ARGS \"@contains {id}.\" \"id:{id},phase:1,pass,tag:'{word}{id}',ver:'{word}',rev:'{id}'\"\n")
    };
    program(&(1..=count).map(rule).collect::<String>())
}

#[test]
fn matches_share_what_they_say_of_their_rule_with_their_worker_and_nobody_else() {
    let program = telling(2, "a");
    let (mut one, mut other) = (Scratch::new(), Scratch::new());
    let run = |scratch: &mut Scratch| Exchange::get("/?q=1.").run_with(&program, scratch).summary.matches.remove(0);
    let (first, second, theirs) = (run(&mut one), run(&mut one), run(&mut other));
    assert_eq!(first, second);
    assert_eq!(first, theirs);
    assert!(Arc::ptr_eq(&first.rule, &second.rule));
    assert!(!Arc::ptr_eq(&first.rule, &theirs.rule));
}

#[test]
fn what_is_said_of_a_rule_is_not_taken_for_another_of_its_place() {
    let mut scratch = Scratch::new();
    // More than there are places, and two programs with rules of the same ids.
    let programs = [(telling(2100, "a"), "a"), (telling(2100, "b"), "b")];
    for _ in 0..2 {
        for id in [1, 2, 52, 1025, 1026, 2049, 2050, 2100] {
            for (program, word) in &programs {
                let outcome = Exchange::get(&format!("/?q=x{id}.")).run_with(program, &mut scratch);
                let found = outcome.summary.matches.iter().find(|found| found.rule_id.0 == id).unwrap();
                assert_eq!(found.rule.tags, [format!("{word}{id}").into_bytes()]);
                assert_eq!(found.rule.version.as_deref(), Some(word.as_bytes()));
                assert_eq!(found.rule.revision.as_deref(), Some(id.to_string().as_bytes()));
            }
        }
    }
}

#[test]
fn no_two_transactions_have_the_same_serial() {
    let mut scratches = [Scratch::new(), Scratch::new()];
    let mut seen = std::collections::HashSet::from([0]);
    for round in 0..5000 {
        assert!(seen.insert(scratches[usize::from(round % 3 == 0)].serial()));
    }
}
