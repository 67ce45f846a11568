//! One backend pool at run time: which backend, over which connection, and what became of it.
//!
//! The gateway calls [`Pool::pick`], [`Pool::connection`] and the lease's outcome for every request, so these neither
//! allocate nor lock what other workers lock: the rotation is an immutable value swapped when health changes, counts
//! are atomics, idle connections belong to the worker.
//!
//! What a backend *is* (address, TLS) is fixed per configuration; how it *fares* ([`Backend`]'s state: health, running
//! requests, counters) is shared with the pool that replaces this one on a reload.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;

use super::balance::{BackendIndex, Candidate, Rotation};
use super::dial::{ConnectFailure, ConnectLayer, Dialed, Seconds, Target};
use super::exchange::{BackendConnection, BackendStream, Http1Connection};
use super::health::{Health, Tracker};
use super::idle::{IdleConnections, Keep, KeyId};
use super::outlier::Detector;
use super::probe::ProbeReport;
use super::retry::{Budget, RetryPermit};
use crate::config::model::{self, Balance};
use crate::dns::{Host, Resolver};

/// A backend pool.
#[derive(Debug)]
pub struct Pool {
    pub(super) settings: model::Pool,
    pub(super) backends: Box<[Backend]>,
    pub(super) resolver: Arc<Resolver>,
    rotation: ArcSwap<Rotation>,
    turn: AtomicU64,
    outliers: Option<Mutex<Detector>>,
    /// When the next ejected backend comes back, in milliseconds of [`Pool::epoch`]; [`NEVER`] when none is out.
    next_return: AtomicU64,
    epoch: Instant,
    retries: Budget,
}

/// One backend of a pool.
#[derive(Debug)]
pub struct Backend {
    name: String,
    weight: u32,
    pub(super) target: Target,
    /// As [`Backend::target`], with the name that probes verify.
    pub(super) probe_target: Target,
    key: KeyId,
    keep: Keep,
    pub(super) state: Arc<BackendState>,
    /// Without a probe it is healthy, whatever an earlier configuration's probe has found.
    is_probed: bool,
    /// Out until then, in milliseconds of the pool's epoch; 0 when in.
    ejected_until: AtomicU64,
    /// Has the outlier detector anything to forget when a request goes well?
    is_remembered: AtomicBool,
}

/// How a backend fares. Survives a reload.
#[derive(Debug)]
pub(super) struct BackendState {
    health: AtomicU8,
    running: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
    connects: AtomicU64,
    connect_failures: AtomicU64,
    reuses: AtomicU64,
    ejections: AtomicU64,
    probes: AtomicU64,
    probe_failures: AtomicU64,
    pub(super) tracking: Mutex<Tracking>,
    last_probe: ArcSwapOption<ProbeReport>,
}

/// What the probe remembers of a backend.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    pub(super) tracker: Tracker,
    pub(super) probed_at: Option<Instant>,
}

/// Counts since the backend appeared, for metrics and the admin page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendCounters {
    /// Requests given to it.
    pub requests: u64,
    /// Of them, failed (connect, reset, timeout, 502-504).
    pub failures: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Requests on a connection that was at hand.
    pub reuses: u64,
    /// Times it was ejected.
    pub ejections: u64,
    /// Probes made.
    pub probes: u64,
    /// Of them, failed.
    pub probe_failures: u64,
}

/// How a request on a backend failed, as far as the backend is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection. [`Pool::connection`] tells this itself.
    Connect,
    /// The connection broke, or what came was not HTTP.
    Reset,
    /// No response in time.
    Timeout,
    /// 502, 503 or 504.
    Status(u16),
}

/// Why no backend can be picked; `Display` is the sentence for the log and the 502's body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBackend {
    /// The pool has no members.
    #[error("the pool has no backends")]
    EmptyPool,
    /// The probe holds every member for unhealthy.
    #[error("no backend is healthy: {}", Listed(.0))]
    AllUnhealthy(Vec<UnavailableBackend>),
    /// Every member that the probe does not refuse is ejected after failed requests.
    #[error("every backend is ejected after failed requests: {}", Listed(.0))]
    AllEjected(Vec<UnavailableBackend>),
    /// Some are unhealthy, the others ejected.
    #[error("no backend is available: {}", Listed(.0))]
    AllUnavailable(Vec<UnavailableBackend>),
    /// Every available member has been tried already by this request.
    #[error("every available backend has been tried")]
    AllTried,
}

