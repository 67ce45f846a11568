//! The file as it is written: one struct for each mapping, one field for each key, nothing checked but types.
//!
//! The documentation of each field is what a user reads in `docs/configuration.md` and in his editor (JSON Schema), so
//! it speaks of the file. `build` turns this into `model`.

use schemars::JsonSchema;

use super::decode::{Decode, Decoder, RawBytes, RawDuration, Required, Spanned};
use super::model::{Balance, Beyond, Flavour, Mode, OnFault};
use crate::yaml::Node;
use crate::{decode_struct, decode_words};

/// The configuration of a gateway.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, title = "portcullis configuration")]
pub struct RawConfiguration {
    /// Further files with the same keys, relative to this one; `*` and `?` match within a name. Their lists are added to
    /// this file's; a fragment cannot include others.
    pub include: Option<Vec<Spanned<String>>>,
    /// Sockets to listen on.
    pub listeners: Option<Vec<RawListener>>,
    /// Host names and what is behind them.
    pub sites: Option<Vec<RawSite>>,
    /// Pools of backends.
    pub pools: Option<Vec<RawPool>>,
    /// Inspection policies. The one named `default` is used where nothing else is said; without it, that is prevention
    /// with the built-in rules.
    pub policies: Option<Vec<RawPolicy>>,
    /// The listener for health, metrics and control.
    pub admin: Option<Spanned<RawAdmin>>,
    /// Where records go.
    pub logs: Option<RawLogs>,
    /// Threads and shutdown.
    pub runtime: Option<RawRuntime>,
}

decode_struct!(RawConfiguration { include, listeners, sites, pools, policies, admin, logs, runtime });

/// A socket that clients connect to.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawListener {
    /// Name in logs, metrics and `sites[].listeners`.
    pub name: Required<Spanned<String>>,
    /// `address:port`; `:443` is every IPv4 address, `[::]:443` every address.
    pub address: Required<Spanned<String>>,
    /// TLS towards clients; without it the listener speaks clear text.
    pub tls: Option<Spanned<RawListenerTls>>,
    /// Is HTTP/2 offered (ALPN)?
    pub http2: Option<bool>,
    /// Is the `X-Request-ID` of a request kept, because a trusted proxy in front sets it? One that is given twice, is
    /// longer than 128 bytes or holds anything but letters, digits, `-`, `_` and `.` is replaced all the same.
    pub trust_request_id: Option<bool>,
    /// Deadlines towards clients.
    pub timeouts: Option<RawClientTimeouts>,
    /// Bounds towards clients.
    pub limits: Option<RawClientLimits>,
}

decode_struct!(RawListener { name, address, tls, http2, trust_request_id, timeouts, limits });

/// TLS towards clients.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawListenerTls {
    /// Certificates; SNI chooses, the first is shown to everybody else.
    pub certificates: Required<Spanned<Vec<RawKeyPair>>>,
    /// Oldest version accepted: `1.2` or `1.3`.
    pub minimum_version: Option<RawTlsVersion>,
    /// Client certificates.
    pub client_certificate: Option<RawClientCertificate>,
}

decode_struct!(RawListenerTls { certificates, minimum_version, client_certificate });

/// A certificate and its key.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawKeyPair {
    /// PEM file with the chain, leaf first.
    pub certificate: Required<Spanned<String>>,
    /// PEM file with the key. Only ever a file: a key does not stand in a configuration.
    pub key: Required<Spanned<String>>,
}

decode_struct!(RawKeyPair { certificate, key });

/// Oldest TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawTlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

decode_words!(RawTlsVersion { Tls12 = "1.2", Tls13 = "1.3" });

/// What is asked of a client's certificate.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawClientCertificate {
    /// `required`: no handshake without one; `optional`: one that does not verify ends the handshake, none is fine.
    pub mode: Required<RawClientCertificateMode>,
    /// PEM file with the roots that client certificates must lead to.
    pub roots: Required<Spanned<String>>,
}

decode_struct!(RawClientCertificate { mode, roots });

/// Is a client certificate demanded?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawClientCertificateMode {
    /// Asked for.
    Optional,
    /// Demanded.
    Required,
}

decode_words!(RawClientCertificateMode { Optional = "optional", Required = "required" });

/// Deadlines towards clients.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawClientTimeouts {
    /// A whole TLS handshake.
    pub handshake: Option<Spanned<RawDuration>>,
    /// A whole request head, from its first byte.
    pub head: Option<Spanned<RawDuration>>,
    /// Between two reads of a request body.
    pub body: Option<Spanned<RawDuration>>,
    /// Between two writes that the client takes.
    pub write: Option<Spanned<RawDuration>>,
    /// A kept-alive connection without a request.
    pub idle: Option<Spanned<RawDuration>>,
}

