//! What name servers said to `@rbl`: answers that are known, and names to ask for.
//!
//! A worker never waits: [`BlockListCache::listed`] says what is known and puts an unknown name on a list, which
//! [`BlockListCache::run`] works through in the background. Until the answer is there the name counts as not listed,
//! and as `unknown` in the metrics; an answer that has aged is given while it is asked for again. Answers are kept in
//! two generations, so that a flood of addresses can make the cache forget, but never grow.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::resolver::Resolver;
use crate::limits::{BLOCK_LIST_ANSWERS, BLOCK_LIST_QUESTIONS};
use crate::runtime::clock;
use crate::waf::operator::{BlockList, BlockListCounts};

/// Answers and questions of the whole process.
#[derive(Debug, Default)]
pub struct BlockListCache {
    state: Mutex<State>,
    asked: Notify,
    unknown: AtomicU64,
    overflowed: AtomicU64,
    listed: AtomicU64,
    unlisted: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    young: HashMap<Box<str>, Known>,
    old: HashMap<Box<str>, Known>,
    questions: VecDeque<Box<str>>,
    /// Those, and those that are being asked.
    pending: HashSet<Box<str>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    answer: Option<Ipv4Addr>,
    fresh_until: Instant,
}

/// How long "not listed" holds; lists say so with a negative time to live of a minute or more.
const UNLISTED_KEPT: Duration = Duration::from_secs(60);
/// How long a name is left alone after a failure.
const FAILURE_KEPT: Duration = Duration::from_secs(10);
/// An answer is taken to hold at least and at most so long.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);
/// Questions under way at a time.
const LOOKUPS: usize = 32;
/// Longest name of the domain name system.
const NAME_BYTES: usize = 253;

impl BlockListCache {
    /// The process's.
    pub fn shared() -> &'static Arc<Self> {
        static SHARED: OnceLock<Arc<BlockListCache>> = OnceLock::new();
        SHARED.get_or_init(Arc::default)
    }

    /// Asks for what is wanted, until `shutdown` is done.
    pub async fn run(self: Arc<Self>, resolver: Arc<Resolver>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut lookups = JoinSet::new();
        loop {
            while lookups.len() < LOOKUPS
                && let Some(name) = self.next_question()
            {
                let (cache, resolver) = (Arc::clone(&self), Arc::clone(&resolver));
                lookups.spawn(async move {
                    // The dot at the end: a search list must not be put behind it.
                    let outcome = resolver.find(&format!("{name}.")).await;
                    cache.learn(&name, outcome, clock::now());
                });
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = self.asked.notified(), if lookups.len() < LOOKUPS => {}
                _ = lookups.join_next(), if !lookups.is_empty() => {}
            }
        }
    }

    fn next_question(&self) -> Option<Box<str>> {
        self.lock().questions.pop_front()
    }

    fn learn(&self, name: &str, outcome: Result<Option<(Vec<IpAddr>, Duration)>, super::DnsFailure>, now: Instant) {
        let (answer, kept, counter) = match outcome {
            Ok(Some((addresses, time_to_live))) => {
                let first = addresses.iter().find_map(|address| match address {
                    IpAddr::V4(address) => Some(*address),
                    IpAddr::V6(_) => None,
                });
                (first, time_to_live.clamp(SHORTEST, LONGEST), &self.listed)
            }
            Ok(None) => (None, UNLISTED_KEPT, &self.unlisted),
            Err(_) => (None, FAILURE_KEPT, &self.failed),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        state.pending.remove(name);
        state.keep(name.into(), Known { answer, fresh_until: now + kept });
    }

    fn look(&self, name: &str, now: Instant) -> Option<Ipv4Addr> {
        if name.len() > NAME_BYTES || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            // No such name can be on any list.
            return None;
        }
        let mut state = self.lock();
        let known = state.known(name);
        if let Some(known) = known
            && known.fresh_until > now
        {
            return known.answer;
        }
        if known.is_none() {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
        if !state.pending.contains(name) {
            if state.pending.len() >= BLOCK_LIST_QUESTIONS {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
            } else {
                state.pending.insert(name.into());
                state.questions.push_back(name.into());
                drop(state);
                self.asked.notify_one();
            }
        }
        known?.answer
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each field is changed in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&mut self, name: &str) -> Option<Known> {
        if let Some(known) = self.young.get(name) {
            return Some(*known);
        }
        let (name, known) = self.old.remove_entry(name)?;
        self.keep(name, known);
        Some(known)
    }

    fn keep(&mut self, name: Box<str>, known: Known) {
        if self.young.len() >= BLOCK_LIST_ANSWERS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, known);
    }
}

impl BlockList for BlockListCache {
    fn listed(&self, name: &str) -> Option<Ipv4Addr> {
        self.look(name, clock::now())
    }

    fn counts(&self) -> BlockListCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BlockListCounts {
            unknown: count(&self.unknown),
            overflowed: count(&self.overflowed),
            listed: count(&self.listed),
            unlisted: count(&self.unlisted),
            failed: count(&self.failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);

    fn listed() -> Result<Option<(Vec<IpAddr>, Duration)>, super::super::DnsFailure> {
        Ok(Some((vec![LISTED.into()], Duration::from_secs(60))))
    }

    #[test]
    fn unknown_once_then_known_then_renewed_without_a_gap() {
        let cache = BlockListCache::default();
        let now = clock::now();
        assert_eq!((cache.look("a.list", now), cache.look("a.list", now)), (None, None));
        assert_eq!(cache.next_question().as_deref(), Some("a.list"));
        assert_eq!(cache.next_question(), None, "asked for once");
        cache.learn("a.list", listed(), now);
        assert_eq!(cache.look("a.list", now), Some(LISTED));
        let later = now + Duration::from_secs(61);
        assert_eq!(cache.look("a.list", later), Some(LISTED), "an old answer is better than none");
        assert_eq!(cache.next_question().as_deref(), Some("a.list"));
        cache.learn("a.list", Ok(None), later);
        assert_eq!((cache.look("a.list", later), cache.next_question()), (None, None));
        let counts = cache.counts();
        assert_eq!((counts.unknown, counts.listed, counts.unlisted, counts.failed), (2, 1, 1, 0));
    }

    #[test]
    fn neither_answers_nor_questions_grow_without_bound() {
        let cache = BlockListCache::default();
        let now = clock::now();
        for number in 0..BLOCK_LIST_QUESTIONS + 10 {
            cache.look(&format!("{number}.list"), now);
        }
        assert_eq!(cache.lock().pending.len(), BLOCK_LIST_QUESTIONS);
        assert_eq!(cache.counts().overflowed, 10);
        for number in 0..BLOCK_LIST_ANSWERS * 2 {
            cache.learn(&format!("{number}.list"), listed(), now);
        }
        let state = cache.lock();
        assert!(state.young.len() + state.old.len() <= BLOCK_LIST_ANSWERS);
        drop(state);
        assert_eq!(cache.look(&"x".repeat(300), now), None);
        assert_eq!(cache.look("a b.list", now), None);
    }

    #[tokio::test]
    async fn questions_are_answered_in_the_background() {
        let cache = Arc::new(BlockListCache::default());
        assert_eq!(cache.listed("localhost"), None);
        let answered = async {
            while cache.listed("localhost").is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let run = Arc::clone(&cache).run(Arc::new(Resolver::new()), answered);
        tokio::time::timeout(Duration::from_secs(20), run).await.expect("answered");
        assert_eq!(cache.listed("localhost"), Some(Ipv4Addr::LOCALHOST));
    }
}
