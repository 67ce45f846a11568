//! Active probes: a real request to each backend, through the TLS settings that the traffic uses.
//!
//! `runtime` runs [`Upstreams::run_probes`] on a background runtime, never on a worker. Each backend has its own rhythm:
//! the first probe at once, then every interval with some jitter, so that many gateways do not probe in step. What a
//! result means is decided in [`super::health`]; here is only how to get one, and how to say what failed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::balance::BackendIndex;
use super::dial::{ConnectFailure, ConnectLayer, Dialed, Seconds};
use super::health::Health;
use super::pool::{Pool, start_http2};
use super::upstreams::Upstreams;
use crate::config::model::Probe;

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// When.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The status of a success, or what failed.
    pub outcome: Result<u16, ProbeFailure>,
}

/// Why a probe failed; `Display` names the layer first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// No connection: name, TCP or TLS, or the deadline in one of them.
    #[error("{0}")]
    Connect(ConnectFailure),
    /// The wrong status.
    #[error("status: received {received}, expected {expected}")]
    Status {
        /// What came.
        received: u16,
        /// The ranges, printed.
        expected: String,
    },
    /// The body does not contain what it must.
    #[error("body: `{expected}` is not in the first {looked_at} bytes")]
    Body {
        /// What must be in it.
        expected: String,
        /// How much of the body was read.
        looked_at: usize,
    },
    /// Connected, and then no complete response in time.
    #[error("timeout: no {missing} within {}", Seconds(*limit))]
    Timeout {
        /// What did not come.
        missing: &'static str,
        /// The probe's timeout.
        limit: Duration,
    },
    /// What came is not HTTP, or broke off.
    #[error("http: {0}")]
    Http(String),
}

impl ProbeFailure {
    /// As in logs and metrics.
    pub fn layer(&self) -> &'static str {
        match self {
            Self::Connect(failure) => failure.layer.name(),
            Self::Status { .. } => "status",
            Self::Body { .. } => "body",
            Self::Timeout { .. } => "timeout",
            Self::Http(_) => "http",
        }
    }
}

/// A backend's health changed, or the reason why it is out.
#[derive(Debug, Clone)]
pub struct HealthChange {
    /// Name of the pool.
    pub pool: String,
    /// `host:port`.
    pub backend: String,
    /// What it is now.
    pub health: Health,
    /// The probe that decided it.
    pub report: ProbeReport,
}

impl fmt::Display for HealthChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend {} of pool {} is ", self.backend, self.pool)?;
        match &self.report.outcome {
            Ok(status) => write!(f, "healthy (status {status} in {} ms)", self.report.took.as_millis()),
            Err(failure) => write!(f, "unhealthy ({failure})"),
        }
    }
}

impl Upstreams {
    /// Probes every backend of every pool that has a probe, and keeps names current, until `shutdown` is done. `tell`
    /// hears of every change of health.
    ///
    /// Run it beside the snapshot that these pools belong to, and end it when the next snapshot's has begun; results
    /// are remembered by the backends, not by this task.
    pub async fn run_probes(
        self: Arc<Self>,
        shutdown: impl Future<Output = ()> + Send,
        tell: impl Fn(HealthChange) + Send + Sync + 'static,
    ) {
        let tell = Arc::new(tell);
        // One task for each backend, so that a thousand of them cost a thousand wake-ups and not a million; all of them
        // end with this set.
        let mut probers = JoinSet::new();
        for pool in self.pools() {
            if pool.settings.probe.is_some() {
                for at in 0..pool.backends.len() {
                    let index = BackendIndex(u16::try_from(at).unwrap_or(u16::MAX));
                    probers.spawn(prober(Arc::clone(pool), index, Arc::clone(&tell)));
                }
            }
        }
        let names = Arc::clone(self.resolver()).run(std::future::pending());
        tokio::select! {
            () = shutdown => {}
            () = names => {}
        }
    }
}

