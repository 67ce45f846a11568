//! How long runs take.
//!
//! A run is timed on its own, so that a table can show its median and what the slowest in a hundred take. On a machine
//! that does other things too the latter says more about the machine; over *different* requests it is what matters, and
//! there each request stands with the fastest of its runs.

use super::Subject;
use crate::waf::{Program, Scratch};

/// Nanoseconds since some moment.
pub type Clock = fn() -> u64;

/// Nanoseconds of many runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many runs.
    pub count: usize,
    /// Their mean.
    pub mean: u64,
    /// Half of them take longer.
    pub median: u64,
    /// One in a hundred takes longer.
    pub p99: u64,
    /// None takes longer.
    pub slowest: u64,
}

impl Figures {
    /// Of single times.
    pub fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let count = times.len();
        let Some(slowest) = times.last().copied() else { return Self::default() };
        let at = |share: usize| times[((count - 1) * share).div_ceil(100)];
        let sum: u128 = times.iter().map(|time| u128::from(*time)).sum();
        Self { count, mean: (sum / count as u128) as u64, median: at(50), p99: at(99), slowest }
    }
}

/// For how long, and how often at most and at least.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Nanoseconds for all timed runs together; a tenth of that comes before, untimed.
    pub nanoseconds: u64,
    /// Runs at least, however long they take.
    pub least: usize,
    /// Runs at most.
    pub most: usize,
}

/// Runs one subject again and again.
pub fn repeat(subject: &Subject, program: &Program, scratch: &mut Scratch, clock: Clock, budget: Budget) -> Figures {
    let begin = clock();
    while clock().saturating_sub(begin) < budget.nanoseconds / 10 {
        drop(subject.run(program, scratch));
    }
    let mut times = Vec::with_capacity(budget.most.min(1 << 16));
    let begin = clock();
    let mut before = begin;
    while times.len() < budget.least || (times.len() < budget.most && before - begin < budget.nanoseconds) {
        drop(subject.run(program, scratch));
        let after = clock();
        times.push(after.saturating_sub(before));
        // The next run begins here: what lies between is its own cost too.
        before = after;
    }
    Figures::of(times)
}

/// Runs many subjects in their order, `rounds` times; for each the fastest of its runs.
pub fn each(subjects: &[Subject], program: &Program, scratch: &mut Scratch, clock: Clock, rounds: usize) -> Vec<u64> {
    let mut fastest = vec![u64::MAX; subjects.len()];
    for _ in 0..rounds.max(1) {
        for (subject, fastest) in subjects.iter().zip(&mut fastest) {
            let before = clock();
            drop(subject.run(program, scratch));
            *fastest = (*fastest).min(clock().saturating_sub(before));
        }
    }
    fastest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_hundred_and_of_none() {
        let figures = Figures::of((1..=100).rev().collect());
        assert_eq!(
            (figures.count, figures.mean, figures.median, figures.p99, figures.slowest),
            (100, 50, 51, 100, 100)
        );
        let figures = Figures::of((1..=1000).collect());
        assert_eq!((figures.median, figures.p99), (501, 991));
        assert_eq!(Figures::of(vec![7]).p99, 7);
        assert_eq!(Figures::of(Vec::new()), Figures::default());
    }
}
