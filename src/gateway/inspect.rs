//! Shows the request and its response to the rules, phase by phase, and holds bodies while it does.
//!
//! The engine runs on this thread with the worker's scratch, never across an await. A panic in it is contained: the
//! policy's `on_fault` says whether the request is answered with 500 or goes on uninspected, and either is counted.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::backend::Backend;
use super::fault::{Fault, FaultKind};
use super::forward::is_idempotent;
use super::relay::Client;
use super::request::Exchange;
use crate::config::model::{Beyond, BodyWindow, Mode, OnFault};
use crate::http::h1::{BodyPart, Length};
use crate::http::{Fields, Known, ResponseHead};
use crate::runtime::clock;
use crate::telemetry::About;
use crate::waf::{BodyStep, Connection, Program, RequestLine, Scratch, Summary, Transaction, Verdict};

/// The inspection of one request.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) transaction: Transaction,
    pub(super) mode: Mode,
    /// Time in the engine: over the request, over the response.
    pub(super) durations: [Duration; 2],
    /// Did the engine fail? Then it is not asked again.
    pub(super) is_failed: bool,
    /// How many matches went to the rule messages already.
    pub(super) announced: usize,
    /// The rule that stopped the request: phase and id.
    pub(super) blocked: Option<(u8, u32)>,
    /// What phase 5 left, once it has run.
    pub(super) summary: Option<Summary>,
}

/// The part of a body that has been read and not been sent.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) parts: Vec<Bytes>,
    tail: BytesMut,
    pub(super) bytes: usize,
    pub(super) trailers: Option<Fields>,
    /// Is this the whole body?
    pub(super) is_complete: bool,
}

impl Held {
    /// Small pieces are copied together: a body of one-byte chunks must not cost a reference each.
    fn push(&mut self, bytes: Bytes) {
        const COPY_BYTES: usize = 1024;
        self.bytes += bytes.len();
        if bytes.len() <= COPY_BYTES {
            self.tail.put_slice(&bytes);
            return;
        }
        self.seal();
        self.parts.push(bytes);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(self.tail.split().freeze());
        }
    }
}

impl Inspection {
    /// Begins one if the policy has rules.
    pub(super) fn begin(exchange: &Exchange) -> Option<Self> {
        let policy = exchange.policy()?;
        let program = policy.program.as_deref()?;
        if policy.mode == Mode::Off {
            return None;
        }
        let client = &exchange.client;
        let connection = Connection {
            client_address: client.peer.ip().to_canonical(),
            client_port: client.peer.port(),
            server_address: client.local.ip().to_canonical(),
            server_port: client.local.port(),
            unique_id: exchange.id.as_str(),
            now: exchange.started_unix,
            is_detection_only: policy.mode == Mode::Detection,
        };
        let transaction = Transaction::new(program, &mut exchange.worker.scratch(), &connection);
        Some(Self {
            transaction,
            mode: policy.mode,
            durations: [Duration::ZERO; 2],
            is_failed: false,
            announced: 0,
            blocked: None,
            summary: None,
        })
    }
}

impl Exchange {
    /// Phase 1.
    pub(super) fn inspect_request_head(&mut self) -> Result<Verdict, Fault> {
        self.verdict(|transaction, program, scratch, exchange| {
            let head = exchange.head;
            let line = RequestLine {
                raw: head.line(),
                method: head.method(),
                target: head.target(),
                protocol: head.protocol(),
            };
            transaction.request_headers(program, scratch, line, head.fields.iter())
        })
    }

    /// Reads the body into the window, as far as rules want to see it.
    pub(super) async fn hold_request_body(&mut self, client: &mut Client<'_>) -> Result<Held, Fault> {
        let mut held = Held { is_complete: client.is_body_done(), ..Held::default() };
        let Some(window) = self.policy().map(|policy| policy.request_body) else { return Ok(held) };
        if held.is_complete || !window.inspect || !self.wants(Transaction::wants_request_body) {
            if !held.is_complete && is_idempotent(&self.head) {
                hold_at_hand(client, &mut held).await?;
            }
            return Ok(held);
        }
        let beyond =
            || Fault::new(FaultKind::BodyBeyondWindow, "the request body is longer than the window that is inspected");
        if window.beyond == Beyond::Reject && client.announced_bytes().is_some_and(|bytes| bytes > window.bytes as u64)
        {
            return Err(beyond());
        }
        while !held.is_complete {
            match client.next_part(self).await? {
                BodyPart::Data(bytes) => {
                    let step = self.feed(window, held.bytes, &bytes, Transaction::request_body)?;
                    held.push(bytes);
                    match step {
                        BodyStep::Continue => {}
                        BodyStep::WindowFull => break,
                        BodyStep::Reject => return Err(beyond()),
                    }
                }
                BodyPart::Trailers(fields) => {
                    held.trailers = Some(fields);
                    held.is_complete = true;
                }
                BodyPart::End => held.is_complete = true,
            }
        }
        held.seal();
        Ok(held)
    }