impl NoBackend {
    /// As in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EmptyPool => "empty_pool",
            Self::AllUnhealthy(_) => "all_unhealthy",
            Self::AllEjected(_) => "all_ejected",
            Self::AllUnavailable(_) => "all_unavailable",
            Self::AllTried => "all_tried",
        }
    }
}

/// A backend that takes no traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnavailableBackend {
    /// `host:port`.
    pub backend: String,
    /// The last probe's message, or for how long it is ejected.
    pub reason: String,
}

/// One request's claim on a backend. It counts as running until dropped; tell the outcome once.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<Pool>,
    index: BackendIndex,
    is_told: AtomicBool,
}

impl Pool {
    pub(super) fn new(settings: model::Pool, backends: Vec<Backend>, resolver: Arc<Resolver>) -> Arc<Self> {
        let outliers = settings.ejection.as_ref().map(|ejection| {
            let settings = super::outlier::Settings {
                consecutive_failures: ejection.consecutive_failures,
                base_duration: ejection.base_duration,
                maximum_percent: ejection.maximum_percent,
            };
            Mutex::new(Detector::new(settings, backends.len()))
        });
        let retries = Budget::new(settings.retry.budget_percent);
        let pool = Self {
            settings,
            backends: backends.into_boxed_slice(),
            resolver,
            rotation: ArcSwap::default(),
            turn: AtomicU64::new(0),
            outliers,
            next_return: AtomicU64::new(NEVER),
            epoch: Instant::now(),
            retries,
        };
        pool.rotate();
        Arc::new(pool)
    }

    /// The settings it was built from.
    pub fn settings(&self) -> &model::Pool {
        &self.settings
    }

    /// The members, in the order of the configuration.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// One member.
    pub fn backend(&self, index: BackendIndex) -> Option<&Backend> {
        self.backends.get(index.as_usize())
    }

    /// Picks a backend for a request. `random` is used by the balancers that draw lots; `exclude` are the backends
    /// that this request has failed on already.
    pub fn pick(self: &Arc<Self>, random: u64, exclude: &[BackendIndex]) -> Result<Lease, NoBackend> {
        if self.next_return.load(Ordering::Relaxed) != NEVER {
            self.readmit();
        }
        let index = match self.choose(random, exclude) {
            Some(index) => index,
            None => {
                // The rotation may be older than the backends' health, which other pools share during a reload.
                if self.available().next().is_none() {
                    return Err(self.why_none());
                }
                self.rotate();
                self.choose(random, exclude).ok_or_else(|| self.why_none())?
            }
        };
        if let Some(backend) = self.backend(index) {
            backend.state.running.fetch_add(1, Ordering::Relaxed);
            backend.state.requests.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Lease { pool: Arc::clone(self), index, is_told: AtomicBool::new(false) })
    }