/// Probes one backend for ever.
async fn prober(pool: Arc<Pool>, index: BackendIndex, tell: Arc<impl Fn(HealthChange)>) {
    let Some(probe) = &pool.settings.probe else { return };
    let Some(backend) = pool.backend(index) else { return };
    // A backend that was probed before a reload keeps its rhythm; a new one is probed at once.
    let probed_at = backend.state.tracking().probed_at;
    let mut next = probed_at.map_or_else(Instant::now, |at| at + with_jitter(probe, seed(at, index)));
    let last = backend.last_probe().filter(|_| !backend.is_available());
    let mut told = last.and_then(|report| report.outcome.as_ref().err().map(ProbeFailure::layer));
    loop {
        sleep_until(next).await;
        let start = Instant::now();
        let outcome = Box::pin(probe_once(&pool, probe, index)).await;
        let report = ProbeReport { at: SystemTime::now(), took: start.elapsed(), outcome };
        let changed = pool.observe_probe(index, report.clone(), start);
        // A backend that is out for another reason than before is news too, and so is one that never came up.
        let health = backend.health();
        let reason = report.outcome.as_ref().err().filter(|_| !health.is_available()).map(ProbeFailure::layer);
        if changed.is_some() || (reason.is_some() && reason != told) {
            let (pool, backend) = (pool.settings.name.clone(), backend.name().to_owned());
            tell(HealthChange { pool, backend, health, report });
        }
        if reason.is_some() || health.is_available() {
            told = reason;
        }
        next = Instant::now().max(start + with_jitter(probe, seed(start, index)));
    }
}

/// One probe: the status if everything is as expected.
pub(super) async fn probe_once(pool: &Pool, probe: &Probe, index: BackendIndex) -> Result<u16, ProbeFailure> {
    let deadline = Instant::now() + probe.timeout;
    let Some(backend) = pool.backend(index) else {
        return Err(ProbeFailure::Http("no such backend".to_owned()));
    };
    let dialed = backend.probe_target.dial(&pool.resolver, true, deadline).await.map_err(ProbeFailure::Connect)?;
    let host = probe.host.clone().unwrap_or_else(|| default_host(backend.name(), pool.settings.tls.is_some()));
    let late = |missing| ProbeFailure::Timeout { missing, limit: probe.timeout };
    let response = match timeout_at(deadline, Box::pin(send(dialed, probe, &host, deadline))).await {
        Ok(response) => response?,
        Err(_) => return Err(late("response")),
    };
    let status = response.head.as_u16();
    if !probe.expected_status.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
        return Err(ProbeFailure::Status { received: status, expected: ranges(&probe.expected_status) });
    }
    let Some(expected) = &probe.expected_body else { return Ok(status) };
    match timeout_at(deadline, body_contains(response, expected)).await {
        Ok(Ok(true)) => Ok(status),
        Ok(Ok(false)) => Err(ProbeFailure::Body { expected: expected.clone(), looked_at: PROBE_BODY_BYTES }),
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(late("complete body")),
    }
}

/// A response whose body is still to be read. The connection lives in it and is closed with it.
struct ProbeResponse {
    head: hyper::StatusCode,
    body: hyper::body::Incoming,
    connection: Option<Driver>,
}

/// Moves the bytes of one HTTP/1 exchange; polled beside it, so that a probe is a single task.
type Driver = Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

