//! How many retries a pool can afford.
//!
//! Retries turn a slow backend into a dead one: when everything fails, each request becomes several. A [`Budget`]
//! bounds the retries *running at a time* to a percentage of the requests running, so that the worst case is a fixed
//! factor and not the number of attempts. Whether a given request is *safe* to send again (nothing was sent, or the
//! method is idempotent and the body is still at hand) is the gateway's decision; this is only the purse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Retries that are always possible, so that a quiet pool can retry at all.
pub const MINIMUM_RETRIES: usize = 3;

/// Bounds the retries of one pool.
#[derive(Debug)]
pub struct Budget {
    percent: u8,
    retrying: Arc<AtomicUsize>,
}

impl Budget {
    /// Of the requests running, `percent` may be retries (at least [`MINIMUM_RETRIES`]).
    pub fn new(percent: u8) -> Self {
        Self { percent, retrying: Arc::default() }
    }

    /// May one more retry start while `running` requests run (retries among them)? It counts until the permit is
    /// dropped.
    pub fn try_start(&self, running: usize) -> Option<RetryPermit> {
        let allowed = allowed(self.percent, running);
        let take = |retrying: usize| (retrying < allowed).then_some(retrying + 1);
        self.retrying.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(RetryPermit { retrying: Arc::clone(&self.retrying) })
    }

    /// Retries running.
    pub fn retrying(&self) -> usize {
        self.retrying.load(Ordering::Relaxed)
    }
}

/// One running retry. Dropping it gives the place back.
#[derive(Debug)]
pub struct RetryPermit {
    retrying: Arc<AtomicUsize>,
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

fn allowed(percent: u8, running: usize) -> usize {
    (running.saturating_mul(usize::from(percent)) / 100).max(MINIMUM_RETRIES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests_random::Random;

    #[test]
    fn three_are_always_possible_and_a_permit_comes_back() {
        let budget = Budget::new(0);
        let permits: Vec<_> = (0..3).map(|_| budget.try_start(1).expect("minimum")).collect();
        assert!(budget.try_start(1).is_none());
        drop(permits);
        assert_eq!(budget.retrying(), 0);
        assert!(budget.try_start(0).is_some());
    }

    #[test]
    fn an_outage_costs_the_percentage_and_no_more() {
        // Every request fails; each asks for a retry as long as it runs. Load must stay at (1 + percent) of it.
        let mut random = Random::seeded("retry budget");
        let budget = Budget::new(20);
        let mut permits = Vec::new();
        for _ in 0..10_000 {
            let requests = 50 + random.below(100) as usize;
            let running = requests + permits.len();
            let before = budget.retrying();
            for _ in 0..requests {
                permits.extend(budget.try_start(running));
            }
            // Those that began under a higher load may still run; no new ones are let in beside them.
            let most = (running / 5).max(MINIMUM_RETRIES).max(before);
            assert!(budget.retrying() <= most, "{} of {most}", budget.retrying());
            permits.retain(|_| random.below(3) != 0);
            assert_eq!(budget.retrying(), permits.len());
        }
    }
}
