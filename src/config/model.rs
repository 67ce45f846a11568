//! What the program runs on: finished, checked values. `build` is the only place that makes them.
//!
//! Nothing here mirrors the file's spelling; every default is already applied, every reference is an index, every
//! path has been read. A value that exists is valid.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Index of a pool in [`Configuration::pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

/// Index of a policy in [`Configuration::policies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId(pub u16);

/// Index of a route over all sites, for metrics labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u16);

/// The whole of one loaded file.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Sockets to bind.
    pub listeners: Vec<Listener>,
    /// Host names and what is behind them.
    pub sites: Vec<Site>,
    /// Backend pools.
    pub pools: Vec<Pool>,
    /// Inspection policies.
    pub policies: Vec<Policy>,
    /// The admin listener; `None` when off.
    pub admin: Option<SocketAddr>,
    /// Where records go.
    pub logs: Logs,
    /// Threads.
    pub runtime: Runtime,
}

/// One bound socket.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Name in logs and metrics.
    pub name: String,
    /// Address to bind; port 0 lets the system choose (tests).
    pub address: SocketAddr,
    /// TLS settings; `None` is clear-text HTTP (loopback tests, redirects).
    pub tls: Option<ListenerTls>,
    /// Is HTTP/2 offered?
    pub http2: bool,
    /// Is a request's X-Request-ID taken over, if it is harmless?
    pub trust_request_id: bool,
    /// Client deadlines.
    pub timeouts: ClientTimeouts,
    /// Client bounds.
    pub limits: ClientLimits,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTls {
    /// Certificates; chosen by SNI, the first is the default.
    pub certificates: Vec<KeyPair>,
    /// Is TLS 1.2 accepted as well as 1.3?
    pub tls12: bool,
    /// Client certificates.
    pub client_certificate: ClientCertificatePolicy,
}

/// A certificate chain and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPair {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM key.
    pub key: PathBuf,
}

/// What a listener asks of a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificatePolicy {
    /// Not asked for.
    None,
    /// Asked for; one that does not verify against the roots (PEM file) ends the handshake, none at all is fine.
    Optional(PathBuf),
    /// Demanded.
    Required(PathBuf),
}

/// Deadlines towards a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// TLS handshake.
    pub handshake: Duration,
    /// Request head, from its first byte.
    pub head: Duration,
    /// Between two reads of a request body.
    pub body: Duration,
    /// Between two writes that the client accepts.
    pub write: Duration,
    /// Kept-alive connection without a request.
    pub idle: Duration,
}

/// Bounds towards a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Request line and headers.
    pub head_bytes: usize,
    /// Header fields.
    pub headers: usize,
    /// Whole request body as transferred; beyond it 413. `u64::MAX` is no bound.
    pub body_bytes: u64,
    /// Connections of this listener at a time.
    pub connections: usize,
    /// HTTP/2 streams of one connection at a time.
    pub h2_streams: u32,
}

/// A set of host names with routes.
#[derive(Debug, Clone)]
pub struct Site {
    /// Name in logs and metrics.
    pub name: String,
    /// Indices into [`Configuration::listeners`]; empty means all.
    pub listeners: Vec<usize>,
    /// Lower-case names without port; `*` any, `*.example.com` any name below it.
    pub hosts: Vec<String>,
    /// Inspection, unless the route has its own.
    pub policy: PolicyId,
    /// Tried in order.
    pub routes: Vec<Route>,
}

/// Where a path goes.
#[derive(Debug, Clone)]
pub struct Route {
    /// Index over all sites.
    pub id: RouteId,
    /// Name in logs and metrics.
    pub name: String,
    /// What the path must look like.
    pub path: PathMatch,
    /// Inspection.
    pub policy: PolicyId,
    /// What is done.
    pub action: RouteAction,
}

/// Matches the path (without query).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// Equal.
    Exact(String),
    /// Begins with, at a segment border.
    Prefix(String),
}

/// What a route does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteAction {
    /// Forward to a pool.
    Forward {
        /// The pool.
        pool: PoolId,
        /// The Host header sent.
        host: HostHeader,
        /// Replaces the matched prefix.
        rewrite_prefix: Option<String>,
    },
    /// Answer with a redirect.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// `${scheme}`, `${host}`, `${path}` and `${query}` (with its `?`) are replaced.
        location: String,
    },
    /// Answer with a fixed status and text.
    Respond {
        /// Status.
        status: u16,
        /// Body, `text/plain`.
        body: String,
    },
}

/// The Host header towards a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// As the client sent it.
    Preserve,
    /// The backend's own `host:port`.
    Backend,
    /// This.
    Literal(String),
}

