//! What the path runs on: one [`Snapshot`] per loaded configuration, one [`Shared`] per process, one [`Worker`] per
//! thread.
//!
//! `runtime` builds a snapshot beside the running one, checks it, and swaps it in one step; a request keeps the
//! snapshot it began with, so none ever sees half of a reload.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::Aside;
use crate::config::model::{Configuration, Listener, Policy, PolicyId};
use crate::route::Router;
use crate::telemetry::{Recorder, RequestHandles};
use crate::tls::server::ServerTls;
use crate::upstream::{IdleConnections, Upstreams};
use crate::waf::{CollectionStore, Scratch};

/// One loaded configuration with everything that is built from it.
#[derive(Debug)]
pub struct Snapshot {
    /// The checked file.
    pub configuration: Configuration,
    /// Hosts and paths.
    pub router: Router,
    /// Pools.
    pub upstreams: Arc<Upstreams>,
    /// TLS of each listener, by index; `None` is clear text.
    pub listeners: Vec<Option<ServerTls>>,
    /// Metrics handles, by listener, route and pool.
    pub handles: RequestHandles,
}

impl Snapshot {
    /// The settings of a listener. A listener that a reload removed has none: its connections end.
    #[must_use]
    pub fn listener(&self, index: usize) -> Option<&Listener> {
        self.configuration.listeners.get(index)
    }

    /// A policy.
    #[must_use]
    pub fn policy(&self, id: PolicyId) -> Option<&Policy> {
        self.configuration.policies.get(usize::from(id.0))
    }
}

/// One per process.
#[derive(Debug)]
pub struct Shared {
    /// The configuration in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// Takes the record of every request.
    pub recorder: Recorder,
    /// Persistent collections of the rules (IP, SESSION and so on); they survive reloads.
    pub collections: Arc<dyn CollectionStore>,
    /// Where long bodies are inspected.
    pub aside: Aside,
}

/// One per worker thread (or one for a work-stealing runtime).
#[derive(Debug)]
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) idle: IdleConnections,
    /// Only this worker's tasks lock it, and never across an await; the mutex makes the type `Sync`.
    scratch: Mutex<Scratch>,
    random: AtomicU64,
}

impl Worker {
    /// A worker; `seed` makes its random numbers (request ids, balancing) its own.
    #[must_use]
    pub fn new(shared: Arc<Shared>, seed: u64) -> Self {
        let scratch = Scratch::with_collections(Arc::clone(&shared.collections));
        Self { shared, idle: IdleConnections::new(), scratch: Mutex::new(scratch), random: AtomicU64::new(seed) }
    }

    /// Idle connections to backends, for a worker's own tick to sweep.
    #[must_use]
    pub fn idle_connections(&self) -> &IdleConnections {
        &self.idle
    }

    pub(super) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a scratch that is not to be trusted any more is replaced by.
    pub(super) fn new_scratch(&self) -> Scratch {
        Scratch::with_collections(Arc::clone(&self.shared.collections))
    }

    /// SplitMix64: good enough for ids and lots, and one addition apart from any other caller's.
    pub(super) fn random(&self) -> u64 {
        let mut value = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ (value >> 31)
    }
}