    /// A connection to the leased backend: one at hand, or a new one within `deadline` and the pool's connect timeout.
    /// A failure to connect is told to the lease.
    pub async fn connection(
        &self,
        idle: &IdleConnections,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<BackendConnection, ConnectFailure> {
        match self.idle_connection(idle, lease) {
            Some(connection) => Ok(connection),
            None => Box::pin(self.new_connection(idle, lease, true, deadline)).await,
        }
    }

    /// As [`Pool::connection`], for an exchange that only HTTP/1 can carry (upgrades).
    pub async fn http1_connection(
        &self,
        idle: &IdleConnections,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<BackendConnection, ConnectFailure> {
        let backend = self.leased(lease)?;
        if let Some(connection) = self.idle_http1(backend, idle) {
            return Ok(connection);
        }
        Box::pin(self.new_connection(idle, lease, false, deadline)).await
    }

    /// A new connection whatever is at hand: for the retry after a kept connection turned out to be dead.
    pub async fn fresh_connection(
        &self,
        idle: &IdleConnections,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<BackendConnection, ConnectFailure> {
        Box::pin(self.new_connection(idle, lease, true, deadline)).await
    }

    /// A connection at hand, if any; never waits.
    pub fn idle_connection(&self, idle: &IdleConnections, lease: &Lease) -> Option<BackendConnection> {
        let backend = self.backend(lease.index)?;
        if backend.target.http2
            && let Some(connection) = idle.take_http2(backend.key)
        {
            backend.state.reuses.fetch_add(1, Ordering::Relaxed);
            return Some(BackendConnection::Http2(connection));
        }
        self.idle_http1(backend, idle)
    }

    /// May a retry start? It counts as running until the permit is dropped.
    pub fn try_retry(&self) -> Option<RetryPermit> {
        self.retries.try_start(self.running())
    }

    /// Requests running on all backends.
    pub fn running(&self) -> usize {
        self.backends.iter().map(Backend::running).sum()
    }

    /// Takes a probe's result. Returns the backend's health if this changed it.
    pub(super) fn observe_probe(&self, index: BackendIndex, report: ProbeReport, now: Instant) -> Option<Health> {
        let probe = self.settings.probe.as_ref()?;
        let state = &self.backend(index)?.state;
        let thresholds =
            super::health::Thresholds { healthy: probe.healthy_threshold, unhealthy: probe.unhealthy_threshold };
        let is_success = report.outcome.is_ok();
        state.probes.fetch_add(1, Ordering::Relaxed);
        if !is_success {
            state.probe_failures.fetch_add(1, Ordering::Relaxed);
        }
        state.last_probe.store(Some(Arc::new(report)));
        let changed = {
            let mut tracking = state.tracking();
            tracking.probed_at = Some(now);
            let changed = tracking.tracker.observe(is_success, thresholds);
            if let Some(health) = changed {
                state.set_health(health);
            }
            changed
        };
        // Also without a change: around a reload the probes of the other pool may have been the first to notice it.
        if !self.available().eq(self.rotation.load().candidates().iter().copied()) {
            self.rotate();
        }
        changed
    }

    fn choose(&self, random: u64, exclude: &[BackendIndex]) -> Option<BackendIndex> {
        let rotation = self.rotation.load();
        let accept =
            |index: BackendIndex| !exclude.contains(&index) && self.backend(index).is_some_and(Backend::is_available);
        match self.settings.balance {
            Balance::RoundRobin => rotation.in_turn(self.turn.fetch_add(1, Ordering::Relaxed), accept),
            Balance::LeastRequest => {
                rotation.less_loaded(random, accept, |index| self.backend(index).map_or(0, Backend::running))
            }
        }
    }

    fn available(&self) -> impl Iterator<Item = Candidate> {
        let candidate = |(at, backend): (usize, &Backend)| Candidate {
            index: BackendIndex(u16::try_from(at).unwrap_or(u16::MAX)),
            weight: backend.weight,
        };
        self.backends.iter().enumerate().filter(|(_, backend)| backend.is_available()).map(candidate)
    }

    /// Lays out the rotation anew after a change of who is available.
    pub(super) fn rotate(&self) {
        self.rotation.store(Arc::new(Rotation::new(self.available().collect())));
    }

    /// Lets ejected backends back in when their time is over.
    fn readmit(&self) {
        let now = Instant::now();
        let milliseconds = self.milliseconds(now);
        let due = self.next_return.load(Ordering::Relaxed);
        if milliseconds < due {
            return;
        }
        // One worker does it (and sees every ejection that was counted into `due`); the others go on with the old rotation for the moment that takes.
        if self.next_return.compare_exchange(due, NEVER, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        for backend in &self.backends {
            let until = backend.ejected_until.load(Ordering::Relaxed);
            if until != 0 && until <= milliseconds {
                backend.ejected_until.store(0, Ordering::Relaxed);
            } else if until != 0 {
                self.next_return.fetch_min(until, Ordering::AcqRel);
            }
        }
        self.rotate();
    }

    fn failed(&self, index: BackendIndex) {
        let Some(backend) = self.backend(index) else { return };
        backend.state.failures.fetch_add(1, Ordering::Relaxed);
        let Some(outliers) = &self.outliers else { return };
        let now = Instant::now();
        let ejected_until = lock(outliers).failed(index, now.into_std());
        backend.is_remembered.store(true, Ordering::Relaxed);
        if let Some(until) = ejected_until {
            let until = self.milliseconds(Instant::from_std(until)).max(1);
            backend.ejected_until.store(until, Ordering::Relaxed);
            backend.state.ejections.fetch_add(1, Ordering::Relaxed);
            self.next_return.fetch_min(until, Ordering::AcqRel);
            self.rotate();
        }
    }

    fn succeeded(&self, index: BackendIndex) {
        let Some(backend) = self.backend(index) else { return };
        if backend.is_remembered.load(Ordering::Relaxed)
            && let Some(outliers) = &self.outliers
        {
            let remembers = lock(outliers).succeeded(index, Instant::now().into_std());
            backend.is_remembered.store(remembers, Ordering::Relaxed);
        }
    }

    fn why_none(&self) -> NoBackend {
        if self.backends.is_empty() {
            return NoBackend::EmptyPool;
        }
        let now = self.milliseconds(Instant::now());
        let (mut unhealthy, mut ejected) = (0, 0);
        let mut listed = Vec::new();
        for backend in &self.backends {
            let reason = if !backend.health().is_available() {
                unhealthy += 1;
                match backend.last_probe().as_deref() {
                    Some(ProbeReport { outcome: Err(failure), .. }) => failure.to_string(),
                    Some(_) => "not healthy for long enough yet".to_owned(),
                    None => "not probed yet".to_owned(),
                }
            } else if backend.is_available() {
                continue;
            } else {
                ejected += 1;
                let left = backend.ejected_until.load(Ordering::Relaxed).saturating_sub(now);
                format!("ejected for another {}", Seconds(Duration::from_millis(left)))
            };
            if listed.len() < LISTED_BACKENDS {
                listed.push(UnavailableBackend { backend: backend.name.clone(), reason });
            }
        }
        match (unhealthy, ejected) {
            _ if unhealthy + ejected < self.backends.len() => NoBackend::AllTried,
            (_, 0) => NoBackend::AllUnhealthy(listed),
            (0, _) => NoBackend::AllEjected(listed),
            _ => NoBackend::AllUnavailable(listed),
        }
    }

    fn leased(&self, lease: &Lease) -> Result<&Backend, ConnectFailure> {
        // A lease is of this very pool, so its index is there; a foreign one is refused rather than trusted.
        self.backend(lease.index).ok_or_else(|| {
            ConnectFailure::new(ConnectLayer::Unreachable, "the lease belongs to another pool".to_owned())
        })
    }

    fn idle_http1(&self, backend: &Backend, idle: &IdleConnections) -> Option<BackendConnection> {
        loop {
            let connection = idle.take_http1(backend.key)?;
            // A name that has moved must not be served by connections to where it was.
            if backend.target.is_address(connection.peer().ip()) {
                backend.state.reuses.fetch_add(1, Ordering::Relaxed);
                return Some(BackendConnection::Http1(connection));
            }
        }
    }

    async fn new_connection(
        &self,
        idle: &IdleConnections,
        lease: &Lease,
        offer_http2: bool,
        deadline: Instant,
    ) -> Result<BackendConnection, ConnectFailure> {
        let backend = self.leased(lease)?;
        let deadline = deadline.min(Instant::now() + self.settings.timeouts.connect);
        let connected = match backend.target.dial(&self.resolver, offer_http2, deadline).await {
            Ok(dialed) => backend.start(dialed, idle, deadline).await,
            Err(failure) => Err(failure),
        };
        let counter = if connected.is_ok() { &backend.state.connects } else { &backend.state.connect_failures };
        counter.fetch_add(1, Ordering::Relaxed);
        if connected.is_err() {
            lease.failed(FailureKind::Connect);
        }
        connected
    }

    fn milliseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(NEVER - 1)
    }
}

impl Backend {
    pub(super) fn new(
        settings: &model::Backend,
        target: Target,
        probe_target: Target,
        key: KeyId,
        keep: Keep,
        state: Arc<BackendState>,
        is_probed: bool,
    ) -> Self {
        Self {
            name: target.to_string(),
            weight: settings.weight,
            target,
            probe_target,
            key,
            keep,
            state,
            is_probed,
            ejected_until: AtomicU64::new(0),
            is_remembered: AtomicBool::new(false),
        }
    }

    pub(super) fn key(&self) -> KeyId {
        self.key
    }

    /// `host:port`, as in logs and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the probe says; a pool without a probe holds every backend for healthy.
    pub fn health(&self) -> Health {
        if self.is_probed { self.state.health() } else { Health::Healthy }
    }

    /// Does it take traffic: healthy and not ejected?
    pub fn is_available(&self) -> bool {
        self.health().is_available() && !self.is_ejected()
    }

    /// Is it left out after failed requests?
    pub fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    /// Requests running.
    pub fn running(&self) -> usize {
        self.state.running.load(Ordering::Relaxed)
    }

    /// The last probe's report.
    pub fn last_probe(&self) -> Option<Arc<ProbeReport>> {
        self.state.last_probe.load_full()
    }

    /// Counts since it appeared.
    pub fn counters(&self) -> BackendCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = &self.state;
        BackendCounters {
            requests: read(&state.requests),
            failures: read(&state.failures),
            connects: read(&state.connects),
            connect_failures: read(&state.connect_failures),
            reuses: read(&state.reuses),
            ejections: read(&state.ejections),
            probes: read(&state.probes),
            probe_failures: read(&state.probe_failures),
        }
    }

    /// Makes a connection of a new stream: itself for HTTP/1, a shared handle for HTTP/2.
    async fn start(
        &self,
        dialed: Dialed,
        idle: &IdleConnections,
        deadline: Instant,
    ) -> Result<BackendConnection, ConnectFailure> {
        let Dialed { stream, peer, is_http2, took } = dialed;
        if !is_http2 {
            return Ok(BackendConnection::Http1(Http1Connection::new(stream, peer, took, self.key, self.keep)));
        }
        let sender = start_http2(stream, deadline).await?;
        Ok(BackendConnection::Http2(idle.share_http2(self.key, self.keep, sender, took)))
    }
}

/// Begins HTTP/2 on a stream and starts its connection task on this runtime.
#[expect(clippy::disallowed_methods, reason = "an HTTP/2 connection outlives the request that opened it")]
pub(super) async fn start_http2<B>(
    stream: BackendStream,
    deadline: Instant,
) -> Result<hyper::client::conn::http2::SendRequest<B>, ConnectFailure>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HTTP2_HEADER_LIST_BYTES)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    let handshake = Box::pin(builder.handshake(TokioIo::new(stream)));
    match tokio::time::timeout_at(deadline, handshake).await {
        Ok(Ok((sender, connection))) => {
            // Its errors reach the requests on it; there is nobody else to tell.
            tokio::spawn(async move { drop(connection.await) });
            Ok(sender)
        }
        Ok(Err(error)) => Err(ConnectFailure::new(ConnectLayer::Closed, format!("HTTP/2 did not begin: {error}"))),
        Err(_) => Err(ConnectFailure::new(ConnectLayer::Timeout, "HTTP/2 did not begin in time".to_owned())),
    }
}

