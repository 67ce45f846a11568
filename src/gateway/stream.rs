//! One HTTP/2 stream: a request that takes the same steps as one in HTTP/1, and its answer in frames.
//!
//! Its head is checked as strictly, for it may go on as HTTP/1: fields that would end a line, name a connection or
//! frame a body are refused (h2 refuses most of them itself, as malformed).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, SendStream};

use super::backend::Backend;
use super::channel::{append, header_map};
use super::fault::{Fault, FaultKind};
use super::identify::ClientFacts;
use super::inspect::Held;
use super::lanes::{Seat, Stream};
use super::relay::{Client, Http2Client};
use super::reply::{self, Reply};
use super::request::{Answer, Exchange, process};
use super::{Snapshot, Worker};
use crate::http::h1::{BodyPart, Length, has_control, is_token};
use crate::http::{Fields, HeadError, Known, RequestHead, TargetForm, classify_target, is_host};
use crate::runtime::clock;
use crate::telemetry::Action;

/// A lane: serves the streams that are put into its seat, one after the other.
pub(super) async fn serve_streams(
    seat: Arc<Seat>,
    worker: Arc<Worker>,
    client: Arc<ClientFacts>,
    snapshot: Arc<Snapshot>,
) {
    let mut exchange = Exchange::new(worker, client, snapshot);
    loop {
        let stream = seat.next().await;
        serve_stream(&mut exchange, &seat, stream).await;
        // Without an answer, giving the handle up resets the stream.
        drop(seat.take_respond());
        exchange.rest();
    }
}

async fn serve_stream(exchange: &mut Exchange, seat: &Arc<Seat>, stream: Stream) {
    exchange.begin(clock::now());
    exchange.earlier = stream.earlier;
    let (parts, body) = stream.request.into_parts();
    let (head, checked) = read_head(&parts);
    exchange.head = head;
    let announced = parts.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    drop(parts);
    let limit = exchange.snapshot.listener(exchange.client.listener).map(|listener| listener.limits.body_bytes);
    let mut client = Http2Client::new(body, Arc::clone(seat), announced, limit.unwrap_or(u64::MAX));
    client.is_waiting = exchange.head.fields.first(Known::Expect).is_some();
    let answer = match checked {
        Ok(()) => {
            exchange.outcome.received_bytes = exchange.head.fields.bytes_len() as u64;
            let mut source = Client::Http2(&mut client);
            match until_reset(seat, process(exchange, &mut source)).await {
                Some(answer) => answer,
                None => return exchange.break_off(),
            }
        }
        Err(error) => Err(Fault::head(error)),
    };
    let Some(mut respond) = seat.take_respond() else { return exchange.break_off() };
    let sent = match answer {
        Ok(Answer::Relay(backend, held)) => relay(exchange, &mut client, *backend, held, respond).await,
        Ok(Answer::Reply(reply)) => {
            exchange.outcome.status = reply.status;
            send_reply(exchange, respond, &reply)
        }
        Ok(Answer::Denied(interruption)) => match Reply::of_denial(&interruption, exchange) {
            Some(reply) => send_reply(exchange, respond, &reply),
            None => {
                respond.send_reset(Reason::INTERNAL_ERROR);
                Ok(())
            }
        },
        // Only HTTP/1.1 requests ask for an upgrade.
        Ok(Answer::Upgrade(_)) => {
            let fault = Fault::new(FaultKind::Upgrade, "the backend switched protocols without being asked");
            send_fault(exchange, respond, fault)
        }
        Err(fault) => send_fault(exchange, respond, fault),
    };
    if let Err(fault) = sent {
        exchange.outcome.fault = Some(fault);
    }
    exchange.outcome.received_bytes += client.body_bytes;
    exchange.record();
}