async fn send(dialed: Dialed, probe: &Probe, host: &str, deadline: Instant) -> Result<ProbeResponse, ProbeFailure> {
    let failed = |error: hyper::Error| of_hyper(&error);
    let scheme = if dialed.stream.tls().is_some() { "https" } else { "http" };
    let uri = if dialed.is_http2 { format!("{scheme}://{host}{}", probe.path) } else { probe.path.clone() };
    let mut request = hyper::Request::get(uri)
        .header(hyper::header::USER_AGENT, concat!("portcullis/", env!("CARGO_PKG_VERSION"), " (health probe)"))
        .header(hyper::header::ACCEPT, "*/*");
    if !dialed.is_http2 {
        request = request.header(hyper::header::HOST, host).header(hyper::header::CONNECTION, "close");
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| ProbeFailure::Http(format!("the probe's path or host cannot be sent: {error}")))?;
    if dialed.is_http2 {
        let mut sender = start_http2(dialed.stream, deadline).await.map_err(ProbeFailure::Connect)?;
        let response = sender.send_request(request).await.map_err(failed)?;
        return Ok(ProbeResponse { head: response.status(), body: response.into_body(), connection: None });
    }
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(dialed.stream)).await.map_err(failed)?;
    let mut connection: Driver = Box::pin(connection);
    let mut answer = Box::pin(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        ended = &mut connection => match ended {
            Err(error) => Err(error),
            // The connection is done; what it has received is already in the answer.
            Ok(()) => answer.await,
        },
    };
    let response = response.map_err(failed)?;
    Ok(ProbeResponse { head: response.status(), body: response.into_body(), connection: Some(connection) })
}

async fn body_contains(response: ProbeResponse, expected: &str) -> Result<bool, ProbeFailure> {
    let ProbeResponse { mut body, connection, .. } = response;
    let mut seen = BytesMut::new();
    let read = async {
        while seen.len() < PROBE_BODY_BYTES {
            match body.frame().await {
                None => break,
                Some(Err(error)) => return Err(of_hyper(&error)),
                Some(Ok(frame)) => {
                    if let Some(chunk) = frame.data_ref() {
                        let room = PROBE_BODY_BYTES - seen.len();
                        seen.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
                    }
                    if memchr::memmem::find(&seen, expected.as_bytes()).is_some() {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(memchr::memmem::find(&seen, expected.as_bytes()).is_some())
    };
    tokio::pin!(read);
    let Some(mut connection) = connection else { return read.await };
    tokio::select! {
        biased;
        found = &mut read => found,
        // The rest of the body is in its channel when the connection is done.
        _ = &mut connection => read.await,
    }
}

/// hyper's error, or the TLS failure inside it: a backend that refuses our client certificate says so on the first
/// read.
fn of_hyper(error: &hyper::Error) -> ProbeFailure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            let failure = ConnectFailure::of_stream(io);
            return ProbeFailure::Connect(failure);
        }
        source = inner.source();
    }
    if error.is_incomplete_message() {
        let message = "the backend closed the connection before its response was complete";
        return ProbeFailure::Connect(ConnectFailure::new(ConnectLayer::Closed, message));
    }
    ProbeFailure::Http(error.to_string())
}

/// `host:port` without the scheme's own port.
fn default_host(name: &str, is_tls: bool) -> String {
    let default = if is_tls { ":443" } else { ":80" };
    name.strip_suffix(default).unwrap_or(name).to_owned()
}

fn ranges(ranges: &[(u16, u16)]) -> String {
    let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// The interval, of which up to the jitter's percentage is random. Never longer than the interval, so that the time to
/// notice an outage stays what was configured.
fn with_jitter(probe: &Probe, random: u64) -> Duration {
    let percent = u64::from(probe.jitter_percent.min(100));
    let most = probe.interval.saturating_mul(u32::try_from(percent).unwrap_or(0)) / 100;
    let part = u32::try_from(random % 1_000).unwrap_or(0);
    (probe.interval - most * part / 1_000).max(SHORTEST_INTERVAL)
}

/// Jitter needs no good randomness, only that gateways and backends differ; hash seeds differ per process.
fn seed(at: Instant, index: BackendIndex) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    thread_local! {
        static STATE: RandomState = RandomState::new();
    }
    STATE.with(|state| state.hash_one((at.into_std(), index)))
}

/// How much of a body is looked at; Application Gateway reads 4,090 characters.
const PROBE_BODY_BYTES: usize = 4_096;

/// A configured interval of zero does not become a busy loop.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
