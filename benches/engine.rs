//! What inspection costs, scenario by scenario, at paranoia levels 1 and 4.
//!
//! Each scenario comes to its expected decision before it is timed. The rules are the Core Rule Set where there is one
//! (`PORTCULLIS_CRS`, `CRS`, or `../shared/crs`), else the built-in ones; which is said first.
//! Run with `cargo bench --no-default-features --features config --bench engine -- [FILTER]`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use portcullis::authoring::bench::{Base, Decision, Setup, Subject, scenario};
use portcullis::authoring::capture;
use portcullis::config::BUILTIN;
use portcullis::waf::{EngineOptions, Program, Scratch};

fn base() -> Base {
    Base::find(|name| std::env::var_os(name), BUILTIN)
}

fn compile(setup: &Setup) -> Program {
    eprintln!("RULES: {}", setup.describe());
    setup.compile(&EngineOptions::default()).unwrap_or_else(|problems| panic!("{problems}")).0
}

/// Paranoia levels that are told apart.
fn levels(base: &Base) -> &'static [u8] {
    if matches!(base, Base::Core(_)) { &[1, 4] } else { &[1] }
}

fn scenarios(criterion: &mut Criterion) {
    let base = base();
    for level in levels(&base) {
        let requests = Setup::new(base.clone(), *level);
        let responses = Setup { inspects_responses: true, ..requests.clone() };
        let (program, for_responses) = (compile(&requests), compile(&responses));
        let mut scratch = Scratch::new();
        let mut group = criterion.benchmark_group(requests.short_name());
        for scenario in scenario::all() {
            let subject = Subject::of(&scenario).expect("scenarios are well-formed");
            let (setup, program) =
                if scenario.inspects_response { (&responses, &for_responses) } else { (&requests, &program) };
            let found = subject.run(program, &mut scratch);
            if let Some(expected) = scenario.expected.of(setup) {
                let ids: Vec<_> = found.summary.matches.iter().map(|each| each.rule_id.0).collect();
                assert_eq!(found.decision, expected, "{} with {}: {ids:?}", scenario.name, setup.describe());
            }
            group.throughput(Throughput::Bytes(subject.bytes() as u64));
            group.bench_function(scenario.name, |bencher| {
                bencher.iter(|| black_box(subject.run(program, &mut scratch)));
            });
        }
        group.finish();
    }
}

/// Recorded requests, all of them one after the other: the figure is for one pass.
fn traffic(criterion: &mut Criterion) {
    let shared = std::env::var_os("PORTCULLIS_SHARED").unwrap_or_else(|| "../shared".into());
    let path = std::path::Path::new(&shared).join("traffic/requests.tar.gz");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("SKIPPED: no recorded traffic in {}", path.display());
        return;
    };
    // Every eighth is enough for a trend.
    let captures = capture::archive(&bytes).expect("an archive").into_iter().step_by(8);
    let subjects: Vec<Subject> = captures
        .filter_map(|(name, request)| Subject::new(name, &portcullis::authoring::wire::alone(&request)).ok())
        .collect();
    let base = base();
    for level in levels(&base) {
        let setup = Setup::new(base.clone(), *level);
        let program = compile(&setup);
        let mut scratch = Scratch::new();
        let run = |scratch: &mut Scratch| {
            let blocked = |subject: &&Subject| subject.run(&program, scratch).decision == Decision::Blocked;
            subjects.iter().filter(blocked).count()
        };
        let blocked = run(&mut scratch);
        // Nearly all of it is benign; level 4 takes offence at most of it all the same.
        assert!(blocked > 0 && (*level > 1 || blocked * 5 < subjects.len()), "{blocked} of {}", subjects.len());
        let mut group = criterion.benchmark_group(setup.short_name());
        group.sample_size(10).measurement_time(Duration::from_secs(10));
        group.throughput(Throughput::Elements(subjects.len() as u64));
        group.bench_function("traffic", |bencher| bencher.iter(|| run(&mut scratch)));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = scenarios, traffic
}
criterion_main!(benches);
