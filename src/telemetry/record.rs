//! What is said of one request: filled by the path, read by every log and metric.
//!
//! Everything is borrowed, so that a record costs nothing to make; `Default` gives the values of a request of which
//! nothing is known yet, and the path fills in what it learned.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::JsonLine;
use crate::config::model::Mode;
use crate::waf::AuditLog;

/// One request, when it is over.
#[derive(Debug, Clone, Default)]
pub struct AccessRecord<'a> {
    /// Request id, as in the response and on the block page.
    pub id: &'a [u8],
    /// Time since the Unix epoch when the first byte of the request arrived.
    pub started: Duration,
    /// Name of the listener.
    pub listener: &'a str,
    /// Name of the site; empty when none was found.
    pub site: &'a str,
    /// Name of the route; empty when none was found.
    pub route: &'a str,
    /// Name of the pool; empty when nothing was forwarded.
    pub pool: &'a str,
    /// Name of the policy; empty when no site was found.
    pub policy: &'a str,
    /// Last backend tried, `host:port`; empty when none was.
    pub backend: &'a str,
    /// The client and TLS towards it; `None` only where nothing is known.
    pub connection: Option<&'a ConnectionText>,
    /// As sent.
    pub method: &'a [u8],
    /// As sent, query included.
    pub target: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
    /// Host header or `:authority`, as sent.
    pub host: &'a [u8],
    /// User-Agent, as sent.
    pub user_agent: &'a [u8],
    /// Status sent to the client; 0 when the connection ended before one was.
    pub status: u16,
    /// Status of the backend's answer.
    pub backend_status: Option<u16>,
    /// Content-Type of the response.
    pub content_type: &'a [u8],
    /// Read from the client for this request: head and body.
    pub received_bytes: u64,
    /// Written to the client for this request: head and body.
    pub sent_bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub total: Duration,
    /// Time to a backend connection, DNS and TLS included; `None` when one was reused or none made.
    pub connect: Option<Duration>,
    /// From the end of the request to the first byte of the backend's response.
    pub first_byte: Option<Duration>,
    /// What was done.
    pub action: Action,
    /// What inspection said; `None` when the policy is off or no site was found.
    pub waf: Option<WafRecord<'a>>,
    /// Why the gateway answered in place of a backend, or why an answer broke off.
    pub fault: Option<FaultRecord<'a>>,
    /// Attempts after the first.
    pub retries: u32,
    /// Was the client connection kept alive from an earlier request?
    pub is_connection_reused: bool,
}

/// What was done with a request; the label `action` of `portcullis_http_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// A backend answered.
    Forward,
    /// Inspection stopped it.
    Deny,
    /// The route is a redirect.
    Redirect,
    /// The route is a fixed answer.
    Respond,
    /// The gateway answered because something went wrong.
    #[default]
    Fault,
}

impl Action {
    /// In the order of [`Action::index`].
    pub const ALL: [Self; 5] = [Self::Forward, Self::Deny, Self::Redirect, Self::Respond, Self::Fault];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Deny => "deny",
            Self::Redirect => "redirect",
            Self::Respond => "respond",
            Self::Fault => "fault",
        }
    }

    /// Place in [`Action::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What inspection said of a request and its response.
#[derive(Debug, Clone)]
pub struct WafRecord<'a> {
    /// The policy's mode.
    pub mode: Mode,
    /// The outcome.
    pub verdict: WafVerdict,
    /// Time in the engine over the request (phases 1 and 2, and 5 when nothing was forwarded).
    pub request_duration: Duration,
    /// Time in the engine over the response (phases 3, 4 and 5); `None` when there was none to inspect.
    pub response_duration: Option<Duration>,
    /// The phase (1 to 4) and id of the rule that interrupted, or would have.
    pub rule: Option<(u8, u32)>,
    /// Anomaly score of the request, when the rules keep one.
    pub inbound_score: Option<i64>,
    /// Anomaly score of the response.
    pub outbound_score: Option<i64>,
    /// The matched rules in order; the same that the firewall log tells in full.
    pub matches: &'a [crate::waf::RuleMatch],
    /// The audit entry, when the rules want one and say where.
    pub audit: Option<(&'a Arc<AuditLog>, &'a [u8])>,
}

impl WafRecord<'_> {
    /// Time in the engine, all phases.
    pub fn duration(&self) -> Duration {
        self.request_duration + self.response_duration.unwrap_or_default()
    }
}

/// The outcome of inspection; the label `verdict` of `portcullis_waf_requests_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WafVerdict {
    /// Nothing interrupted.
    Allowed,
    /// Something would have interrupted, but the policy is in detection.
    Detected,
    /// Interrupted.
    Blocked,
    /// The engine itself failed; `on_fault` decided.
    Failed,
}

impl WafVerdict {
    /// In the order of [`WafVerdict::index`].
    pub const ALL: [Self; 4] = [Self::Allowed, Self::Detected, Self::Blocked, Self::Failed];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Detected => "detected",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
        }
    }

    /// Place in [`WafVerdict::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Why the gateway answered in place of a backend.
#[derive(Debug, Clone, Copy)]
pub struct FaultRecord<'a> {
    /// A fixed word: `upstream_tls_name`, `head_timeout`, …; a metric label, so never from outside.
    pub kind: &'static str,
    /// `client`, `upstream` or `gateway`.
    pub side: &'static str,
    /// The whole story for a person.
    pub detail: &'a str,
}

/// What lines say of a connection, as they say it: written once for each connection and not for each of its requests.
#[derive(Debug, Clone, Default)]
pub struct ConnectionText {
    /// Members: who it is.
    pub(super) client: Vec<u8>,
    /// An object; empty on a clear-text listener.
    pub(super) tls: Vec<u8>,
}

impl ConnectionText {
    /// Of this client; without `tls` on a clear-text listener.
    pub fn new(client: SocketAddr, tls: Option<&TlsRecord<'_>>) -> Self {
        let mut text = Self::default();
        let mut members = JsonLine::members(&mut text.client);
        members.address("client", client.ip());
        members.number("client_port", client.port());
        if let Some(tls) = tls {
            let mut object = JsonLine::new(&mut text.tls);
            object.bytes("version", tls.version.as_bytes());
            object.bytes("cipher", tls.cipher.as_bytes());
            object.bytes_if_any("sni", tls.sni.as_bytes());
            object.bytes_if_any("client_subject", tls.client_subject.as_bytes());
            object.close();
        }
        text
    }
}

/// TLS towards the client.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsRecord<'a> {
    /// `TLSv1.3`
    pub version: &'static str,
    /// `TLS13_AES_128_GCM_SHA256`
    pub cipher: &'a str,
    /// Name that the client asked for.
    pub sni: &'a str,
    /// Subject of the client's certificate; empty when it showed none.
    pub client_subject: &'a str,
}
