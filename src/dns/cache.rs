//! What is known about a name: its last good addresses, until when they are fresh, and its last failure.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use super::resolver::DnsFailure;

/// A backend's host: an address, or a name that the resolver keeps current.
#[derive(Debug, Clone)]
pub enum Host {
    /// An address literal; never looked up.
    Address(IpAddr),
    /// A name.
    Name(Arc<Name>),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(&name.name),
        }
    }
}

/// One name and what is known about it.
#[derive(Debug)]
pub struct Name {
    pub(super) name: String,
    answer: ArcSwapOption<Answer>,
    failure: Mutex<Option<(DnsFailure, Instant)>>,
    /// Held by whoever looks it up, so that a hundred requests make one query.
    pub(super) lookup: tokio::sync::Mutex<()>,
}

/// Addresses and until when they are fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) fresh_until: Instant,
}

impl Name {
    pub(super) fn new(name: String) -> Self {
        Self { name, answer: ArcSwapOption::empty(), failure: Mutex::default(), lookup: tokio::sync::Mutex::default() }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Is this one of its addresses as last known? True as long as nothing is known.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.answer.load().as_ref().is_none_or(|answer| answer.addresses.contains(&address))
    }

    pub(super) fn addresses(&self) -> Option<Vec<IpAddr>> {
        self.answer.load().as_ref().map(|answer| answer.addresses.clone())
    }

    /// When it should be looked up (again).
    pub(super) fn due(&self) -> Option<Instant> {
        let failed = self.failure().as_ref().map(|(_, at)| *at + FAILURE_KEPT);
        failed.or_else(|| self.answer.load().as_ref().map(|answer| answer.fresh_until))
    }

    /// The last failure, while it is recent enough not to ask again.
    pub(super) fn recent_failure(&self, now: Instant) -> Option<DnsFailure> {
        let failure = self.failure();
        let (failure, at) = failure.as_ref()?;
        (now.saturating_duration_since(*at) < FAILURE_KEPT).then(|| failure.clone())
    }

    /// Takes the outcome of a lookup. A failure leaves the last good addresses in place.
    pub(super) fn learn(&self, outcome: Result<(Vec<IpAddr>, Duration), DnsFailure>, now: Instant) {
        match outcome {
            Ok((addresses, time_to_live)) => {
                let fresh_until = now + time_to_live.clamp(SHORTEST_TIME_TO_LIVE, LONGEST_TIME_TO_LIVE);
                self.answer.store(Some(Arc::new(Answer { addresses, fresh_until })));
                *self.failure() = None;
            }
            Err(failure) => *self.failure() = Some((failure, now)),
        }
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<(DnsFailure, Instant)>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time to live below this is taken for this: some services say zero.
pub(super) const SHORTEST_TIME_TO_LIVE: Duration = Duration::from_secs(5);

/// A time to live above this is cut to this: a name that moved must be noticed without a restart.
pub(super) const LONGEST_TIME_TO_LIVE: Duration = Duration::from_secs(300);

/// A failed lookup is not repeated sooner than this.
pub(super) const FAILURE_KEPT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_keep_the_last_good_addresses_and_times_to_live_are_bounded() {
        let name = Name::new("a.example".to_owned());
        assert_eq!(name.due(), None);
        let address = IpAddr::from([10, 0, 0, 1]);
        assert!(name.has_address(address));
        let start = Instant::now();
        name.learn(Ok((vec![address], Duration::ZERO)), start);
        assert_eq!(name.due(), Some(start + SHORTEST_TIME_TO_LIVE));
        let failure = DnsFailure { name: "a.example".to_owned(), cause: "timeout".to_owned() };
        name.learn(Err(failure.clone()), start);
        assert_eq!(name.addresses(), Some(vec![address]));
        assert_eq!(name.recent_failure(start), Some(failure));
        assert_eq!(name.recent_failure(start + FAILURE_KEPT), None);
        name.learn(Ok((vec![address], Duration::from_secs(86_400))), start);
        assert_eq!(name.due(), Some(start + LONGEST_TIME_TO_LIVE));
        assert!(!name.has_address(IpAddr::from([10, 0, 0, 2])));
    }
}