decode_struct!(RawClientTimeouts { handshake, head, body, write, idle });

/// Bounds towards clients.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawClientLimits {
    /// Request line and headers; beyond it 431, or 414 for the line alone.
    pub head_bytes: Option<Spanned<RawBytes>>,
    /// Header fields; beyond it 431.
    pub headers: Option<Spanned<usize>>,
    /// A whole request body, inspected or not; beyond it 413.
    pub body_bytes: Option<Spanned<RawBytes>>,
    /// Connections of this listener at a time; further ones are closed at once.
    pub connections: Option<Spanned<usize>>,
    /// HTTP/2 streams of one connection at a time.
    pub h2_streams: Option<Spanned<u32>>,
}

decode_struct!(RawClientLimits { head_bytes, headers, body_bytes, connections, h2_streams });

/// Host names and the routes behind them.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawSite {
    /// Name in logs and metrics.
    pub name: Required<Spanned<String>>,
    /// Names of listeners; all when left out.
    pub listeners: Option<Vec<Spanned<String>>>,
    /// Host names without port: `api.example.com`, `*.example.com` for any name below, `*` for everything else.
    pub hosts: Option<Vec<Spanned<String>>>,
    /// Name of the inspection policy.
    pub policy: Option<Spanned<String>>,
    /// Tried in order; the first whose path fits is taken.
    pub routes: Required<Spanned<Vec<Spanned<RawRoute>>>>,
}

decode_struct!(RawSite { name, listeners, hosts, policy, routes });

/// A path and what is done with it: exactly one of `pool`, `redirect` and `respond`.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawRoute {
    /// Name in logs and metrics; the path when left out.
    pub name: Option<Spanned<String>>,
    /// The path begins with this, at a segment border: `/api` takes `/api` and `/api/x`, not `/apis`.
    pub path: Option<Spanned<String>>,
    /// The path is exactly this.
    pub path_exact: Option<Spanned<String>>,
    /// Forward to this pool.
    pub pool: Option<Spanned<String>>,
    /// Answer with a redirect.
    pub redirect: Option<Spanned<RawRedirect>>,
    /// Answer with a fixed text.
    pub respond: Option<Spanned<RawRespond>>,
    /// Host header towards the backend: `preserve` (as the client sent it), `backend` (the backend's own `host:port`),
    /// or a name.
    pub host: Option<Spanned<String>>,
    /// Replaces the matched path.
    pub rewrite_prefix: Option<Spanned<String>>,
    /// Name of the inspection policy; the site's when left out.
    pub policy: Option<Spanned<String>>,
}

decode_struct!(RawRoute { name, path, path_exact, pool, redirect, respond, host, rewrite_prefix, policy });

/// A redirect: a location, or a mapping with the status too.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawRedirect {
    /// Where to.
    Location(Spanned<String>),
    /// With a status.
    Full(RawFullRedirect),
}

/// A redirect with its status.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawFullRedirect {
    /// Where to; `${scheme}`, `${host}`, `${path}` and `${query}` (with its `?`) are replaced.
    pub location: Required<Spanned<String>>,
    /// 301, 302, 303, 307 or 308.
    pub status: Option<Spanned<u16>>,
}

decode_struct!(RawFullRedirect { location, status });

impl Decode for RawRedirect {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.entries().is_some() {
            return RawFullRedirect::decode(node, decoder).map(Self::Full);
        }
        Spanned::decode(node, decoder).map(Self::Location)
    }
}

/// A fixed answer.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawRespond {
    /// Status.
    pub status: Required<Spanned<u16>>,
    /// Text.
    pub body: Option<Spanned<String>>,
}

decode_struct!(RawRespond { status, body });

/// Backends that can stand in for each other.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawPool {
    /// Name in logs, metrics and routes.
    pub name: Required<Spanned<String>>,
    /// Members.
    pub backends: Required<Spanned<Vec<Spanned<RawBackend>>>>,
    /// How one is picked.
    pub balance: Option<Balance>,
    /// TLS towards the backends; without it clear text. `tls: {}` verifies against the system's roots.
    pub tls: Option<Spanned<RawPoolTls>>,
    /// Is HTTP/2 offered to the backends (ALPN)? gRPC needs it.
    pub http2: Option<bool>,
    /// Active probe: a mapping, or `api_management` for Azure API Management's own health path.
    pub probe: Option<Spanned<RawProbe>>,
    /// Passive ejection of backends that fail in real traffic; `{}` turns it on with its defaults.
    pub ejection: Option<RawEjection>,
    /// Deadlines towards backends.
    pub timeouts: Option<RawPoolTimeouts>,
    /// Retries of requests that are safe to send again.
    pub retry: Option<RawRetry>,
    /// Idle connections kept by each worker for each backend.
    pub idle_connections: Option<Spanned<usize>>,
}

