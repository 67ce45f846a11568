//! Moves bodies: from the client to the backend, and from the backend to the client.
//!
//! Both directions are polled by the one task that owns both connections, so nothing is handed over and back-pressure
//! is simply not reading. What is at hand is written together; as soon as nothing more is at hand, everything queued
//! is flushed: an event passes at the speed it arrives.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use h2::RecvStream;

use super::backend::Backend;
use super::fault::{Fault, FaultKind};
use super::inspect::Held;
use super::lanes::Seat;
use super::request::Exchange;
use super::wire::{ClientStream, Output, poll_fill};
use crate::http::h1::{BodyDecoder, BodyPart, Framing, Length, encode};
use crate::http::{Fields, Known, Version};

/// Where a request body comes from.
#[derive(Debug)]
pub(super) enum Client<'a> {
    Http1(&'a mut Http1Client),
    Http2(&'a mut Http2Client),
}

/// A client's HTTP/1 connection.
#[derive(Debug)]
pub(super) struct Http1Client {
    pub(super) stream: ClientStream,
    pub(super) read: BytesMut,
    pub(super) out: Output,
    pub(super) is_eof: bool,
    pub(super) framing: Framing,
    pub(super) decoder: BodyDecoder,
    pub(super) version: Version,
    /// The client waits for `100 Continue` before it sends the body. It is told when the body is first asked for: not
    /// before the rules have seen the head, and not if nobody wants the body.
    pub(super) is_waiting: bool,
    /// It is being told.
    is_telling: bool,
    /// Body bytes taken.
    pub(super) body_bytes: u64,
    pub(super) body_limit: u64,
}

/// A client's HTTP/2 request body.
#[derive(Debug)]
pub(super) struct Http2Client {
    pub(super) body: Option<RecvStream>,
    /// For informational heads.
    pub(super) seat: Arc<Seat>,
    /// The client waits for `100 Continue`.
    pub(super) is_waiting: bool,
    pub(super) announced: Option<u64>,
    /// As it was when the head came: a body that has been read is still one.
    length: Length,
    pub(super) body_bytes: u64,
    pub(super) body_limit: u64,
}

impl Client<'_> {
    /// Is nothing of the body left to read?
    pub(super) fn is_body_done(&self) -> bool {
        match self {
            Self::Http1(client) => client.decoder.is_done(),
            Self::Http2(client) => client.body.is_none(),
        }
    }

    /// Does the client wait to be told to send its body?
    pub(super) fn is_waiting(&self) -> bool {
        match self {
            Self::Http1(client) => client.is_waiting,
            Self::Http2(client) => client.is_waiting,
        }
    }

    /// What Content-Length says.
    pub(super) fn announced_bytes(&self) -> Option<u64> {
        match self {
            Self::Http1(client) => match client.framing.length {
                Length::Bytes(bytes) => Some(bytes),
                Length::None => Some(0),
                Length::Chunked | Length::UntilClose => None,
            },
            Self::Http2(client) => client.announced,
        }
    }

    /// How the body was framed, for framing it again.
    pub(super) fn body_length(&self) -> Length {
        match self {
            Self::Http1(client) => client.framing.length,
            Self::Http2(client) => client.length,
        }
    }

    /// Phase 1 let the request through: is its body acceptable?
    pub(super) fn accept_body(&self) -> Result<(), Fault> {
        let limit = match self {
            Self::Http1(client) => client.body_limit,
            Self::Http2(client) => client.body_limit,
        };
        if self.announced_bytes().is_some_and(|bytes| bytes > limit) { Err(body_too_large()) } else { Ok(()) }
    }

    /// The next part of the body, within the body deadline.
    pub(super) async fn next_part(&mut self, exchange: &mut Exchange) -> Result<BodyPart, Fault> {
        let patience = exchange.snapshot.listener(exchange.client.listener).map(|listener| listener.timeouts.body);
        exchange.timer.arm_from(exchange.now, patience.unwrap_or_default());
        poll_fn(|cx| {
            if let Poll::Ready(part) = self.poll_part(cx) {
                return Poll::Ready(part);
            }
            ready!(exchange.timer.poll(cx));
            Poll::Ready(Err(Fault::new(FaultKind::BodyTimeout, "the request body did not arrive in time")))
        })
        .await
    }

    /// The next part of the body.
    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, Fault>> {
        let (part, total, limit) = match self {
            Self::Http1(client) => {
                let part = ready!(client.poll_part(cx))?;
                (part, &mut client.body_bytes, client.body_limit)
            }
            Self::Http2(client) => {
                let part = ready!(client.poll_part(cx))?;
                (part, &mut client.body_bytes, client.body_limit)
            }
        };
        if let BodyPart::Data(bytes) = &part {
            *total += bytes.len() as u64;
            if *total > limit {
                return Poll::Ready(Err(body_too_large()));
            }
        }
        Poll::Ready(Ok(part))
    }

    /// Body bytes taken so far.
    pub(super) fn body_bytes(&self) -> u64 {
        match self {
            Self::Http1(client) => client.body_bytes,
            Self::Http2(client) => client.body_bytes,
        }
    }
}

