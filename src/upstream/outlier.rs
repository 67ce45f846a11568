//! Passive ejection: a backend that fails real requests in a row is left out for a while.
//!
//! `pool` feeds a [`Detector`] from the outcomes of leases. It is asked only on failures, and on the first success
//! after one, so that requests that go well never take its lock. Time comes in as an argument.
//!
//! A failure is a connection that could not be made or that broke, a response that did not come in time, and the
//! statuses 502, 503 and 504; other statuses are the application speaking. Never more than `maximum_percent` of the
//! pool is out, but always at least one may be when the percentage is above zero and there are two or more.

use std::time::{Duration, Instant};

use super::balance::BackendIndex;

/// When a backend is ejected; mirrors `config::model::Ejection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// The first ejection; doubles with each further one.
    pub base_duration: Duration,
    /// Share of the pool that may be out.
    pub maximum_percent: u8,
}

/// The memory of one pool.
#[derive(Debug)]
pub struct Detector {
    settings: Settings,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Member {
    failures: u32,
    /// Ejections so far; forgotten one by one while the backend serves well.
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Detector {
    /// For a pool of `backends` members.
    pub fn new(settings: Settings, backends: usize) -> Self {
        Self { settings, members: vec![Member::default(); backends] }
    }

    /// A request failed. Returns until when the backend is out, if this ejects it.
    pub fn failed(&mut self, backend: BackendIndex, now: Instant) -> Option<Instant> {
        let out = self.members.iter().filter(|m| m.is_ejected(now)).count();
        let allowed = self.allowed();
        let settings = self.settings;
        let member = self.members.get_mut(backend.as_usize())?;
        if member.is_ejected(now) {
            return None;
        }
        member.failures = member.failures.saturating_add(1);
        if member.failures < settings.consecutive_failures.max(1) || out >= allowed {
            return None;
        }
        member.failures = 0;
        let doubled = settings.base_duration.saturating_mul(1 << member.ejections.min(MAXIMUM_DOUBLINGS));
        member.ejections = member.ejections.saturating_add(1);
        let until = now.checked_add(doubled)?;
        member.ejected_until = Some(until);
        Some(until)
    }

    /// A request went well. Returns whether there is anything left to remember of this backend; when not, further
    /// successes need not be told.
    pub fn succeeded(&mut self, backend: BackendIndex, now: Instant) -> bool {
        let base = self.settings.base_duration;
        let Some(member) = self.members.get_mut(backend.as_usize()) else { return false };
        member.failures = 0;
        if let Some(until) = member.ejected_until
            && now >= until
        {
            // Good behaviour for as long as the last ejection halves the next one.
            let served = base.saturating_mul(1 << member.ejections.saturating_sub(1).min(MAXIMUM_DOUBLINGS));
            if now.saturating_duration_since(until) >= served {
                member.ejections = member.ejections.saturating_sub(1);
                member.ejected_until = (member.ejections > 0).then_some(now);
            }
        }
        member.ejected_until.is_some()
    }

    /// Until when this backend is out.
    pub fn ejected_until(&self, backend: BackendIndex, now: Instant) -> Option<Instant> {
        self.members.get(backend.as_usize())?.ejected_until.filter(|until| *until > now)
    }

    /// The earliest return of an ejected backend.
    pub fn next_return(&self, now: Instant) -> Option<Instant> {
        self.members.iter().filter_map(|m| m.ejected_until).filter(|until| *until > now).min()
    }

    fn allowed(&self) -> usize {
        let share = self.members.len() * usize::from(self.settings.maximum_percent) / 100;
        if self.settings.maximum_percent > 0 && self.members.len() > 1 { share.max(1) } else { share }
    }
}

impl Member {
    fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| until > now)
    }
}

/// The ejection doubles this often at most: 1,024 times the base.
const MAXIMUM_DOUBLINGS: u32 = 10;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need some instant to begin at")]
mod tests {
    use super::*;
    use crate::upstream::tests_random::Random;

    const SETTINGS: Settings =
        Settings { consecutive_failures: 3, base_duration: Duration::from_secs(10), maximum_percent: 50 };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn ejects_after_failures_in_a_row_and_doubles() {
        let start = Instant::now();
        let backend = BackendIndex(0);
        let mut detector = Detector::new(SETTINGS, 2);
        assert_eq!(detector.failed(backend, start), None);
        assert_eq!(detector.failed(backend, start), None);
        detector.succeeded(backend, start);
        assert_eq!(detector.failed(backend, start), None);
        assert_eq!(detector.failed(backend, start), None);
        assert_eq!(detector.failed(backend, start), Some(after(start, 10)));
        assert_eq!(detector.failed(backend, start), None, "late failures of an ejected backend do not add up");
        assert_eq!(detector.next_return(start), Some(after(start, 10)));
        let back = after(start, 10);
        assert_eq!(detector.ejected_until(backend, back), None);
        for _ in 0..2 {
            assert_eq!(detector.failed(backend, back), None);
        }
        assert_eq!(detector.failed(backend, back), Some(after(back, 20)));
    }

    #[test]
    fn good_behaviour_is_rewarded_and_then_forgotten() {
        let start = Instant::now();
        let backend = BackendIndex(1);
        let mut detector = Detector::new(SETTINGS, 4);
        for _ in 0..3 {
            detector.failed(backend, start);
        }
        assert!(detector.succeeded(backend, after(start, 12)), "still remembered");
        assert!(!detector.succeeded(backend, after(start, 25)), "forgotten after as long as it was out");
    }

    #[test]
    fn never_more_than_the_share_is_out() {
        let mut random = Random::seeded("outlier");
        for _ in 0..100 {
            let backends = 1 + random.below(12) as usize;
            let maximum_percent = random.below(101) as u8;
            let mut detector = Detector::new(Settings { maximum_percent, ..SETTINGS }, backends);
            let mut now = Instant::now();
            let most = backends * usize::from(maximum_percent) / 100;
            let most = if maximum_percent > 0 && backends > 1 { most.max(1) } else { most };
            for _ in 0..500 {
                now += Duration::from_millis(random.below(5_000));
                let backend = BackendIndex(random.below(backends as u64) as u16);
                if random.below(4) == 0 {
                    detector.succeeded(backend, now);
                } else {
                    detector.failed(backend, now);
                }
                let all = (0..backends).map(|at| BackendIndex(at as u16));
                let out = all.filter(|b| detector.ejected_until(*b, now).is_some()).count();
                assert!(out <= most, "{out} of {backends} out, {maximum_percent} % allowed");
            }
        }
    }
}
