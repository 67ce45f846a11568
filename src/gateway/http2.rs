//! Clients that speak HTTP/2: hyper has the frames and the streams, this has everything else.
//!
//! A stream becomes the same [`Exchange`] as an HTTP/1 request and takes the same steps. Its head is checked as
//! strictly, for it may go on as HTTP/1: fields that would end a line, name a connection or frame a body are refused
//! (h2 refuses most of them itself, as malformed). Limits against rapid reset, continuation floods and header bombs
//! are set in [`builder`].

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::channel::{append, header_map};
use super::fault::{Fault, FaultKind};
use super::forward::Backend;
use super::gather::Gathered;
use super::identify::ClientFacts;
use super::inspect::Held;
use super::relay::{Client, Http2Client};
use super::reply::{self, Reply};
use super::request::{Answer, Exchange, Outcome, process};
use super::wire::{ClientStream, Timer};
use super::{Drain, Snapshot, Worker};
use crate::config::model::Listener;
use crate::http::h1::{BodyPart, Length, has_control, is_token};
use crate::http::{Fields, HeadError, Known, RequestHead, TargetForm, classify_target, is_host};
use crate::runtime::clock;
use crate::telemetry::Action;

/// Serves an HTTP/2 connection to its end.
pub(super) async fn serve_http2(
    stream: ClientStream,
    client: Arc<ClientFacts>,
    worker: Arc<Worker>,
    snapshot: Arc<Snapshot>,
    drain: Drain,
    mut timer: Timer,
) {
    let Some(listener) = snapshot.listener(client.listener) else { return };
    let timeouts = listener.timeouts;
    let streams = Arc::new(Streams::default());
    let stream = Gathered::new(stream);
    let service = {
        let (snapshot, streams) = (Arc::clone(&snapshot), Arc::clone(&streams));
        service_fn(move |request: http::Request<Incoming>| {
            let exchange = streams.exchange(|| {
                // Boxed once: it is moved into the response's body later.
                Box::new(Exchange::new(Arc::clone(&worker), Arc::clone(&client), Arc::clone(&snapshot)))
            });
            let running = Running::new(&streams);
            Box::pin(handle(exchange, request, running))
        })
    };
    let mut connection = pin!(builder(listener).serve_connection(TokioIo::new(stream.clone()), service));
    let mut is_ending = false;
    let mut was_idle = false;
    poll_fn(|cx| {
        if drain.is_draining() && !is_ending {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Poll::Ready(Err(_)) = stream.poll_send(cx) {
            return Poll::Ready(());
        }
        // A connection without a stream has an end, whatever frames trickle in; before the first, a near one.
        let is_idle = streams.running.load(Ordering::Relaxed) == 0;
        if is_idle && !was_idle {
            let is_new = streams.total.load(Ordering::Relaxed) == 0;
            timer.arm(if is_new { timeouts.head } else { timeouts.idle });
        }
        was_idle = is_idle;
        if !is_idle {
            return Poll::Pending;
        }
        ready!(timer.poll(cx));
        if is_ending {
            return Poll::Ready(());
        }
        is_ending = true;
        connection.as_mut().graceful_shutdown();
        timer.arm(GOODBYE);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn builder(listener: &Listener) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(listener.limits.h2_streams)
        // Rapid reset (CVE-2023-44487) and its like: more streams than this reset by the client before we took them,
        // or by us for the client's errors, end the connection.
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        // A header bomb and a flood of CONTINUATION frames both meet this bound; h2 derives the frames' from it.
        .max_header_list_size(u32::try_from(listener.limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(16 * 1024)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .auto_date_header(false)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// Streams of a connection.
#[derive(Debug, Default)]
struct Streams {
    running: AtomicUsize,
    total: AtomicUsize,
    /// Used exchanges, for the streams to come: what is costly in one (its timer above all) is made only once.
    #[expect(clippy::vec_box, reason = "an exchange is large, and moves between the list and its stream in its box")]
    spare: Mutex<Vec<Box<Exchange>>>,
}

impl Streams {
    fn exchange(&self, make: impl FnOnce() -> Box<Exchange>) -> Box<Exchange> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(make)
    }

    fn give_back(&self, exchange: Box<Exchange>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_EXCHANGES {
            spare.push(exchange);
        }
    }
}

/// One running stream.
#[derive(Debug)]
struct Running(Arc<Streams>);

impl Running {
    fn new(streams: &Arc<Streams>) -> Self {
        streams.running.fetch_add(1, Ordering::Relaxed);
        streams.total.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(streams))
    }

    fn earlier(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed).saturating_sub(1) as u64
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The stream is reset: a rule wants no answer given, or there is nobody to give it to.
#[derive(Debug, thiserror::Error)]
#[error("the gateway closed the stream")]
struct Closed;

async fn handle(
    mut exchange: Box<Exchange>,
    request: http::Request<Incoming>,
    running: Running,
) -> Result<http::Response<ReplyBody>, Closed> {
    exchange.begin(clock::now());
    exchange.earlier = running.earlier();
    let (parts, body) = request.into_parts();
    let (head, checked) = read_head(&parts);
    exchange.head = head;
    let announced = parts.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let is_empty = body.is_end_stream();
    let mut client = Http2Client {
        body: (!is_empty).then_some(body),
        announced,
        body_bytes: 0,
        body_limit: exchange
            .snapshot
            .listener(exchange.client.listener)
            .map_or(u64::MAX, |listener| listener.limits.body_bytes),
    };
    let answer = match checked {
        Ok(()) => {
            exchange.outcome.received_bytes = exchange.head.fields.bytes_len() as u64;
            let mut source = Client::Http2(client);
            let answer = process(&mut exchange, &mut source).await;
            let Client::Http2(back) = source else { return Err(Closed) };
            client = back;
            answer
        }
        Err(error) => Err(Fault::head(error)),
    };
    match answer {
        Ok(Answer::Relay(backend, held)) => Ok(relay(exchange, client, backend, held, running)),
        Ok(Answer::Reply(reply)) => {
            exchange.outcome.status = reply.status;
            Ok(send_reply(exchange, &client, &reply))
        }
        Ok(Answer::Denied(interruption)) => match Reply::of_denial(&interruption, &mut exchange) {
            Some(reply) => Ok(send_reply(exchange, &client, &reply)),
            None => {
                exchange.record();
                Err(Closed)
            }
        },
        // Only HTTP/1.1 requests ask for an upgrade.
        Ok(Answer::Upgrade(_)) => {
            let fault = Fault::new(FaultKind::Upgrade, "the backend switched protocols without being asked");
            send_fault(exchange, &client, fault)
        }
        Err(fault) => send_fault(exchange, &client, fault),
    }
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

fn response(status: u16, body: ReplyBody) -> http::Response<ReplyBody> {
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    response
}

fn send_fault(
    mut exchange: Box<Exchange>,
    client: &Http2Client,
    fault: Fault,
) -> Result<http::Response<ReplyBody>, Closed> {
    match Reply::of_fault(fault, &mut exchange) {
        Some(reply) => Ok(send_reply(exchange, client, &reply)),
        None => {
            exchange.record();
            Err(Closed)
        }
    }
}

fn send_reply(mut exchange: Box<Exchange>, client: &Http2Client, reply: &Reply) -> http::Response<ReplyBody> {
    let body = if exchange.head.method() == b"HEAD" { Bytes::new() } else { reply.body.clone() };
    let mut response = response(reply.status, ReplyBody::Whole(Some(body.clone()).filter(|body| !body.is_empty())));
    let map = response.headers_mut();
    reply.fields(&exchange, |name, value| append(map, name, value));
    append(map, b"content-length", itoa::Buffer::new().format(reply.body.len()).as_bytes());
    exchange.outcome.received_bytes += client.body_bytes;
    exchange.outcome.sent_bytes = body.len() as u64;
    exchange.record();
    response
}

fn relay(
    mut exchange: Box<Exchange>,
    client: Http2Client,
    backend: Box<Backend>,
    held: Held,
    running: Running,
) -> http::Response<ReplyBody> {
    exchange.outcome.action = Action::Forward;
    exchange.outcome.status = backend.head.status;
    exchange.outcome.content_type = backend.head.fields.first_shared(Known::ContentType);
    let is_complete = held.is_complete || backend.framing.length == Length::None;
    let length = backend.framing.length;
    let described = reply::described_length(&exchange, &backend).map(Bytes::copy_from_slice);
    let mut map = http::HeaderMap::with_capacity(backend.head.fields.len() + 3);
    reply::response_fields(&exchange, &backend, |name, value| append(&mut map, name, value));
    match (described, length) {
        (Some(length), _) => append(&mut map, b"content-length", &length),
        (None, Length::Bytes(bytes)) => {
            append(&mut map, b"content-length", itoa::Buffer::new().format(bytes).as_bytes());
        }
        _ => {}
    }
    let status = backend.head.status;
    let read_patience = backend.read_patience(&exchange);
    let mut body = RelayBody {
        held: held.parts.into(),
        trailers: held.trailers,
        is_complete,
        length,
        client: Client::Http2(client),
        backend: Some(backend),
        exchange,
        read_patience,
        is_armed: false,
        running,
    };
    if body.is_complete && body.held.is_empty() && body.trailers.is_none() {
        body.finish();
    }
    let body = ReplyBody::Relay(Some(Box::new(body)));
    let mut response = response(status, body);
    *response.headers_mut() = map;
    response
}

/// A response body as hyper takes it.
#[derive(Debug)]
enum ReplyBody {
    Whole(Option<Bytes>),
    /// `None` once it has ended.
    Relay(Option<Box<RelayBody>>),
}

/// A backend's body on its way to an HTTP/2 client. hyper polls it as the client's windows allow, and polling it reads
/// from the backend: there is no task and no buffer between the two.
#[derive(Debug)]
struct RelayBody {
    held: VecDeque<Bytes>,
    trailers: Option<Fields>,
    is_complete: bool,
    length: Length,
    client: Client<'static>,
    backend: Option<Box<Backend>>,
    exchange: Box<Exchange>,
    read_patience: Duration,
    is_armed: bool,
    running: Running,
}

impl RelayBody {
    fn is_ended(&self) -> bool {
        self.backend.is_none() && self.held.is_empty() && self.trailers.is_none()
    }

    /// Leaves the exchange, which is recorded, to a later stream.
    fn give_back(self: Box<Self>) {
        let Self { mut exchange, running, .. } = *self;
        // Holds on to the backend's buffer.
        exchange.outcome = Outcome::default();
        running.0.give_back(exchange);
    }

    fn finish(&mut self) {
        if let Some(backend) = self.backend.take() {
            backend.finish(&self.exchange.worker.idle);
        }
        self.exchange.outcome.received_bytes += self.client.body_bytes();
        self.exchange.record();
    }

    fn fail(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.backend = None;
        let detail = fault.detail.clone();
        let kind = fault.kind;
        self.exchange.outcome.fault = Some(fault);
        self.exchange.outcome.received_bytes += self.client.body_bytes();
        self.exchange.record();
        Poll::Ready(Some(Err(Fault::new(kind, detail))))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(bytes) = self.held.pop_front() {
            self.exchange.outcome.sent_bytes += bytes.len() as u64;
            if self.is_complete && self.held.is_empty() && self.trailers.is_none() {
                self.finish();
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.is_complete {
            let trailers = self.trailers.take();
            self.finish();
            return Poll::Ready(trailers.map(|fields| Ok(Frame::trailers(header_map(&fields)))));
        }
        let Some(backend) = &mut self.backend else { return Poll::Ready(None) };
        match backend.poll_part(&mut self.client, cx) {
            Poll::Ready(Ok(BodyPart::Data(bytes))) => {
                self.is_armed = false;
                self.exchange.outcome.sent_bytes += bytes.len() as u64;
                // The last piece then carries the end of the stream, without an empty frame and a poll of its own.
                if backend.is_body_done() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Ok(BodyPart::Trailers(fields))) => {
                self.finish();
                Poll::Ready(Some(Ok(Frame::trailers(header_map(&fields)))))
            }
            Poll::Ready(Ok(BodyPart::End)) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Err(fault)) => self.fail(fault),
            Poll::Pending => {
                if !std::mem::replace(&mut self.is_armed, true) {
                    self.exchange.timer.arm(self.read_patience);
                }
                ready!(self.exchange.timer.poll(cx));
                self.fail(Fault::new(FaultKind::BackendReadTimeout, "the backend's response stalled"))
            }
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(slot) => {
                let Some(body) = slot else { return Poll::Ready(None) };
                let polled = body.poll_frame(cx);
                if body.is_ended() {
                    slot.take().into_iter().for_each(RelayBody::give_back);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_none(),
            Self::Relay(body) => body.as_ref().is_none_or(|body| body.is_ended()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Self::Relay(body) => match body.as_ref().map(|body| body.length) {
                Some(Length::Bytes(bytes)) => SizeHint::with_exact(bytes),
                _ => SizeHint::default(),
            },
        }
    }
}

/// Exchanges that a connection keeps for its next streams.
const SPARE_EXCHANGES: usize = 16;
/// Streams that a client may reset before we took them.
const PENDING_RESETS: usize = 20;
/// Streams that we may reset for a client's errors.
const LOCAL_RESETS: usize = 256;
/// Windows: what a stream and a connection may have in flight towards us.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What a stream may have queued towards the client.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Pings notice a peer that is gone without a word.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an idle connection that was told to go may take.
const GOODBYE: Duration = Duration::from_secs(2);
