//! The state machine behind an active probe: results in, "healthy now?" out.
//!
//! `probe` feeds it; `pool` looks only at the outcome. A backend starts as [`Health::Unknown`], which takes no traffic;
//! its very first success is enough to begin (a cold start must not take `threshold × interval`), and later on
//! `healthy_threshold` successes in a row revive and `unhealthy_threshold` failures in a row take out.

/// What the probe says of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Never probed successfully since it appeared; takes no traffic.
    Unknown = 0,
    /// Takes traffic.
    Healthy = 1,
    /// Taken out.
    Unhealthy = 2,
}

impl Health {
    /// Does it take traffic?
    pub fn is_available(self) -> bool {
        self == Self::Healthy
    }
}

/// How many results in a row change the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes that revive.
    pub healthy: u32,
    /// Failures that take out.
    pub unhealthy: u32,
}

/// One backend's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracker {
    health: Health,
    /// Results in a row that contradict the state.
    against: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new(Health::Unknown)
    }
}

impl Tracker {
    /// Starts in a state: [`Health::Unknown`] for a new backend, the old state for one that was known before.
    pub fn new(health: Health) -> Self {
        Self { health, against: 0 }
    }

    /// The state.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Takes one result. Returns the new state when it changed.
    pub fn observe(&mut self, is_success: bool, thresholds: Thresholds) -> Option<Health> {
        let needed = match (self.health, is_success) {
            (Health::Unknown, true) => 1,
            (Health::Unhealthy, true) => thresholds.healthy,
            (Health::Healthy, false) => thresholds.unhealthy,
            // An unknown backend that fails takes no traffic either way; say so from the first failure on.
            (Health::Unknown, false) => 1,
            (Health::Healthy, true) | (Health::Unhealthy, false) => {
                self.against = 0;
                return None;
            }
        };
        self.against += 1;
        if self.against < needed.max(1) {
            return None;
        }
        // "Unknown" that failed keeps its right to begin with a single success, so it stays unknown.
        let next = match (self.health, is_success) {
            (_, true) => Health::Healthy,
            (Health::Unknown, false) => Health::Unknown,
            (_, false) => Health::Unhealthy,
        };
        self.against = 0;
        let changed = next != self.health;
        self.health = next;
        changed.then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests_random::Random;

    const THRESHOLDS: Thresholds = Thresholds { healthy: 2, unhealthy: 3 };

    #[test]
    fn one_success_begins_and_thresholds_rule_afterwards() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.observe(false, THRESHOLDS), None);
        assert!(!tracker.health().is_available());
        assert_eq!(tracker.observe(true, THRESHOLDS), Some(Health::Healthy));
        assert_eq!(tracker.observe(false, THRESHOLDS), None);
        assert_eq!(tracker.observe(false, THRESHOLDS), None);
        assert_eq!(tracker.observe(true, THRESHOLDS), None, "a success breaks the row");
        for _ in 0..2 {
            assert_eq!(tracker.observe(false, THRESHOLDS), None);
        }
        assert_eq!(tracker.observe(false, THRESHOLDS), Some(Health::Unhealthy));
        assert_eq!(tracker.observe(true, THRESHOLDS), None);
        assert_eq!(tracker.observe(true, THRESHOLDS), Some(Health::Healthy));
    }

    #[test]
    fn a_random_history_agrees_with_looking_back() {
        let mut random = Random::seeded("health");
        for _ in 0..200 {
            let thresholds = Thresholds { healthy: 1 + random.below(4) as u32, unhealthy: 1 + random.below(4) as u32 };
            let mut tracker = Tracker::default();
            let mut history = Vec::new();
            let mut expected = Health::Unknown;
            for _ in 0..200 {
                let success = random.below(2) == 0;
                history.push(success);
                let row = history.iter().rev().take_while(|s| **s == success).count();
                expected = match expected {
                    Health::Unknown if success => Health::Healthy,
                    Health::Unhealthy if success && row >= thresholds.healthy as usize => Health::Healthy,
                    Health::Healthy if !success && row >= thresholds.unhealthy as usize => Health::Unhealthy,
                    other => other,
                };
                tracker.observe(success, thresholds);
                assert_eq!(tracker.health(), expected, "{history:?} {thresholds:?}");
            }
        }
    }
}