fn body_too_large() -> Fault {
    Fault::new(FaultKind::BodyTooLarge, "the request body is longer than this listener accepts")
}

impl Http1Client {
    pub(super) fn new(stream: ClientStream) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            out: Output::default(),
            is_eof: false,
            framing: Framing::default(),
            decoder: BodyDecoder::default(),
            version: Version::Http11,
            is_waiting: false,
            is_telling: false,
            body_bytes: 0,
            body_limit: u64::MAX,
        }
    }

    pub(super) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, Fault>> {
        loop {
            match self.decoder.decode(&mut self.read, self.is_eof) {
                Ok(Some(part)) => return Poll::Ready(Ok(part)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(Fault::body(error))),
            }
            // Some of the body is here already: the client has not waited.
            if std::mem::take(&mut self.is_waiting) && self.read.is_empty() {
                encode::status_line(&mut self.out.tail, 100, b"");
                encode::end_of_head(&mut self.out.tail);
                self.is_telling = true;
            }
            if self.is_telling {
                ready!(self.out.poll_write(&mut self.stream, cx)).map_err(|error| Fault::client_io(&error))?;
                self.is_telling = false;
            }
            match ready!(poll_fill(&mut self.stream, &mut self.read, cx)) {
                Ok(0) => self.is_eof = true,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::client_io(&error))),
            }
        }
    }

    /// Writes what is queued, within the write deadline.
    pub(super) async fn flush(&mut self, exchange: &mut Exchange) -> Result<(), Fault> {
        let patience = exchange.snapshot.listener(exchange.client.listener).map(|listener| listener.timeouts.write);
        let mut waiting = usize::MAX;
        poll_fn(|cx| {
            if let Poll::Ready(result) = self.out.poll_write(&mut self.stream, cx) {
                return Poll::Ready(result.map_err(|error| Fault::client_io(&error)));
            }
            if self.out.len() < waiting {
                waiting = self.out.len();
                exchange.timer.arm(patience.unwrap_or_default());
            }
            ready!(exchange.timer.poll(cx));
            Poll::Ready(Err(Fault::new(FaultKind::ClientWriteTimeout, "the client did not take the response in time")))
        })
        .await
    }
}

impl Http2Client {
    pub(super) fn new(body: RecvStream, seat: Arc<Seat>, announced: Option<u64>, body_limit: u64) -> Self {
        let body = (!body.is_end_stream()).then_some(body);
        let length = match (announced, &body) {
            (Some(bytes), _) => Length::Bytes(bytes),
            (None, None) => Length::None,
            (None, Some(_)) => Length::Chunked,
        };
        Self { body, seat, is_waiting: false, announced, length, body_bytes: 0, body_limit }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<BodyPart, Fault>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(BodyPart::End)) };
        if std::mem::take(&mut self.is_waiting) {
            let mut response = http::Response::new(());
            *response.status_mut() = http::StatusCode::CONTINUE;
            self.seat.inform(response);
        }
        let broke =
            |error: h2::Error| Fault::new(FaultKind::ClientClosed, format!("the client's stream broke: {error}"));
        let part = match ready!(body.poll_data(cx)) {
            Some(Ok(bytes)) => {
                // What is read is taken: we read no more than the other side takes. Fails only on a closed stream.
                body.flow_control().release_capacity(bytes.len()).ok();
                if !body.is_end_stream() {
                    return Poll::Ready(Ok(BodyPart::Data(bytes)));
                }
                BodyPart::Data(bytes)
            }
            Some(Err(error)) => return Poll::Ready(Err(broke(error))),
            None => match ready!(body.poll_trailers(cx)).map_err(broke)? {
                Some(map) => BodyPart::Trailers(trailers(&map)),
                None => BodyPart::End,
            },
        };
        self.body = None;
        Poll::Ready(Ok(part))
    }
}