/// What a future comes to; `None` if the client resets the stream first.
async fn until_reset<F: Future>(seat: &Seat, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if seat.is_reset(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// The head as if it had been sent in HTTP/1: `:authority` as Host, crumbs of Cookie joined.
fn read_head(parts: &http::request::Parts) -> (RequestHead, Result<(), HeadError>) {
    let method = parts.method.as_str().as_bytes();
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str().as_bytes(),
        // CONNECT has an authority only.
        None => parts.uri.authority().map(|authority| authority.as_str().as_bytes()).unwrap_or_default(),
    };
    let form = classify_target(method, target);
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let hosts = || parts.headers.get_all(http::header::HOST).iter().map(http::HeaderValue::as_bytes);
    let host = authority.or_else(|| hosts().next());
    let mut cookies = BytesMut::new();
    for crumb in parts.headers.get_all(http::header::COOKIE) {
        if !cookies.is_empty() {
            cookies.put_slice(b"; ");
        }
        cookies.put_slice(crumb.as_bytes());
    }
    let plain = parts
        .headers
        .iter()
        .filter(|(name, _)| !matches!(**name, http::header::HOST | http::header::COOKIE))
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let fields = host
        .map(|host| (&b"host"[..], host))
        .into_iter()
        .chain(plain)
        .chain((!cookies.is_empty()).then_some((&b"cookie"[..], cookies.as_ref())));
    let mut head = RequestHead::synthesize(method, target, form.unwrap_or(TargetForm::Origin), fields);
    let checked = form.map(|_| ()).and_then(|()| check(&head, authority, hosts().collect::<Vec<_>>().as_slice()));
    head.fields.merge(Known::ContentType);
    (head, checked)
}

fn check(head: &RequestHead, authority: Option<&[u8]>, hosts: &[&[u8]]) -> Result<(), HeadError> {
    match (authority, hosts) {
        (_, [_, _, ..]) => return Err(HeadError::SeveralHosts),
        (Some(authority), [host]) if !authority.eq_ignore_ascii_case(host) => {
            return Err(HeadError::AuthorityMismatch);
        }
        _ => {}
    }
    match head.fields.first(Known::Host) {
        None => return Err(HeadError::MissingHost),
        Some([]) => return Err(HeadError::EmptyHost),
        Some(host) if !is_host(host) => return Err(HeadError::Host),
        Some(_) => {}
    }
    for (known, name, value) in head.fields.iter_known() {
        let is_of_connection = matches!(
            known,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Http2Settings
        ) || (known == Known::Te && !value.eq_ignore_ascii_case(b"trailers"));
        if is_of_connection || !is_token(name) || has_control(value) {
            return Err(HeadError::Downgrade);
        }
        if known == Known::Expect && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::Expectation);
        }
    }
    Ok(())
}

fn head(status: u16, map: http::HeaderMap) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    *response.headers_mut() = map;
    response
}

fn send_fault(exchange: &mut Exchange, mut respond: SendResponse<Bytes>, fault: Fault) -> Result<(), Fault> {
    match Reply::of_fault(fault, exchange) {
        Some(reply) => send_reply(exchange, respond, &reply),
        None => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
    }
}

/// Queues an answer of our own; a short body waits for the client's window in h2, not here.
fn send_reply(exchange: &mut Exchange, mut respond: SendResponse<Bytes>, reply: &Reply) -> Result<(), Fault> {
    let mut map = http::HeaderMap::with_capacity(8);
    reply.fields(&exchange.id, exchange.started_unix, |name, value| append(&mut map, name, value));
    if reply.grpc.is_none() {
        append(&mut map, b"content-length", itoa::Buffer::new().format(reply.body.len()).as_bytes());
    }
    let has_body = !reply.body.is_empty() && exchange.head.method() != b"HEAD";
    exchange.conclude_with(reply);
    let mut stream = respond.send_response(head(reply.status, map), !has_body).map_err(stream_broke)?;
    if has_body {
        exchange.outcome.sent_bytes = reply.body.len() as u64;
        stream.send_data(reply.body.clone(), true).map_err(stream_broke)?;
    }
    Ok(())
}

