//! The scenarios that everything is measured with come to the decisions that they name, on the Core Rule Set and on the
//! built-in rules.

use portcullis::authoring::bench::{Base, Setup, Subject, scenario};
use portcullis::config::BUILTIN;
use portcullis::waf::{EngineOptions, Scratch};

/// Bodies of 2 MB are left to the benches, which are optimised.
const LONGEST: usize = 300_000;

fn check(setup: &Setup, wrong: &mut Vec<String>) -> usize {
    let (program, _) = setup.compile(&EngineOptions::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let mut scratch = Scratch::new();
    let mut count = 0;
    for scenario in scenario::all() {
        if scenario.inspects_response != setup.inspects_responses || scenario.request.len() > LONGEST {
            continue;
        }
        let subject = Subject::of(&scenario).expect("well-formed");
        let expected = scenario.expected.of(setup).expect("known rules");
        let found = subject.run(&program, &mut scratch);
        count += 1;
        if found.decision != expected {
            let ids: Vec<_> = found.summary.matches.iter().map(|each| each.rule_id.0).collect();
            let (name, rules) = (scenario.name, setup.describe());
            wrong.push(format!(
                "{name}: {} with {rules}: {ids:?} {:?}",
                found.decision.as_str(),
                found.summary.notices
            ));
        }
    }
    count
}

#[test]
fn every_scenario_is_decided_as_it_says() {
    let base = Base::find(|name| std::env::var_os(name), BUILTIN);
    let mut setups = vec![Setup::new(Base::BuiltIn(BUILTIN), 1)];
    if matches!(base, Base::Core(_)) {
        setups.extend([1, 4].map(|level| Setup::new(base.clone(), level)));
    } else {
        eprintln!("SKIPPED for the Core Rule Set: there is none in ../shared/crs; set PORTCULLIS_CRS");
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for setup in setups {
        count += check(&setup, &mut wrong);
        count += check(&Setup { inspects_responses: true, ..setup }, &mut wrong);
    }
    assert!(wrong.is_empty(), "{count} checked:\n{}", wrong.join("\n"));
    assert!(count > 20, "{count}");
}
