//! Where persistent collections live between transactions, and the store in memory that all workers share.
//!
//! A transaction loads a copy, works on it, and hands back what it *did*: variables set, amounts added, names removed.
//! The store applies that to what is there by then, so two requests that count at the same time count both, and one
//! does not undo what the other set. (ModSecurity 2 merges only what was added and lets the last writer win the rest.)
//!
//! [`MemoryStore`] is split into shards with a lock each, held for one look-up or merge. It is bounded in bytes: when a
//! shard is full, the collections that would expire first make room, which with equal time-outs are those that were
//! not updated for longest. Time comes in as an argument.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::{COLLECTION_BYTES, COLLECTION_STORE_BYTES};
use crate::waf::number::atoi;

/// Where collections live between transactions. Shared by all workers.
pub trait CollectionStore: Send + Sync + Debug {
    /// The variables of a collection that has not expired, without those that have.
    fn load(&self, name: &[u8], key: &[u8], now: Duration) -> Option<Vec<StoredVariable>>;

    /// Takes over what a transaction did.
    fn save(&self, update: &CollectionUpdate<'_>);

    /// Gives back what has expired. Called from time to time, never by a worker.
    fn sweep(&self, _now: Duration) {}

    /// What is in it, for metrics.
    fn counts(&self) -> StoreCounts {
        StoreCounts::default()
    }
}

/// What a transaction did to one collection.
#[derive(Debug, Clone)]
pub struct CollectionUpdate<'a> {
    /// `IP`, `default_SESSION`
    pub name: &'a [u8],
    /// What was given to `initcol`.
    pub key: &'a [u8],
    /// All variables as the transaction left them. Those that it did not touch matter only if the collection is not
    /// there any more.
    pub variables: &'a [StoredVariable],
    /// Names that it removed.
    pub removed: &'a [Vec<u8>],
    /// Now, since the Unix epoch.
    pub now: Duration,
    /// When the whole collection goes, since the Unix epoch.
    pub expires: Duration,
}

/// One variable of a stored collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVariable {
    /// Its name in its case; equal to others whatever their case.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// When it goes, in seconds since the Unix epoch.
    pub expires: Option<u64>,
    /// What the transaction did to it.
    pub change: VariableChange,
}

/// What a transaction did to a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VariableChange {
    /// Nothing.
    #[default]
    Kept,
    /// Gave it a value, or a time to expire.
    Set,
    /// Added this much, and nothing else.
    Added(i64),
}

impl StoredVariable {
    fn is_called(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn has_expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|at| at <= now.as_secs())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.value.len()
    }
}

/// Shards of a [`MemoryStore`]; more than workers, so that two rarely meet.
const SHARDS: usize = 64;

/// Collections in memory.
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    shard_bytes: usize,
    evicted: AtomicU64,
    refused: AtomicU64,
}

/// Counts of a [`MemoryStore`], for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    /// Collections at the moment; some may have expired and not been swept yet.
    pub collections: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Collections that had to make room before their time.
    pub evicted: u64,
    /// Updates that were dropped because the collection would have become too large.
    pub refused: u64,
}

#[derive(Default)]
struct Shard {
    collections: HashMap<Box<[u8]>, Stored>,
    /// Who expires when.
    order: BTreeSet<(Duration, Box<[u8]>)>,
    bytes: usize,
}

struct Stored {
    variables: Vec<StoredVariable>,
    expires: Duration,
    bytes: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_capacity(COLLECTION_STORE_BYTES)
    }
}

impl Debug for MemoryStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "MemoryStore({:?})", self.counts())
    }
}

impl MemoryStore {
    /// An empty store of the default size.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that takes at most so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            shard_bytes: bytes / SHARDS,
            evicted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What is in it.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let mut counts = StoreCounts {
            evicted: self.evicted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            ..StoreCounts::default()
        };
        for shard in self.shards.iter().map(lock) {
            counts.collections += shard.collections.len();
            counts.bytes += shard.bytes;
        }
        counts
    }

    /// Drops what has expired. Needed by nobody's correctness; gives memory back when traffic has gone.
    pub fn sweep(&self, now: Duration) {
        for mut shard in self.shards.iter().map(lock) {
            shard.drop_expired(now);
        }
    }

    fn shard(&self, id: &[u8]) -> Option<MutexGuard<'_, Shard>> {
        let index = self.hasher.hash_one(id) % self.shards.len().max(1) as u64;
        self.shards.get(index as usize).map(lock)
    }
}

