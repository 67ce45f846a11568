//! What goes on beside the requests: probes and name lookups of the snapshot in force, and sweeping persistent
//! collections. Runs on the thread that controls the process, never on a worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::clock;
use crate::dns::{BlockListCache, Resolver};
use crate::telemetry::log;
use crate::upstream::Upstreams;
use crate::waf::CollectionStore;

/// Probes of one snapshot; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Background {
    probes: JoinHandle<()>,
}

impl Background {
    /// Starts them on the current runtime.
    #[expect(clippy::disallowed_methods, reason = "runtime starts the tasks")]
    pub(super) fn start(upstreams: &Arc<Upstreams>) -> Self {
        let probes = Arc::clone(upstreams).run_probes(std::future::pending(), |change| {
            if change.report.outcome.is_ok() {
                log::info("probe", format_args!("{change}"));
            } else {
                log::warning("probe", format_args!("{change}"));
            }
        });
        Self { probes: tokio::spawn(probes) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.probes.abort();
    }
}

/// How often expired persistent collections are given back.
const SWEEP: Duration = Duration::from_secs(15);

/// Sweeps the collections of the process, over all reloads, until it is dropped.
#[derive(Debug)]
pub(super) struct Sweeper(JoinHandle<()>);

impl Sweeper {
    /// Starts on the current runtime.
    pub(super) fn start(collections: Arc<dyn CollectionStore>) -> Self {
        Self::every(SWEEP, collections)
    }

    #[expect(clippy::disallowed_methods, reason = "runtime starts the tasks")]
    fn every(period: Duration, collections: Arc<dyn CollectionStore>) -> Self {
        Self(tokio::spawn(async move {
            let mut tick = tokio::time::interval(period);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                collections.sweep(clock::unix_now());
            }
        }))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks name servers what `@rbl` wants to know, until it is dropped.
#[derive(Debug)]
pub(super) struct Asker(JoinHandle<()>);

impl Asker {
    /// Starts on the current runtime.
    #[expect(clippy::disallowed_methods, reason = "runtime starts the tasks")]
    pub(super) fn start() -> Self {
        let resolver = Arc::new(Resolver::new());
        Self(tokio::spawn(Arc::clone(BlockListCache::shared()).run(resolver, std::future::pending())))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::{CollectionUpdate, MemoryStore, StoredVariable, VariableChange};

    #[tokio::test]
    async fn what_has_expired_is_given_back() {
        let store = Arc::new(MemoryStore::new());
        let now = clock::unix_now();
        let key = StoredVariable {
            name: b"KEY".to_vec(),
            value: b"1.2.3.4".to_vec(),
            expires: None,
            change: VariableChange::Set,
        };
        store.save(&CollectionUpdate {
            name: b"IP",
            key: b"1.2.3.4",
            variables: &[key],
            removed: &[],
            now,
            expires: now,
        });
        assert_eq!(store.counts().collections, 1);
        let _sweeper = Sweeper::every(Duration::from_millis(5), Arc::<MemoryStore>::clone(&store));
        for _ in 0..1000 {
            if store.counts().collections == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never swept");
    }
}