    /// Phase 2.
    pub(super) fn finish_request_body(&mut self) -> Result<Verdict, Fault> {
        self.verdict(|transaction, program, scratch, _| transaction.finish_request_body(program, scratch))
    }

    /// Phase 3.
    pub(super) fn inspect_response_head(&mut self, head: &ResponseHead) -> Result<Verdict, Fault> {
        self.verdict(|transaction, program, scratch, _| {
            transaction.response_headers(program, scratch, head.status, b"HTTP/1.1", head.fields.iter())
        })
    }

    /// Reads the response body into the window, as far as rules want to see it. Streams of events and of gRPC
    /// messages are never held back: their readers wait for each part.
    pub(super) async fn hold_response_body(
        &mut self,
        client: &mut Client<'_>,
        backend: &mut Backend,
    ) -> Result<Held, Fault> {
        let mut held = Held::default();
        let Some(window) = self.policy().map(|policy| policy.response_body) else { return Ok(held) };
        if backend.framing.length == Length::None
            || !window.inspect
            || is_stream(&backend.head)
            || !self.wants(Transaction::wants_response_body)
        {
            return Ok(held);
        }
        while !held.is_complete {
            match backend.next_part(self, client).await? {
                BodyPart::Data(bytes) => {
                    let step = self.feed(window, held.bytes, &bytes, Transaction::response_body)?;
                    held.push(bytes);
                    match step {
                        BodyStep::Continue => {}
                        BodyStep::WindowFull => break,
                        BodyStep::Reject => {
                            return Err(Fault::new(
                                FaultKind::ResponseBeyondWindow,
                                "the response body is longer than the window that is inspected",
                            ));
                        }
                    }
                }
                BodyPart::Trailers(fields) => {
                    held.trailers = Some(fields);
                    held.is_complete = true;
                }
                BodyPart::End => held.is_complete = true,
            }
        }
        held.seal();
        Ok(held)
    }

    /// Phase 4.
    pub(super) fn finish_response_body(&mut self) -> Result<Verdict, Fault> {
        self.verdict(|transaction, program, scratch, _| transaction.finish_response_body(program, scratch))
    }

    fn wants(&self, ask: fn(&Transaction) -> bool) -> bool {
        self.inspection.as_ref().is_some_and(|inspection| !inspection.is_failed && ask(&inspection.transaction))
    }

    /// Gives the engine what of a piece is within the window; says what to do when the window is full.
    fn feed(
        &mut self,
        window: BodyWindow,
        before: usize,
        piece: &[u8],
        give: fn(&mut Transaction, &Program, &[u8]) -> BodyStep,
    ) -> Result<BodyStep, Fault> {
        let room = window.bytes.saturating_sub(before);
        let is_beyond = piece.len() > room;
        let within = piece.get(..room.min(piece.len())).unwrap_or_default();
        let step = match self.engine(|transaction, program, _, _| give(transaction, program, within))? {
            Some(step) => step,
            None => BodyStep::WindowFull,
        };
        Ok(match (step, window.beyond) {
            (BodyStep::Continue, Beyond::Reject) if is_beyond => BodyStep::Reject,
            (BodyStep::Continue, Beyond::ProcessPartial) if is_beyond => BodyStep::WindowFull,
            (step, _) => step,
        })
    }

