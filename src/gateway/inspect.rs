//! Shows the request and its response to the rules, phase by phase, and holds bodies while it does.
//!
//! The engine runs on this thread with the worker's scratch, never across an await; what would take long runs `aside`. A panic in it is contained: the
//! policy's `on_fault` says whether the request is answered with 500 or goes on uninspected, and either is counted.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::aside::{Errand, Work};
use super::backend::Backend;
use super::fault::{Fault, FaultKind};
use super::forward::is_idempotent;
use super::relay::Client;
use super::request::Exchange;
use crate::config::model::{Beyond, BodyWindow, Mode, OnFault};
use crate::http::h1::{BodyPart, Length};
use crate::http::{Fields, Known, ResponseHead};
use crate::limits;
use crate::runtime::clock;
use crate::telemetry::About;
use crate::waf::{BodyStep, Connection, Program, RequestLine, Scratch, Summary, Transaction, Verdict};

/// The inspection of one request.
#[derive(Debug)]
pub(super) struct Inspection {
    /// `None`: a thread has it (then there is an errand), it was given up, or it is over.
    pub(super) transaction: Option<Box<Transaction>>,
    /// The phase that runs aside.
    pub(super) errand: Option<Arc<Errand>>,
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
        let mut transaction = Transaction::new(program, &mut exchange.worker.scratch(), &connection);
        if !exchange.worker.shared.recorder.wants_rule_messages() {
            transaction.without_lines();
        }
        Some(Self {
            transaction: Some(transaction),
            errand: None,
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
        self.now = clock::now();
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
                self.now = clock::now();
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
            let part = client.next_part(self).await?;
            self.now = clock::now();
            match part {
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
    pub(super) async fn finish_request_body(&mut self) -> Result<Verdict, Fault> {
        self.finish_body(Transaction::request_work_bytes, Transaction::finish_request_body).await
    }

    /// Phase 3.
    pub(super) fn inspect_response_head(&mut self, head: &ResponseHead) -> Result<Verdict, Fault> {
        self.now = clock::now();
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
            let part = backend.next_part(self, client).await?;
            self.now = clock::now();
            match part {
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
    pub(super) async fn finish_response_body(&mut self) -> Result<Verdict, Fault> {
        self.finish_body(Transaction::response_work_bytes, Transaction::finish_response_body).await
    }

    /// The phase of a body: here, or aside if that takes long.
    async fn finish_body(&mut self, weigh: fn(&Transaction) -> usize, work: Work) -> Result<Verdict, Fault> {
        if self.transaction().is_some_and(|transaction| weigh(transaction) > limits::INSPECTION_INLINE_BYTES) {
            // Boxed: few requests need its room.
            let verdict = Box::pin(self.engine_aside(work)).await?.unwrap_or(Verdict::Allow);
            self.note_verdict(&verdict);
            return Ok(verdict);
        }
        self.verdict(|transaction, program, scratch, _| work(transaction, program, scratch))
    }

    /// The transaction, if it is inspected.
    fn transaction(&self) -> Option<&Transaction> {
        self.inspection.as_ref().filter(|inspection| !inspection.is_failed)?.transaction.as_deref()
    }

    fn wants(&self, ask: fn(&Transaction) -> bool) -> bool {
        self.transaction().is_some_and(ask)
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
        self.note_verdict(&verdict);
        Ok(verdict)
    }

    /// After a phase.
    pub(super) fn note_verdict(&mut self, verdict: &Verdict) {
        if let (Verdict::Deny(interruption), Some(inspection)) = (verdict, &mut self.inspection) {
            inspection.blocked = Some((interruption.phase, interruption.rule_id.0));
        }
        self.announce();
    }

    /// Writes the messages of what matched in this phase, as ModSecurity does: whoever has the response finds them in
    /// the log, and a request that hangs at its backend has left them there.
    fn announce(&mut self) {
        let recorder = &self.worker.shared.recorder;
        let Some(inspection) = &mut self.inspection else { return };
        let matches = inspection.transaction.as_ref().map(|own| own.matches()).unwrap_or_default();
        let Some(fresh) = matches.get(inspection.announced..).filter(|fresh| !fresh.is_empty()) else { return };
        if recorder.wants_rule_messages() {
            let about = About { id: self.id.as_str(), started: self.started_unix, client: Some(self.client.peer) };
            recorder.rule_messages(about, fresh, &[]);
            inspection.announced = matches.len();
        }
    }

    /// Runs the engine, timed (from [`Exchange::now`]) and contained. `None`: nothing is inspected (any more).
    pub(super) fn engine<T>(
        &mut self,
        run: impl FnOnce(&mut Transaction, &Program, &mut Scratch, Seen<'_>) -> T,
    ) -> Result<Option<T>, Fault> {
        self.engine_with(None, run)
    }

    /// As [`Exchange::engine`] with this scratch, or the worker's.
    pub(super) fn engine_with<T>(
        &mut self,
        scratch: Option<&mut Scratch>,
        run: impl FnOnce(&mut Transaction, &Program, &mut Scratch, Seen<'_>) -> T,
    ) -> Result<Option<T>, Fault> {
        let Some(mut inspection) = self.inspection.take() else { return Ok(None) };
        let before = self.now;
        let outcome = if inspection.is_failed { None } else { self.contained(&mut inspection, scratch, run) };
        self.inspection = Some(inspection);
        self.now = clock::now();
        self.count_engine_time(self.now.saturating_duration_since(before));
        match outcome {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => self.engine_panicked(),
        }
    }

    fn contained<T>(
        &self,
        inspection: &mut Inspection,
        scratch: Option<&mut Scratch>,
        run: impl FnOnce(&mut Transaction, &Program, &mut Scratch, Seen<'_>) -> T,
    ) -> Option<std::thread::Result<T>> {
        let program = self.policy()?.program.as_deref()?;
        let transaction = inspection.transaction.as_mut()?;
        let seen = Seen { head: &self.head };
        let mut of_worker;
        let scratch = match scratch {
            Some(scratch) => scratch,
            None => {
                of_worker = self.worker.scratch();
                &mut of_worker
            }
        };
        let result = catch_unwind(AssertUnwindSafe(|| run(transaction, program, scratch, seen)));
        if result.is_err() {
            // What a panic left behind is not to be trusted.
            *scratch = self.worker.new_scratch();
        }
        Some(result)
    }

    pub(super) fn count_engine_time(&mut self, spent: Duration) {
        let Some(inspection) = &mut self.inspection else { return };
        let [of_request, of_response] = &mut inspection.durations;
        *(if self.outcome.backend_status.is_some() { of_response } else { of_request }) += spent;
    }

    pub(super) fn engine_panicked<T>(&mut self) -> Result<Option<T>, Fault> {
        self.engine_failed(Fault::new(FaultKind::Engine, "the rule engine failed on this request"))
    }

    /// The engine is not asked again; whether the request goes on uninspected is the policy's business.
    pub(super) fn engine_failed<T>(&mut self, fault: Fault) -> Result<Option<T>, Fault> {
        if let Some(inspection) = &mut self.inspection {
            inspection.is_failed = true;
            inspection.errand = None;
        }
        match self.policy().map_or(OnFault::Deny, |policy| policy.on_fault) {
            OnFault::Deny => Err(fault),
            OnFault::Allow => Ok(None),
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
