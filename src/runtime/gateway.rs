//! A running gateway: started from a loaded configuration, reloaded with another, drained at the end.
//!
//! Lives on a tokio runtime of its own thread, which probes the backends; requests run on the workers. A reload is in
//! two steps, so that the heavy one can run on any thread: `Gateway::prepare` builds and binds beside what runs,
//! [`Gateway::apply`] swaps. Until then nothing has changed; after it nothing can fail.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::background::{Asker, Background, Sweeper};
use super::clock;
use super::slots::{Plan, Slot, arrange, plan};
use super::snapshot::{Previous, build};
use super::socket::bind;
use super::workers::Workers;
use crate::config::model::Logs;
use crate::config::{Loaded, RuleCache, diff, needs_restart};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::dns::BlockListCache;
use crate::gateway::{Aside, Drain, Shared, Snapshot};
use crate::limits;
use crate::telemetry::{Metrics, Recorder, RecorderError, log};
use crate::tls::ticket::Tickets;
use crate::waf::CollectionStore;
use crate::waf::operator::BlockList;

/// The gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be put in force: certificates, addresses, log files.
    #[error("{0}")]
    Configuration(Diagnostics),
    /// A log cannot be opened.
    #[error("{0}")]
    Record(#[from] RecorderError),
    /// Threads cannot be started.
    #[error("cannot start the worker threads: {0}")]
    Threads(#[source] std::io::Error),
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    workers: Workers,
    slots: Vec<Slot>,
    tickets: Arc<Tickets>,
    rules: RuleCache,
    background: Background,
    sweeper: Sweeper,
    asker: Asker,
    logs: Logs,
}

/// A configuration that is ready to be put in force.
#[derive(Debug)]
pub struct Prepared {
    snapshot: Snapshot,
    plan: Plan,
    sockets: Vec<(usize, Vec<TcpListener>)>,
    rules: RuleCache,
    warnings: Diagnostics,
}

impl Prepared {
    /// What is not wrong enough to refuse it.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }
}

/// What preparing needs to know of the running gateway; cheap to clone, and sent to another thread.
#[derive(Debug, Clone)]
pub struct Running {
    shared: Arc<Shared>,
    slots: Vec<Slot>,
    tickets: Arc<Tickets>,
    sockets_per_listener: usize,
}

impl Running {
    /// Builds everything of a configuration and binds its new addresses, beside what runs.
    pub fn prepare(&self, loaded: Loaded) -> Result<Prepared, Diagnostics> {
        let snapshot = self.shared.snapshot.load_full();
        prepare(
            loaded,
            &self.slots,
            Some(&snapshot),
            &self.tickets,
            self.shared.recorder.metrics(),
            self.sockets_per_listener,
        )
    }
}

fn prepare(
    loaded: Loaded,
    slots: &[Slot],
    snapshot: Option<&Arc<Snapshot>>,
    tickets: &Tickets,
    metrics: &Metrics,
    sockets_per_listener: usize,
) -> Result<Prepared, Diagnostics> {
    let Loaded { mut configuration, mut warnings, places, rules, .. } = loaded;
    let plan = plan(slots, &configuration.listeners);
    arrange(&mut configuration, &plan, slots);
    let removed: Vec<usize> = (0..plan.count).filter(|slot| !plan.slots.contains(slot)).collect();
    let previous = snapshot.map(|snapshot| Previous { snapshot, removed: &removed });
    let (snapshot, found) = build(configuration, &places, previous, tickets, metrics)?;
    warnings.extend(found);
    let mut sockets = Vec::new();
    let mut problems = Diagnostics::new();
    for (slot, _) in &plan.bind {
        let Some(listener) = snapshot.listener(*slot) else { continue };
        match bind(listener.address, sockets_per_listener) {
            Ok(bound) => sockets.push((*slot, bound)),
            Err(error) => {
                let message = format!("listener `{}`: cannot listen on {}: {error}", listener.name, listener.address);
                let problem = Diagnostic::error(None, message);
                problems.push(match error.kind() {
                    std::io::ErrorKind::AddrInUse => problem.advise("another process has this port"),
                    std::io::ErrorKind::PermissionDenied => {
                        problem.advise("ports below 1024 need CAP_NET_BIND_SERVICE, as the systemd unit gives it")
                    }
                    _ => problem,
                });
            }
        }
    }
    if problems.has_errors() {
        return Err(places.locate(problems));
    }
    Ok(Prepared { snapshot, plan, sockets, rules, warnings })
}

impl Gateway {
    /// Starts everything. Must be called on a tokio runtime, which then runs the probes.
    pub fn start(loaded: Loaded) -> Result<Self, StartError> {
        let settings = loaded.configuration.runtime;
        let logs = loaded.configuration.logs.clone();
        let metrics = Arc::new(Metrics::new());
        metrics.started(clock::unix_now());
        let tickets = Arc::new(Tickets::new());
        let sockets_per_listener = match settings.flavour {
            crate::config::model::Flavour::PerCore => settings.workers,
            crate::config::model::Flavour::Shared => 1,
        };
        let prepared =
            prepare(loaded, &[], None, &tickets, &metrics, sockets_per_listener).map_err(StartError::Configuration)?;
        let Prepared { snapshot, plan, sockets, rules, warnings } = prepared;
        for warning in warnings.iter() {
            log::warning("config", format_args!("{warning}"));
        }
        let collections: Arc<dyn CollectionStore> = Arc::new(crate::waf::MemoryStore::new());
        metrics.watch_collections(&collections);
        let sweeper = Sweeper::start(Arc::clone(&collections));
        let block_list: Arc<dyn BlockList> = Arc::<BlockListCache>::clone(BlockListCache::shared());
        metrics.watch_block_list(&block_list);
        let asker = Asker::start();
        let recorder = Recorder::start(&logs, metrics)?;
        let background = Background::start(&snapshot.upstreams);
        let aside = Aside::new(settings.workers, limits::INSPECTION_PATIENCE, &collections);
        let shared = Arc::new(Shared { snapshot: ArcSwap::from_pointee(snapshot), recorder, collections, aside });
        let workers = Workers::start(settings, &shared).map_err(StartError::Threads)?;
        let mut gateway = Self { shared, workers, slots: Vec::new(), tickets, rules, background, sweeper, asker, logs };
        gateway.take_sockets(&plan, sockets);
        Ok(gateway)
    }

    /// What a reload needs to know.
    pub fn running(&self) -> Running {
        Running {
            shared: Arc::clone(&self.shared),
            slots: self.slots.clone(),
            tickets: Arc::clone(&self.tickets),
            sockets_per_listener: self.workers.sockets_per_listener(),
        }
    }

    /// The rules that run, so that loading can keep unchanged ones.
    pub fn rules(&self) -> &RuleCache {
        &self.rules
    }

    /// The snapshot in force and the recorder.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Listeners by name, as bound.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let serving = self.slots.iter().filter(|slot| !slot.drain.is_draining());
        serving.map(|slot| (slot.listener.name.clone(), slot.bound)).collect()
    }

    /// Puts a prepared configuration in force; what changed, in words. Fails only if a log file cannot be opened, and
    /// then nothing has changed.
    pub fn apply(&mut self, prepared: Prepared) -> Result<Vec<String>, Diagnostics> {
        let Prepared { snapshot, plan, sockets, rules, warnings } = prepared;
        let logs = snapshot.configuration.logs.clone();
        if logs != self.logs {
            if let Err(error) = self.shared.recorder.reconfigure(&logs) {
                let mut problems = Diagnostics::new();
                problems.push(Diagnostic::error(None, error.to_string()));
                return Err(problems);
            }
            self.logs = logs;
        }
        let old = self.shared.snapshot.load_full();
        let mut changes = diff(&old.configuration, &snapshot.configuration);
        for slot in &plan.drain {
            // Its settings stay in the snapshot while it drains, so the comparison does not see it go.
            if let Some(slot) = self.slots.get(*slot) {
                changes.push(format!("listener `{}` on {} removed", slot.listener.name, slot.bound));
            }
        }
        // Said in the answer as well as in the log: whoever asked for the reload is told what it did not do.
        let needs_restart = needs_restart(&old.configuration, &snapshot.configuration);
        changes.extend(needs_restart.iter().map(|key| format!("`{key}` changed, which takes a restart")));
        for key in needs_restart {
            log::warning("reload", format_args!("`{key}` changed: this takes a restart"));
        }
        for warning in warnings.iter() {
            log::warning("config", format_args!("{warning}"));
        }
        let background = Background::start(&snapshot.upstreams);
        let snapshot = Arc::new(snapshot);
        self.shared.snapshot.store(Arc::clone(&snapshot));
        self.background = background;
        self.rules = rules;
        for slot in &plan.drain {
            if let Some(slot) = self.slots.get(*slot) {
                slot.drain.start();
            }
        }
        self.take_sockets(&plan, sockets);
        self.shared.recorder.metrics().retain(&snapshot.configuration);
        Ok(changes)
    }

    /// Reloads on this thread; for tests and the demo.
    pub fn reload(&mut self, loaded: Loaded) -> Result<Vec<String>, Diagnostics> {
        let prepared = self.running().prepare(loaded)?;
        self.apply(prepared)
    }

    fn take_sockets(&mut self, plan: &Plan, sockets: Vec<(usize, Vec<TcpListener>)>) {
        let snapshot = self.shared.snapshot.load_full();
        for (slot, listener) in snapshot.configuration.listeners.iter().enumerate() {
            if let Some(known) = self.slots.get_mut(slot)
                && plan.slots.contains(&slot)
            {
                known.listener = listener.clone();
            }
        }
        let mut sockets = sockets;
        // Slots are numbered without gaps, and each new one has sockets.
        sockets.sort_by_key(|(slot, _)| *slot);
        for (slot, sockets) in sockets {
            let Some(listener) = snapshot.configuration.listeners.get(slot).cloned() else { continue };
            let bound = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(listener.address);
            let drain = Drain::new();
            let new = Slot { listener, bound, drain: drain.clone() };
            match self.slots.get_mut(slot) {
                Some(known) => *known = new,
                None => self.slots.push(new),
            }
            self.workers.serve(sockets, slot, &drain);
        }
    }

    /// Stops accepting, waits for running requests at most `patience`, ends the threads. `true` if nothing had to be
    /// broken off.
    pub async fn shutdown(self, patience: Duration) -> bool {
        self.slots.iter().for_each(|slot| slot.drain.start());
        let all = async {
            for slot in &self.slots {
                slot.drain.finished().await;
            }
        };
        let is_clean = tokio::time::timeout(patience, all).await.is_ok();
        let recorder = self.shared.recorder.clone();
        drop(self.background);
        drop(self.sweeper);
        drop(self.asker);
        self.workers.stop();
        recorder.flush(Duration::from_secs(5));
        recorder.close();
        is_clean
    }

    /// Client connections open now.
    pub fn connections(&self) -> usize {
        self.slots.iter().map(|slot| slot.drain.connections()).sum()
    }
}