/// A worker that panicked while it held the lock has left a shard that is consistent enough: each field is replaced in
/// one step, and the counts are only bounds.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Name and key in one, without ambiguity.
fn id(name: &[u8], key: &[u8]) -> Box<[u8]> {
    let length = (name.len() as u64).to_be_bytes();
    [&length[..], name, key].concat().into()
}

impl CollectionStore for MemoryStore {
    fn sweep(&self, now: Duration) {
        Self::sweep(self, now);
    }

    fn counts(&self) -> StoreCounts {
        Self::counts(self)
    }

    fn load(&self, name: &[u8], key: &[u8], now: Duration) -> Option<Vec<StoredVariable>> {
        let id = id(name, key);
        let shard = self.shard(&id)?;
        let stored = shard.collections.get(&id).filter(|stored| stored.expires > now)?;
        let alive = stored.variables.iter().filter(|variable| !variable.has_expired(now));
        let variables: Vec<_> = alive.cloned().collect();
        drop(shard);
        // Without KEY there is no collection: rules end one by removing KEY or letting it expire.
        variables.iter().any(|variable| variable.is_called(b"KEY")).then_some(variables)
    }

    fn save(&self, update: &CollectionUpdate<'_>) {
        let id = id(update.name, update.key);
        let Some(mut shard) = self.shard(&id) else { return };
        let there = shard.collections.get(&id).filter(|stored| stored.expires > update.now);
        let variables = match there {
            Some(stored) => merge(&stored.variables, update),
            None => update.variables.to_vec(),
        };
        let bytes = 2 * id.len() + variables.iter().map(StoredVariable::bytes).sum::<usize>();
        if bytes > COLLECTION_BYTES.min(self.shard_bytes) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        shard.replace(id, Stored { variables, expires: update.expires, bytes });
        if shard.bytes > self.shard_bytes {
            shard.drop_expired(update.now);
            while shard.bytes > self.shard_bytes && shard.drop_first() {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What is there, and what the transaction did to it.
fn merge(there: &[StoredVariable], update: &CollectionUpdate<'_>) -> Vec<StoredVariable> {
    let is_removed = |variable: &&StoredVariable| update.removed.iter().any(|name| variable.is_called(name));
    let alive = there.iter().filter(|variable| !variable.has_expired(update.now));
    let mut merged: Vec<StoredVariable> = alive.filter(|variable| !is_removed(variable)).cloned().collect();
    for ours in update.variables {
        if ours.change == VariableChange::Kept {
            continue;
        }
        match merged.iter_mut().find(|variable| variable.is_called(&ours.name)) {
            None => merged.push(ours.clone()),
            Some(theirs) => {
                theirs.value = match ours.change {
                    // Counters never go below zero.
                    VariableChange::Added(amount) => {
                        let sum = atoi(&theirs.value).saturating_add(amount).max(0);
                        itoa::Buffer::new().format(sum).as_bytes().to_vec()
                    }
                    _ => ours.value.clone(),
                };
                theirs.expires = ours.expires;
            }
        }
    }
    merged
}

impl Shard {
    fn replace(&mut self, id: Box<[u8]>, stored: Stored) {
        self.bytes += stored.bytes;
        self.order.insert((stored.expires, id.clone()));
        match self.collections.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(stored);
            }
            Entry::Occupied(mut entry) => {
                let expires = stored.expires;
                let old = entry.insert(stored);
                self.bytes -= old.bytes;
                if old.expires != expires {
                    self.order.remove(&(old.expires, entry.key().clone()));
                }
            }
        }
    }

    fn drop_expired(&mut self, now: Duration) {
        while self.order.first().is_some_and(|(expires, _)| *expires <= now) {
            self.drop_first();
        }
    }

    /// Drops the collection that expires first; was there one?
    fn drop_first(&mut self) -> bool {
        let Some((_, id)) = self.order.pop_first() else { return false };
        if let Some(stored) = self.collections.remove(&id) {
            self.bytes -= stored.bytes;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(1_700_000_000);

    fn variable(name: &str, value: &str, change: VariableChange) -> StoredVariable {
        StoredVariable { name: name.into(), value: value.into(), expires: None, change }
    }

    fn save(store: &MemoryStore, key: &str, variables: &[StoredVariable], removed: &[&str], at: u64, lives: u64) {
        let removed: Vec<Vec<u8>> = removed.iter().map(|name| name.as_bytes().to_vec()).collect();
        let now = T0 + Duration::from_secs(at);
        store.save(&CollectionUpdate {
            name: b"IP",
            key: key.as_bytes(),
            variables,
            removed: &removed,
            now,
            expires: now + Duration::from_secs(lives),
        });
    }

    fn load(store: &MemoryStore, key: &str, at: u64) -> Option<Vec<String>> {
        let variables = store.load(b"IP", key.as_bytes(), T0 + Duration::from_secs(at))?;
        let show =
            |variable: &StoredVariable| format!("{}={}", variable.name.escape_ascii(), variable.value.escape_ascii());
        Some(variables.iter().map(show).collect())
    }

    #[test]
    fn two_transactions_at_once_both_count() {
        use VariableChange::{Added, Kept, Set};
        let store = MemoryStore::new();
        save(&store, "a", &[variable("KEY", "a", Set), variable("n", "5", Set)], &[], 0, 60);
        // Both loaded n=5; one adds 2 and sets a flag, the other adds 1 and takes 10 from another counter.
        save(
            &store,
            "a",
            &[variable("KEY", "a", Kept), variable("N", "7", Added(2)), variable("block", "1", Set)],
            &[],
            1,
            60,
        );
        save(
            &store,
            "a",
            &[variable("KEY", "a", Kept), variable("n", "6", Added(1)), variable("m", "0", Added(-10))],
            &[],
            1,
            60,
        );
        assert_eq!(load(&store, "a", 2).unwrap(), ["KEY=a", "n=8", "block=1", "m=0"]);
        save(&store, "a", &[variable("n", "0", Added(-100))], &["BLOCK"], 2, 60);
        assert_eq!(load(&store, "a", 2).unwrap(), ["KEY=a", "n=0", "m=0"]);
    }

    #[test]
    fn collections_and_variables_expire() {
        use VariableChange::Set;
        let store = MemoryStore::new();
        let short = StoredVariable { expires: Some(T0.as_secs() + 10), ..variable("short", "1", Set) };
        save(&store, "a", &[variable("KEY", "a", Set), short], &[], 0, 60);
        assert_eq!(load(&store, "a", 9).unwrap(), ["KEY=a", "short=1"]);
        assert_eq!(load(&store, "a", 10).unwrap(), ["KEY=a"]);
        assert_eq!(load(&store, "a", 60), None);
        assert_eq!(load(&store, "b", 0), None);
        store.sweep(T0 + Duration::from_secs(60));
        assert_eq!(store.counts(), StoreCounts::default());
    }

    #[test]
    fn without_key_there_is_no_collection() {
        use VariableChange::Set;
        let store = MemoryStore::new();
        save(&store, "a", &[variable("KEY", "a", Set), variable("n", "1", Set)], &[], 0, 60);
        save(&store, "a", &[variable("n", "1", Set)], &["key"], 1, 60);
        assert_eq!(load(&store, "a", 2), None);
    }

    #[test]
    fn an_expired_collection_begins_anew() {
        use VariableChange::{Added, Kept, Set};
        let store = MemoryStore::new();
        save(&store, "a", &[variable("KEY", "a", Set), variable("n", "5", Set)], &[], 0, 10);
        // Loaded before it went, saved after.
        save(&store, "a", &[variable("KEY", "a", Kept), variable("n", "6", Added(1))], &[], 20, 10);
        assert_eq!(load(&store, "a", 21).unwrap(), ["KEY=a", "n=6"]);
    }

    #[test]
    fn it_is_bounded_and_evicts_what_expires_first() {
        use VariableChange::Set;
        let store = MemoryStore::with_capacity(SHARDS * 2048);
        for index in 0..10_000_u64 {
            let key = format!("{index}");
            save(&store, &key, &[variable("KEY", &key, Set), variable("n", "1", Set)], &[], index, 1_000_000);
        }
        let counts = store.counts();
        assert!(counts.bytes <= SHARDS * 2048, "{counts:?}");
        assert_eq!(counts.collections as u64 + counts.evicted, 10_000);
        assert_eq!(load(&store, "0", 10_000), None);
        assert!(load(&store, "9999", 10_000).is_some());
        // One that would take too much is not taken.
        save(&store, "big", &[variable("KEY", &"x".repeat(4096), Set)], &[], 0, 60);
        assert_eq!((load(&store, "big", 1), store.counts().refused), (None, 1));
    }

    #[test]
    fn workers_share_it() {
        let store = MemoryStore::new();
        save(&store, "a", &[variable("KEY", "a", VariableChange::Set)], &[], 0, 60);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        save(&store, "a", &[variable("n", "1", VariableChange::Added(1))], &[], 1, 60);
                    }
                });
            }
        });
        assert_eq!(load(&store, "a", 2).unwrap(), ["KEY=a", "n=4000"]);
    }
}