decode_struct!(RawPool { name, backends, balance, tls, http2, probe, ejection, timeouts, retry, idle_connections });

decode_words!(Balance { RoundRobin = "round_robin", LeastRequest = "least_request" });

/// A member: `host:port`, or a mapping with a weight too.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawBackend {
    /// `host:port`
    Address(Spanned<String>),
    /// With a weight.
    Full(RawFullBackend),
}

/// A member with its weight.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawFullBackend {
    /// `host:port`
    pub address: Required<Spanned<String>>,
    /// Share of requests in round robin, from 1.
    pub weight: Option<Spanned<u32>>,
}

decode_struct!(RawFullBackend { address, weight });

impl Decode for RawBackend {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.entries().is_some() {
            return RawFullBackend::decode(node, decoder).map(Self::Full);
        }
        Spanned::decode(node, decoder).map(Self::Address)
    }
}

/// TLS towards backends.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawPoolTls {
    /// PEM file with the roots that the backends' certificates must lead to; the system's when left out.
    pub roots: Option<Spanned<String>>,
    /// Name that the certificates must have, and SNI; the backend's host when left out.
    pub server_name: Option<Spanned<String>>,
    /// Certificate that portcullis shows to the backends.
    pub client_certificate: Option<RawKeyPair>,
    /// Accept any certificate. Only for a laboratory.
    pub insecure_skip_verify: Option<Spanned<bool>>,
}

decode_struct!(RawPoolTls { roots, server_name, client_certificate, insecure_skip_verify });

/// An active probe: a mapping, or the name of a preset.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawProbe {
    /// A preset.
    Preset(RawProbePreset),
    /// All settings.
    Full(Box<RawFullProbe>),
}

/// Probes that are known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawProbePreset {
    /// Azure API Management.
    ApiManagement,
}

decode_words!(RawProbePreset { ApiManagement = "api_management" });

/// An active probe.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawFullProbe {
    /// Path, with query if needed.
    pub path: Option<Spanned<String>>,
    /// Host header, and SNI where the pool has no server name; the backend's host when left out.
    pub host: Option<Spanned<String>>,
    /// Between two probes of one backend.
    pub interval: Option<Spanned<RawDuration>>,
    /// For a whole probe.
    pub timeout: Option<Spanned<RawDuration>>,
    /// Successes in a row that bring a backend back.
    pub healthy_threshold: Option<Spanned<u32>>,
    /// Failures in a row that take a backend out.
    pub unhealthy_threshold: Option<Spanned<u32>>,
    /// Status codes that count as success: `200`, `200-399`.
    pub status: Option<Spanned<Vec<Spanned<String>>>>,
    /// Text that the first 4 kB of the body must contain.
    pub body: Option<Spanned<String>>,
    /// Part of the interval that is random, in percent, so that probes do not march in step.
    pub jitter_percent: Option<Spanned<u8>>,
}

decode_struct!(RawFullProbe {
    path,
    host,
    interval,
    timeout,
    healthy_threshold,
    unhealthy_threshold,
    status,
    body,
    jitter_percent,
});

impl Decode for RawProbe {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.entries().is_some() {
            return RawFullProbe::decode(node, decoder).map(|probe| Self::Full(Box::new(probe)));
        }
        RawProbePreset::decode(node, decoder).map(Self::Preset)
    }
}

/// Passive ejection.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawEjection {
    /// Failures (no connection, reset, 502 to 504) in a row.
    pub consecutive_failures: Option<Spanned<u32>>,
    /// First ejection; doubles with each further one, up to ten times.
    pub base_duration: Option<Spanned<RawDuration>>,
    /// Never more of the pool than this, in percent.
    pub maximum_percent: Option<Spanned<u8>>,
}

decode_struct!(RawEjection { consecutive_failures, base_duration, maximum_percent });

/// Deadlines towards backends.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawPoolTimeouts {
    /// Address lookup, TCP and TLS together.
    pub connect: Option<Spanned<RawDuration>>,
    /// From the end of the request to the head of the response.
    pub response: Option<Spanned<RawDuration>>,
    /// Between two reads of a response body.
    pub read: Option<Spanned<RawDuration>>,
    /// An idle connection is kept this long.
    pub idle: Option<Spanned<RawDuration>>,
}

decode_struct!(RawPoolTimeouts { connect, response, read, idle });

/// Retries.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawRetry {
    /// Attempts after the first.
    pub attempts: Option<Spanned<u32>>,
    /// Of the requests running, this percentage may be retries (and always three).
    pub budget_percent: Option<Spanned<u8>>,
    /// Longest request body that is sent a second time; it must have been held whole for inspection.
    pub buffer_bytes: Option<Spanned<RawBytes>>,
}