/// A backend pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Name in logs and metrics.
    pub name: String,
    /// Members.
    pub backends: Vec<Backend>,
    /// How one is picked.
    pub balance: Balance,
    /// Re-encryption; `None` is clear text.
    pub tls: Option<PoolTls>,
    /// Is HTTP/2 offered to the backend (ALPN)? gRPC needs it.
    pub http2: bool,
    /// Active probe; `None` takes every member for healthy.
    pub probe: Option<Probe>,
    /// Passive ejection; `None` is off.
    pub ejection: Option<Ejection>,
    /// Deadlines.
    pub timeouts: PoolTimeouts,
    /// Retries.
    pub retry: Retry,
    /// Idle connections kept by each worker for each backend.
    pub idle_connections: usize,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Backend {
    /// DNS name or address literal.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Share in round robin, from 1.
    pub weight: u32,
}

/// Balancing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// Weighted, in turn.
    RoundRobin,
    /// The one with fewer requests running, of two random ones.
    LeastRequest,
}

/// TLS towards backends. One of these becomes one `rustls::ClientConfig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolTls {
    /// PEM file of roots; `None` is the system's store.
    pub roots: Option<PathBuf>,
    /// Name that the certificate must have, and SNI; `None` is the backend's host.
    pub server_name: Option<String>,
    /// Certificate shown to the backend.
    pub client_certificate: Option<KeyPair>,
    /// Verification off: for laboratories, refused unless the file says `insecure_skip_verify: true`.
    pub verify: bool,
}

/// Active probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Path and query.
    pub path: String,
    /// Host header (and SNI where the pool has no server name); `None` is the backend's.
    pub host: Option<String>,
    /// Between two probes of one backend.
    pub interval: Duration,
    /// For the whole probe.
    pub timeout: Duration,
    /// Successes in a row that revive.
    pub healthy_threshold: u32,
    /// Failures in a row that take out.
    pub unhealthy_threshold: u32,
    /// Inclusive ranges.
    pub expected_status: Vec<(u16, u16)>,
    /// Substring of the first 4 kB of the body.
    pub expected_body: Option<String>,
    /// Part of the interval that is random, 0 to 100.
    pub jitter_percent: u8,
}

/// Passive ejection (outlier detection).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// Failures (connect, reset, 502-504) in a row.
    pub consecutive_failures: u32,
    /// First ejection; doubles with each further one, up to ten times.
    pub base_duration: Duration,
    /// Never more of the pool than this.
    pub maximum_percent: u8,
}

/// Deadlines towards a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolTimeouts {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the end of the request to the response head.
    pub response: Duration,
    /// Between two reads of a response body.
    pub read: Duration,
    /// Idle connection kept.
    pub idle: Duration,
}

/// Retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub attempts: u32,
    /// Of the requests running, this percentage may be retries (at least three).
    pub budget_percent: u8,
    /// Body bytes kept for a replay.
    pub buffer_bytes: usize,
}

/// An inspection policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Name in logs and metrics.
    pub name: String,
    /// Off, detection or prevention.
    pub mode: Mode,
    /// The compiled rules; `None` only when `mode` is `Off`. Shared by equal policies.
    pub program: Option<Arc<crate::waf::Program>>,
    /// Request body window.
    pub request_body: BodyWindow,
    /// Response body window.
    pub response_body: BodyWindow,
    /// What happens when the engine itself fails.
    pub on_fault: OnFault,
}

/// Mode of a policy. It bounds `SecRuleEngine`: a policy in detection never blocks, whatever the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No inspection.
    Off,
    /// Rules run and are logged; nothing is blocked.
    Detection,
    /// Rules run and block.
    Prevention,
}

/// How much of a body is held and inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyWindow {
    /// Is the body inspected? Off lets it stream through untouched.
    pub inspect: bool,
    /// Window.
    pub bytes: usize,
    /// What happens beyond.
    pub beyond: Beyond,
}

/// What happens to a body longer than the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// 413 for a request, 502 for a response.
    Reject,
    /// Inspect the window, stream the rest.
    ProcessPartial,
}

/// Fail closed or open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    /// 500.
    Deny,
    /// Forward uninspected, counted.
    Allow,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// One JSON line per request.
    pub access: LogSink,
    /// One JSON line per request with matches.
    pub firewall: LogSink,
    /// ModSecurity's message lines (`[id "942100"]`), one per match.
    pub rule_messages: LogSink,
    /// Lines queued before the next is dropped and counted.
    pub queue: usize,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSink {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Appended; reopened on SIGUSR1 and SIGHUP.
    File(PathBuf),
}

/// Threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// Worker threads.
    pub workers: usize,
    /// One current-thread runtime per worker, or one that steals work.
    pub flavour: Flavour,
    /// How long SIGTERM waits for running requests.
    pub drain: Duration,
}

/// Runtime flavour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// One current-thread runtime and one SO_REUSEPORT listener per worker.
    PerCore,
    /// One work-stealing runtime.
    Shared,
}