/// Sends a backend's response: its head at once, its body at the speed of the slower side.
async fn relay(
    exchange: &mut Exchange,
    client: &mut Http2Client,
    mut backend: Backend,
    held: Held,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Fault> {
    exchange.outcome.action = Action::Forward;
    exchange.outcome.status = backend.head.status;
    exchange.outcome.content_type = backend.head.fields.first_shared(Known::ContentType);
    // Nothing may come behind a head that is all: gRPC clients take an empty frame there for a broken response.
    let is_complete = held.is_complete || backend.framing.length == Length::None || backend.is_body_done();
    let is_bodiless = is_complete && held.parts.is_empty() && held.trailers.is_none();
    let response = head(backend.head.status, response_map(exchange, &backend));
    if is_bodiless {
        exchange.conclude();
    }
    let stream = respond.send_response(response, is_bodiless).map_err(stream_broke)?;
    let mut sending = Sending { stream, is_open: !is_bodiless };
    let sent = sending.body(exchange, client, &mut backend, held, is_complete).await;
    match sent {
        Ok(()) => {
            backend.finish(&exchange.worker.idle);
            Ok(())
        }
        Err(fault) => {
            // The head is out: all that is left is to break off, so that nobody takes a part for the whole.
            sending.stream.send_reset(Reason::INTERNAL_ERROR);
            Err(fault)
        }
    }
}

fn response_map(exchange: &Exchange, backend: &Backend) -> http::HeaderMap {
    let fields = &backend.head.fields;
    let mut map = http::HeaderMap::with_capacity(fields.len() + 3);
    reply::response_fields(exchange, backend, |name, value| {
        let Ok(name) = http::HeaderName::from_bytes(name) else { return };
        let Ok(mut value) = http::HeaderValue::from_maybe_shared(fields.share(value)) else { return };
        // Never the same twice: in the table of compressed fields it would only push out what is.
        value.set_sensitive(name == "x-request-id");
        // Fails only at 32,768 fields; heads are bounded far below.
        map.try_append(name, value).ok();
    });
    match (reply::described_length(exchange, backend), backend.framing.length) {
        (Some(length), _) => append(&mut map, b"content-length", length),
        // An end without a length needs none here either: among a call's own fields it would be a stranger.
        (None, Length::Bytes(bytes)) if bytes > 0 || fields.first(Known::ContentLength).is_some() => {
            append(&mut map, b"content-length", itoa::Buffer::new().format(bytes).as_bytes());
        }
        _ => {}
    }
    map
}

/// A response whose head is sent.
struct Sending {
    stream: SendStream<Bytes>,
    is_open: bool,
}

impl Sending {
    async fn body(
        &mut self,
        exchange: &mut Exchange,
        client: &mut Http2Client,
        backend: &mut Backend,
        held: Held,
        is_complete: bool,
    ) -> Result<(), Fault> {
        let listener = exchange.snapshot.listener(exchange.client.listener);
        let write_patience = listener.map(|listener| listener.timeouts.write).unwrap_or_default();
        let read_patience = backend.read_patience(exchange);
        let is_last_held = is_complete && held.trailers.is_none();
        let mut parts = held.parts.into_iter().peekable();
        while let Some(part) = parts.next() {
            let is_last = is_last_held && parts.peek().is_none();
            self.data(exchange, part, is_last, write_patience).await?;
        }
        if let Some(trailers) = held.trailers {
            self.trailers(exchange, &trailers)?;
        }
        while self.is_open {
            match self.next_part(exchange, client, backend, read_patience).await? {
                BodyPart::Data(bytes) => {
                    // The last piece carries the end of the stream, without an empty frame of its own.
                    let is_last = backend.is_body_done();
                    self.data(exchange, bytes, is_last, write_patience).await?;
                }
                BodyPart::Trailers(fields) => self.trailers(exchange, &fields)?,
                BodyPart::End => {
                    self.is_open = false;
                    exchange.conclude();
                    self.stream.send_data(Bytes::new(), true).map_err(stream_broke)?;
                }
            }
        }
        Ok(())
    }

    async fn next_part(
        &mut self,
        exchange: &mut Exchange,
        client: &mut Http2Client,
        backend: &mut Backend,
        patience: Duration,
    ) -> Result<BodyPart, Fault> {
        let mut is_armed = false;
        poll_fn(|cx| {
            if let Poll::Ready(part) = backend.poll_part(&mut Client::Http2(client), cx) {
                return Poll::Ready(part);
            }
            self.check_reset(cx)?;
            if !std::mem::replace(&mut is_armed, true) {
                exchange.timer.arm(patience);
            }
            ready!(exchange.timer.poll(cx));
            Poll::Ready(Err(Fault::new(FaultKind::BackendReadTimeout, "the backend's response stalled")))
        })
        .await
    }

    /// Sends a piece once the client's windows have room for its beginning; h2 keeps the rest, and no other piece is
    /// read meanwhile.
    async fn data(
        &mut self,
        exchange: &mut Exchange,
        bytes: Bytes,
        is_last: bool,
        patience: Duration,
    ) -> Result<(), Fault> {
        if !bytes.is_empty() {
            // Asking for more would hold back windows of other streams; `send_data` raises it to what it has.
            self.stream.reserve_capacity(1);
            if self.stream.capacity() == 0 {
                exchange.timer.arm(patience);
                self.await_room(exchange).await?;
            }
        }
        exchange.outcome.sent_bytes += bytes.len() as u64;
        self.is_open = !is_last;
        if is_last {
            exchange.conclude();
        }
        self.stream.send_data(bytes, is_last).map_err(stream_broke)
    }

    async fn await_room(&mut self, exchange: &mut Exchange) -> Result<(), Fault> {
        poll_fn(|cx| {
            loop {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(0))) => {}
                    Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(stream_broke(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(client_reset())),
                    Poll::Pending => break,
                }
            }
            self.check_reset(cx)?;
            ready!(exchange.timer.poll(cx));
            Poll::Ready(Err(Fault::new(FaultKind::ClientWriteTimeout, "the client did not take the response in time")))
        })
        .await
    }

    fn trailers(&mut self, exchange: &mut Exchange, fields: &Fields) -> Result<(), Fault> {
        self.is_open = false;
        exchange.conclude();
        self.stream.send_trailers(header_map(fields)).map_err(stream_broke)
    }

    /// Fails if the client has reset the stream; wakes the task when it does.
    fn check_reset(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.stream.poll_reset(cx).is_ready() { Err(client_reset()) } else { Ok(()) }
    }
}

fn client_reset() -> Fault {
    Fault::new(FaultKind::ClientClosed, "the client reset the stream")
}

fn stream_broke(error: h2::Error) -> Fault {
    Fault::new(FaultKind::ClientClosed, format!("the client's stream broke: {error}"))
}
