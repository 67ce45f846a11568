//! Fast evaluation equals plain evaluation: some thousand random rule sets with random requests. The fuzz target
//! `rules` goes on from here.
//!
//! `RANDOM_RULES=COUNT` tries so many, `RANDOM_RULES=COUNT@FIRST` from that seed on. With `RUSTFLAGS="--cfg fuzzing"` the
//! engine has as little room as in fuzz targets, so that its limits are met.

#[path = "random_rules/mod.rs"]
mod random_rules;

use random_rules::{Counts, check};

/// Rule sets of an ordinary run; together they take some 15 s of processor time without optimisation.
const COUNT: u64 = 1400;

#[test]
fn fast_evaluation_equals_plain_evaluation() {
    let wanted = std::env::var("RANDOM_RULES").unwrap_or_default();
    let (count, first) = wanted.split_once('@').unwrap_or((&wanted, "0"));
    let (count, first): (u64, u64) = (count.parse().unwrap_or(COUNT), first.parse().unwrap_or(0));
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let counts = std::thread::scope(|scope| {
        let every = |start| (first + start..first + count).step_by(threads);
        let running: Vec<_> = (0..threads as u64).map(|start| scope.spawn(move || sweep(every(start)))).collect();
        let mut counts = Counts::default();
        for each in running {
            counts.add(each.join().unwrap_or_else(|problem| std::panic::resume_unwind(problem)));
        }
        counts
    });
    eprintln!("{counts:?}");
    assert!(counts.refused * 20 < counts.compiled, "more than one rule set in twenty is refused");
    assert!(counts.matches > counts.requests, "rules and requests have little to do with each other");
}

fn sweep(seeds: impl Iterator<Item = u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        match check(&bytes(seed)) {
            Ok(more) => counts.add(more),
            Err(problem) => panic!("seed {seed}\n{problem}"),
        }
    }
    counts
}

/// What choices begin with; all further ones follow from it.
fn bytes(seed: u64) -> [u8; 8] {
    (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()
}