    fn verdict(
        &mut self,
        run: impl FnOnce(&mut Transaction, &Program, &mut Scratch, Seen<'_>) -> Verdict,
    ) -> Result<Verdict, Fault> {
        if self.inspection.is_none() {
            return Ok(Verdict::Allow);
        }
        let verdict = self.engine(run)?.unwrap_or(Verdict::Allow);
        if let (Verdict::Deny(interruption), Some(inspection)) = (&verdict, &mut self.inspection) {
            inspection.blocked = Some((interruption.phase, interruption.rule_id.0));
        }
        self.announce();
        Ok(verdict)
    }

    /// Writes the messages of what matched in this phase, as ModSecurity does: whoever has the response finds them in
    /// the log, and a request that hangs at its backend has left them there.
    fn announce(&mut self) {
        let recorder = &self.worker.shared.recorder;
        let Some(inspection) = &mut self.inspection else { return };
        let matches = inspection.transaction.matches();
        let Some(fresh) = matches.get(inspection.announced..).filter(|fresh| !fresh.is_empty()) else { return };
        if recorder.wants_rule_messages() {
            let about = About { id: self.id.as_str(), started: self.started_unix, client: Some(self.client.peer) };
            recorder.rule_messages(about, fresh, &[]);
            inspection.announced = matches.len();
        }
    }

    /// Runs the engine, timed and contained. `None`: nothing is inspected (any more).
    pub(super) fn engine<T>(
        &mut self,
        run: impl FnOnce(&mut Transaction, &Program, &mut Scratch, Seen<'_>) -> T,
    ) -> Result<Option<T>, Fault> {
        let on_fault = self.policy().map_or(OnFault::Deny, |policy| policy.on_fault);
        let snapshot = std::sync::Arc::clone(&self.snapshot);
        let place = self.place;
        let site = place.site.and_then(|site| snapshot.configuration.sites.get(site));
        let route = site.and_then(|site| site.routes.get(place.route?));
        let id = route.map(|route| route.policy).or_else(|| site.map(|site| site.policy));
        let program = id.and_then(|id| snapshot.policy(id)).and_then(|policy| policy.program.as_deref());
        let (Some(inspection), Some(program)) = (&mut self.inspection, program) else { return Ok(None) };
        if inspection.is_failed {
            return Ok(None);
        }
        let seen = Seen { head: &self.head };
        let before = clock::now();
        let mut scratch = self.worker.scratch();
        let transaction = &mut inspection.transaction;
        let result = catch_unwind(AssertUnwindSafe(|| run(transaction, program, &mut scratch, seen)));
        if result.is_err() {
            // What a panic left behind is not to be trusted.
            *scratch = self.worker.new_scratch();
        }
        drop(scratch);
        let [of_request, of_response] = &mut inspection.durations;
        let spent = if self.outcome.backend_status.is_some() { of_response } else { of_request };
        *spent += clock::now().saturating_duration_since(before);
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) => {
                inspection.is_failed = true;
                match on_fault {
                    OnFault::Deny => Err(Fault::new(FaultKind::Engine, "the rule engine failed on this request")),
                    OnFault::Allow => Ok(None),
                }
            }
        }
    }
}

/// Holds what has come of a body that nobody inspects, without waiting for more: a short one is then held whole, and
/// can be sent again if its backend dies over it.
async fn hold_at_hand(client: &mut Client<'_>, held: &mut Held) -> Result<(), Fault> {
    const AT_HAND_BYTES: usize = 16 * 1024;
    if client.is_waiting() || client.announced_bytes().is_some_and(|bytes| bytes > AT_HAND_BYTES as u64) {
        return Ok(());
    }
    poll_fn(|cx| {
        while !held.is_complete && held.bytes < AT_HAND_BYTES {
            match client.poll_part(cx) {
                Poll::Ready(Ok(BodyPart::Data(bytes))) => held.push(bytes),
                Poll::Ready(Ok(BodyPart::Trailers(fields))) => {
                    held.trailers = Some(fields);
                    held.is_complete = true;
                }
                Poll::Ready(Ok(BodyPart::End)) => held.is_complete = true,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => break,
            }
        }
        held.is_complete |= client.is_body_done();
        held.seal();
        Poll::Ready(Ok(()))
    })
    .await
}

/// What the engine may look at of an exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) head: &'a crate::http::RequestHead,
}

fn is_stream(head: &ResponseHead) -> bool {
    let Some(content_type) = head.fields.first(Known::ContentType) else { return false };
    let starts = |kind: &[u8]| content_type.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
    starts(b"text/event-stream") || starts(b"application/grpc")
}
