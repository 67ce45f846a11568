//! One request and its response, run through the phases.

use std::net::IpAddr;
use std::time::Duration;

use super::{Interruption, Program, RuleMatch, Scratch, Verdict};

/// Who talks to whom, when, and under which id.
#[derive(Debug, Clone)]
pub struct Connection<'a> {
    /// REMOTE_ADDR
    pub client_address: IpAddr,
    /// REMOTE_PORT
    pub client_port: u16,
    /// SERVER_ADDR
    pub server_address: IpAddr,
    /// SERVER_PORT
    pub server_port: u16,
    /// UNIQUE_ID
    pub unique_id: &'a str,
    /// Time since the Unix epoch when the request began (TIME*, TIME_EPOCH, collections' expiry).
    pub now: Duration,
    /// The policy is in detection: nothing may interrupt, whatever SecRuleEngine says.
    pub is_detection_only: bool,
}

/// The request line, as sent.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The whole line without its line end (REQUEST_LINE). For HTTP/2: `METHOD path HTTP/2.0`.
    pub raw: &'a [u8],
    /// REQUEST_METHOD
    pub method: &'a [u8],
    /// The target as sent (REQUEST_URI_RAW).
    pub target: &'a [u8],
    /// `HTTP/1.1`
    pub protocol: &'a [u8],
}

/// What to do with the next body bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyStep {
    /// Give more.
    Continue,
    /// The window is full and the rules process the part: call the finish function now, stream the rest.
    WindowFull,
    /// The window is full and the rules refuse (SecRequestBodyLimitAction Reject): 413, or 502 for a response.
    Reject,
}

/// What is left when a transaction is over.
#[derive(Debug, Default)]
pub struct Summary {
    /// Logged matches in order.
    pub matches: Vec<RuleMatch>,
    /// The interruption, or in detection the first one that would have been.
    pub interruption: Option<Interruption>,
    /// `tx.blocking_inbound_anomaly_score` or its like, when the rules keep one.
    pub inbound_score: Option<i64>,
    /// `tx.blocking_outbound_anomaly_score`.
    pub outbound_score: Option<i64>,
    /// Audit log entry, when the rules want one (SecAuditEngine), in the format asked for.
    pub audit: Option<Vec<u8>>,
}

/// One request and its response. The phases must be called in order; after a `Deny` only
/// [`Transaction::finish`].
#[derive(Debug)]
pub struct Transaction {}

#[allow(unused_variables, clippy::needless_pass_by_ref_mut, missing_docs)]
impl Transaction {
    pub fn new(program: &Program, scratch: &mut Scratch, connection: &Connection<'_>) -> Self {
        Self {}
    }

    /// Phase 1. `headers` in wire order, names in their case.
    pub fn request_headers<'h>(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        line: RequestLine<'_>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
        Verdict::Allow
    }

    /// Do the rules want the request body (SecRequestBodyAccess, after ctl)?
    pub fn wants_request_body(&self) -> bool {
        false
    }

    /// Bytes of the request body, transfer coding removed.
    pub fn request_body(&mut self, program: &Program, chunk: &[u8]) -> BodyStep {
        BodyStep::Continue
    }

    /// Phase 2: the body (or its window) is complete. Called for requests without a body too.
    pub fn finish_request_body(&mut self, program: &Program, scratch: &mut Scratch) -> Verdict {
        Verdict::Allow
    }

    /// Phase 3.
    pub fn response_headers<'h>(
        &mut self,
        program: &Program,
        scratch: &mut Scratch,
        status: u16,
        protocol: &[u8],
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) -> Verdict {
        Verdict::Allow
    }

    /// Do the rules want this response's body (SecResponseBodyAccess, SecResponseBodyMimeType)?
    pub fn wants_response_body(&self) -> bool {
        false
    }

    /// Bytes of the response body, transfer coding removed.
    pub fn response_body(&mut self, program: &Program, chunk: &[u8]) -> BodyStep {
        BodyStep::Continue
    }

    /// Phase 4. Called for responses without a body too.
    pub fn finish_response_body(&mut self, program: &Program, scratch: &mut Scratch) -> Verdict {
        Verdict::Allow
    }

    /// Phase 5, exactly once, however the transaction ended. `elapsed` since it began.
    pub fn finish(&mut self, program: &Program, scratch: &mut Scratch, elapsed: Duration) -> Summary {
        Summary::default()
    }
}