/// Trailers that came in HTTP/2.
pub(super) fn trailers(map: &http::HeaderMap) -> Fields {
    let allowed =
        map.iter().filter(|(name, _)| crate::http::hop::is_allowed_in_trailers(Known::of(name.as_str().as_bytes())));
    Fields::from_pairs(allowed.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
}

/// How a part is written in HTTP/1.
pub(super) fn encode_part(out: &mut Output, sink: Length, part: BodyPart) {
    match part {
        BodyPart::Data(bytes) if bytes.is_empty() => {}
        // What nothing frames would be the next message to its reader.
        BodyPart::Data(_) if sink == Length::None => debug_assert!(false, "a body that the head does not tell of"),
        BodyPart::Data(bytes) if sink == Length::Chunked => {
            encode::chunk_start(&mut out.tail, bytes.len());
            out.push(bytes);
            encode::chunk_end(&mut out.tail);
        }
        BodyPart::Data(bytes) => out.push(bytes),
        BodyPart::Trailers(fields) if sink == Length::Chunked => encode::last_chunk(&mut out.tail, Some(&fields)),
        BodyPart::End if sink == Length::Chunked => encode::last_chunk(&mut out.tail, None),
        BodyPart::Trailers(_) | BodyPart::End => {}
    }
}

/// Sends a backend's body to an HTTP/1 client whose head is queued already. `sink` is how it is framed there.
pub(super) async fn relay(
    exchange: &mut Exchange,
    client: &mut Http1Client,
    backend: &mut Backend,
    held: Held,
    sink: Length,
) -> Result<(), Fault> {
    for part in held.parts {
        encode_part(&mut client.out, sink, BodyPart::Data(part));
    }
    let mut is_done = held.is_complete || backend.framing.length == Length::None;
    if is_done {
        encode_part(&mut client.out, sink, held.trailers.map_or(BodyPart::End, BodyPart::Trailers));
    }
    let listener = exchange.snapshot.listener(exchange.client.listener);
    let write_patience = listener.map(|listener| listener.timeouts.write).unwrap_or_default();
    let read_patience = backend.read_patience(exchange);
    let mut is_armed = false;
    poll_fn(|cx| {
        loop {
            // Batches what is at hand, up to the mark.
            let mut is_source_waiting = false;
            while !is_done && !client.out.is_full() {
                match backend.poll_part(&mut Client::Http1(client), cx) {
                    Poll::Ready(Ok(part)) => {
                        is_done = !matches!(part, BodyPart::Data(_));
                        is_armed = false;
                        encode_part(&mut client.out, sink, part);
                    }
                    Poll::Ready(Err(fault)) => {
                        // What came before the break is the client's; the connection then ends without an end.
                        drop(client.out.poll_write(&mut client.stream, cx));
                        return Poll::Ready(Err(fault));
                    }
                    Poll::Pending => {
                        is_source_waiting = true;
                        break;
                    }
                }
            }
            if is_done || backend.is_end_known() {
                exchange.conclude();
            }
            let before = client.out.len();
            let is_written = match client.out.poll_write(&mut client.stream, cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::client_io(&error))),
                Poll::Pending => false,
            };
            if is_written && is_done {
                return Poll::Ready(Ok(()));
            }
            if is_written && !is_source_waiting {
                continue;
            }
            // One of the two sides is waited for; progress of either gives it its full time again.
            if !is_armed || client.out.len() < before {
                is_armed = true;
                exchange.timer.arm(if is_written { read_patience } else { write_patience });
            }
            ready!(exchange.timer.poll(cx));
            return Poll::Ready(Err(if is_written {
                Fault::new(FaultKind::BackendReadTimeout, "the backend's response stalled")
            } else {
                Fault::new(FaultKind::ClientWriteTimeout, "the client did not take the response in time")
            }));
        }
    })
    .await
}