impl Target {
    /// May a connection to this address still be used for this backend?
    fn is_address(&self, address: std::net::IpAddr) -> bool {
        match &self.host {
            Host::Address(_) => true,
            Host::Name(name) => name.has_address(address),
        }
    }
}

impl BackendState {
    pub(super) fn new(health: Health) -> Self {
        Self {
            health: AtomicU8::new(health as u8),
            running: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            reuses: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            probe_failures: AtomicU64::new(0),
            tracking: Mutex::new(Tracking { tracker: Tracker::new(health), probed_at: None }),
            last_probe: ArcSwapOption::empty(),
        }
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            _ => Health::Unknown,
        }
    }

    pub(super) fn tracking(&self) -> MutexGuard<'_, Tracking> {
        lock(&self.tracking)
    }

    fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }
}

impl Lease {
    /// Which backend.
    pub fn index(&self) -> BackendIndex {
        self.index
    }

    /// The backend's `host:port`.
    pub fn backend_name(&self) -> &str {
        self.pool.backend(self.index).map_or("", Backend::name)
    }

    /// Its pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The backend answered, with any status but 502, 503 and 504. Call it with the response's head; the lease goes on
    /// counting until it is dropped.
    pub fn succeeded(&self) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.pool.succeeded(self.index);
        }
    }

    /// The backend failed. Only the first outcome counts.
    pub fn failed(&self, _kind: FailureKind) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.pool.failed(self.index);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(backend) = self.pool.backend(self.index) {
            backend.state.running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Prints unavailable backends with their reasons.
struct Listed<'a>(&'a [UnavailableBackend]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, UnavailableBackend { backend, reason }) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{backend}: {reason}")?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No ejected backend is waiting.
const NEVER: u64 = u64::MAX;

/// Backends named in one message: with a hundred members, the first few tell the story.
const LISTED_BACKENDS: usize = 8;

/// HTTP/2 towards a backend: a window that fills a local network's pipe, a header list as large as a request head may
/// be, and pings that notice a dead peer while requests wait.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const HTTP2_HEADER_LIST_BYTES: u32 = 64 * 1024;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);
