//! What a worker keeps when the rules are loaded again and again.

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