decode_struct!(RawRetry { attempts, budget_percent, buffer_bytes });

/// How requests are inspected.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawPolicy {
    /// Name in logs, metrics, sites and routes.
    pub name: Required<Spanned<String>>,
    /// `prevention` blocks, `detection` only logs, `off` does not look.
    pub mode: Option<Mode>,
    /// Rules in order: `builtin`, a file or pattern relative to this one, or `inline: |` with the text itself.
    pub rules: Option<Spanned<Vec<Spanned<RawRules>>>>,
    /// Inspection of request bodies.
    pub request_body: Option<RawBodyWindow>,
    /// Inspection of response bodies.
    pub response_body: Option<RawBodyWindow>,
    /// When the engine itself fails: `deny` answers 500, `allow` forwards uninspected and counts it.
    pub on_fault: Option<OnFault>,
}

decode_struct!(RawPolicy { name, mode, rules, request_body, response_body, on_fault });

decode_words!(Mode { Off = "off", Detection = "detection", Prevention = "prevention" });
decode_words!(OnFault { Deny = "deny", Allow = "allow" });
decode_words!(Beyond { Reject = "reject", ProcessPartial = "process_partial" });

/// Some rules of a policy.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawRules {
    /// `builtin`, or a path or pattern.
    Named(Spanned<String>),
    /// The text itself.
    Inline(RawInlineRules),
}

/// Rules in place.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawInlineRules {
    /// Rule text.
    pub inline: Required<Spanned<String>>,
}

decode_struct!(RawInlineRules { inline });

impl Decode for RawRules {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.entries().is_some() {
            return RawInlineRules::decode(node, decoder).map(Self::Inline);
        }
        Spanned::decode(node, decoder).map(Self::Named)
    }
}

/// How much of a body is held and inspected.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawBodyWindow {
    /// Is the body inspected? When not, it streams through, as calls of gRPC need whose two sides talk in turns.
    pub inspect: Option<bool>,
    /// Bytes held and inspected.
    pub bytes: Option<Spanned<RawBytes>>,
    /// A longer body: `reject` (413, or 502 for a response), or `process_partial` (inspect the beginning, stream the
    /// rest).
    pub beyond: Option<Beyond>,
}

decode_struct!(RawBodyWindow { inspect, bytes, beyond });

/// The admin listener: a mapping, or `off`.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawAdmin {
    /// `off`
    Off(RawOff),
    /// On.
    Full(RawFullAdmin),
}

/// The word `off`.
#[derive(Debug, Clone, Copy)]
pub enum RawOff {
    /// `off`
    Off,
}

decode_words!(RawOff { Off = "off" });

/// The admin listener.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawFullAdmin {
    /// `address:port`. It has no authentication: keep it on loopback or on a network of its own.
    pub address: Required<Spanned<String>>,
}

decode_struct!(RawFullAdmin { address });

impl Decode for RawAdmin {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.as_str().is_some() {
            return RawOff::decode(node, decoder).map(Self::Off);
        }
        RawFullAdmin::decode(node, decoder).map(Self::Full)
    }
}

/// Where records go: `off`, `stdout`, `stderr`, or a file relative to this one.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawLogs {
    /// One JSON line per request.
    pub access: Option<Spanned<String>>,
    /// One JSON line per request in which a rule matched.
    pub firewall: Option<Spanned<String>>,
    /// One line per match, in ModSecurity's own format.
    pub rule_messages: Option<Spanned<String>>,
    /// Lines of each log that wait for the disk; beyond it lines are dropped and counted.
    pub queue: Option<Spanned<usize>>,
}

decode_struct!(RawLogs { access, firewall, rule_messages, queue });

/// Threads and shutdown.
#[derive(Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RawRuntime {
    /// Worker threads: a number, or `auto` for one per core.
    pub workers: Option<Spanned<RawWorkers>>,
    /// `per_core`: each worker has its own runtime and sockets; `shared`: one runtime that balances between threads.
    pub flavour: Option<Flavour>,
    /// How long a shutdown waits for running requests.
    pub drain: Option<Spanned<RawDuration>>,
}

decode_struct!(RawRuntime { workers, flavour, drain });

decode_words!(Flavour { PerCore = "per_core", Shared = "shared" });

/// A number of workers.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawWorkers {
    /// One per core.
    Auto(RawAuto),
    /// So many.
    Count(usize),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy)]
pub enum RawAuto {
    /// `auto`
    Auto,
}

decode_words!(RawAuto { Auto = "auto" });

impl Decode for RawWorkers {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if node.as_i64().is_some() {
            return usize::decode(node, decoder).map(Self::Count);
        }
        RawAuto::decode(node, decoder).map(Self::Auto)
    }
}
