//! One client connection: handshake, protocol, and for HTTP/1 the loop over its requests.
//!
//! Deadlines: the handshake, the first byte and the whole of a head, the parts of a body, what the client takes of a
//! response, and idleness between requests each have their own; all share the connection's one timer.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::fault::{Fault, FaultKind};
use super::http2;
use super::identify::{ClientFacts, TlsFacts};
use super::relay::{Client, Http1Client, relay};
use super::reply::{self, Reply};
use super::request::{Answer, Exchange, process};
use super::upgrade;
use super::wire::{ClientStream, Timer, poll_fill};
use super::{Drain, Snapshot, Worker};
use crate::http::h1::{BodyDecoder, BodyPart, HeadLimits, RequestReader, request_framing};
use crate::http::{HeadError, Known, Version};
use crate::runtime::clock;
use crate::telemetry::{Action, ListenerMetrics};
use crate::tls::socket::Socket;

/// Serves a connection to its end.
pub(super) async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    listener: usize,
    worker: Arc<Worker>,
    drain: Drain,
    metrics: Arc<ListenerMetrics>,
) {
    let snapshot = worker.shared.snapshot.load_full();
    let (Some(settings), Ok(local)) = (snapshot.listener(listener), stream.local_addr()) else { return };
    // Without it a response in two writes waits for an acknowledgement.
    stream.set_nodelay(true).ok();
    let tls = snapshot.listeners.get(listener).and_then(Option::as_ref);
    let Some(tls) = tls else {
        let client = Arc::new(ClientFacts::new(peer, local, listener, None));
        return serve_http1(ClientStream::Plain(stream), client, worker, snapshot, drain).await;
    };
    let before = clock::now();
    let mut timer = Timer::new();
    timer.arm_from(before, settings.timeouts.handshake);
    let handshake = {
        let mut accept = pin!(TlsAcceptor::from(Arc::clone(&tls.config)).accept(Socket::new(stream)));
        poll_fn(|cx| match accept.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map_err(|error| cause(&error))),
            Poll::Pending => timer.poll(cx).map(|()| Err("timeout")),
        })
        .await
    };
    let stream = match handshake {
        Ok(stream) => Box::new(stream),
        Err(cause) => return metrics.handshake_failed(cause),
    };
    metrics.handshakes.observe(clock::now().saturating_duration_since(before));
    let session = stream.get_ref().1;
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let client = Arc::new(ClientFacts::new(peer, local, listener, Some(TlsFacts::of(session))));
    if is_http2 {
        Box::pin(http2::serve_http2(ClientStream::Tls(stream), client, worker, snapshot, drain, timer)).await;
    } else {
        serve_http1(ClientStream::Tls(stream), client, worker, snapshot, drain).await;
    }
}

/// Why a handshake failed, in a word.
fn cause(error: &std::io::Error) -> &'static str {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return "closed";
    };
    match inner {
        rustls::Error::NoCertificatesPresented => "no_client_certificate",
        rustls::Error::InvalidCertificate(_) => "client_certificate",
        rustls::Error::AlertReceived(_) => "alert",
        rustls::Error::PeerIncompatible(_) => "incompatible",
        rustls::Error::InvalidMessage(_) => "not_tls",
        _ => "other",
    }
}

/// What to do with a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another request may come.
    Request,
    /// Close, letting the client read what was sent.
    Close,
    /// Close at once.
    Abort,
}

/// What came of waiting for a head.
enum Head {
    Complete,
    Refused(HeadError),
    Late,
    Gone,
}

async fn serve_http1(
    stream: ClientStream,
    client: Arc<ClientFacts>,
    worker: Arc<Worker>,
    snapshot: Arc<Snapshot>,
    drain: Drain,
) {
    let mut exchange = Exchange::new(worker, client, snapshot);
    let mut client = Http1Client::new(stream);
    loop {
        let next = match read_head(&mut exchange, &mut client, &drain).await {
            Head::Complete => answer_request(&mut exchange, &mut client, &drain).await,
            Head::Refused(error) => answer_fault(&mut exchange, &mut client, Fault::head(error), false).await,
            Head::Late => {
                let fault = Fault::new(FaultKind::HeadTimeout, "the request head did not arrive in time");
                answer_fault(&mut exchange, &mut client, fault, false).await
            }
            Head::Gone => break,
        };
        exchange.outcome.received_bytes += client.body_bytes;
        exchange.outcome.sent_bytes += client.out.take_sent();
        exchange.record();
        match next {
            Next::Request => exchange.rest(),
            Next::Close => return close(&mut exchange, &mut client).await,
            Next::Abort => return,
        }
    }
    // The client is gone or idle: say goodbye, wait for nothing.
    exchange.timer.arm(GOODBYE);
    poll_fn(|cx| match Pin::new(&mut client.stream).poll_shutdown(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => exchange.timer.poll(cx),
    })
    .await;
}

async fn read_head(exchange: &mut Exchange, client: &mut Http1Client, drain: &Drain) -> Head {
    let Some(listener) = exchange.snapshot.listener(exchange.client.listener) else { return Head::Gone };
    let timeouts = listener.timeouts;
    let limits = HeadLimits { bytes: listener.limits.head_bytes, fields: listener.limits.headers };
    let mut reader = RequestReader::default();
    let mut is_begun = false;
    client.body_bytes = 0;
    client.decoder = BodyDecoder::default();
    let mut patience = if exchange.earlier == 0 { timeouts.head } else { timeouts.idle };
    let mut pause = patience.min(REST);
    exchange.timer.arm_from(exchange.now, pause);
    poll_fn(|cx| {
        loop {
            if !client.read.is_empty() {
                if !is_begun {
                    is_begun = true;
                    let now = clock::now();
                    exchange.begin(now);
                    exchange.timer.arm_from(now, timeouts.head);
                }
                match reader.read(&mut client.read, limits, &mut exchange.head) {
                    Ok(true) => return Poll::Ready(Head::Complete),
                    Ok(false) => {}
                    Err(error) => return Poll::Ready(Head::Refused(error)),
                }
            } else if drain.is_draining() {
                return Poll::Ready(Head::Gone);
            }
            if client.is_eof {
                exchange.is_open = false;
                return Poll::Ready(Head::Gone);
            }
            match poll_fill(&mut client.stream, &mut client.read, cx) {
                Poll::Ready(Ok(0)) => client.is_eof = true,
                Poll::Ready(Ok(_)) => {}
                // A connection that breaks before a request is complete has not asked anything.
                Poll::Ready(Err(_)) => {
                    exchange.is_open = false;
                    return Poll::Ready(Head::Gone);
                }
                Poll::Pending => {
                    ready!(exchange.timer.poll(cx));
                    patience = patience.saturating_sub(pause);
                    if is_begun || patience.is_zero() {
                        return Poll::Ready(if is_begun { Head::Late } else { Head::Gone });
                    }
                    exchange.take_snapshot();
                    pause = patience.min(LONG_REST);
                    exchange.timer.arm(pause);
                }
            }
        }
    })
    .await
}

async fn answer_request(exchange: &mut Exchange, client: &mut Http1Client, drain: &Drain) -> Next {
    exchange.outcome.received_bytes = exchange.head.fields.bytes_len() as u64;
    client.version = exchange.head.version;
    client.framing = match request_framing(&mut exchange.head) {
        Ok(framing) => framing,
        Err(error) => return answer_fault(exchange, client, Fault::head(error), false).await,
    };
    client.decoder = BodyDecoder::new(client.framing.length);
    client.is_waiting = match exchange.head.fields.first(Known::Expect) {
        None => false,
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => client.version == Version::Http11,
        Some(_) => return answer_fault(exchange, client, Fault::head(HeadError::Expectation), false).await,
    };
    client.body_limit =
        exchange.snapshot.listener(exchange.client.listener).map_or(u64::MAX, |listener| listener.limits.body_bytes);
    let answer = process(exchange, &mut Client::Http1(client)).await;
    // Whoever has not been told to go on by now must not be: an answer comes next.
    client.is_waiting = false;
    match answer {
        Ok(Answer::Relay(mut backend, held)) => {
            let (sink, can_go_on) = reply::sink(client.version, backend.framing.length);
            // A body that is still coming in is not waited for: the connection ends with the response.
            let is_persistent = client.framing.is_persistent
                && can_go_on
                && !drain.is_draining()
                && backend.is_upload_done()
                && client.decoder.is_done();
            let out = &mut client.out.tail;
            reply::encode_response_head(exchange, &backend, sink, client.version, is_persistent, out);
            exchange.outcome.action = Action::Forward;
            exchange.outcome.status = backend.head.status;
            exchange.outcome.content_type = backend.head.fields.first_shared(Known::ContentType);
            match relay(exchange, client, &mut backend, held, sink).await {
                Ok(()) => {
                    backend.finish(&exchange.worker.idle);
                    if is_persistent { Next::Request } else { Next::Close }
                }
                Err(fault) => {
                    // The head is out: all that is left is to break off, so that nobody takes a part for the whole.
                    exchange.outcome.fault = Some(fault);
                    Next::Abort
                }
            }
        }
        Ok(Answer::Reply(reply)) => answer_reply(exchange, client, reply, drain).await,
        Ok(Answer::Denied(interruption)) => match Reply::of_denial(&interruption, exchange) {
            Some(reply) => answer_reply(exchange, client, reply, drain).await,
            None => Next::Abort,
        },
        Ok(Answer::Upgrade(backend)) => {
            match upgrade::tunnel(exchange, client, backend).await {
                Ok(()) => {}
                Err(fault) => exchange.outcome.fault = Some(fault),
            }
            Next::Abort
        }
        Err(fault) => {
            let may_go_on = !drain.is_draining() && fault.kind != FaultKind::Panic;
            answer_fault(exchange, client, fault, may_go_on).await
        }
    }
}

async fn answer_fault(exchange: &mut Exchange, client: &mut Http1Client, fault: Fault, may_go_on: bool) -> Next {
    // A response may be half queued (informational heads); it is sound up to here.
    match Reply::of_fault(fault, exchange) {
        Some(reply) => send_reply(exchange, client, reply, may_go_on).await,
        None => Next::Abort,
    }
}

async fn answer_reply(exchange: &mut Exchange, client: &mut Http1Client, reply: Reply, drain: &Drain) -> Next {
    exchange.outcome.status = reply.status;
    send_reply(exchange, client, reply, !drain.is_draining()).await
}

async fn send_reply(exchange: &mut Exchange, client: &mut Http1Client, reply: Reply, may_go_on: bool) -> Next {
    skip_body(client);
    let is_persistent = may_go_on && client.framing.is_persistent && client.decoder.is_done();
    exchange.conclude_with(&reply);
    reply.encode_http1(exchange, client, is_persistent);
    match client.flush(exchange).await {
        Ok(()) if is_persistent => Next::Request,
        Ok(()) => Next::Close,
        Err(fault) => {
            if exchange.outcome.fault.is_none() {
                exchange.outcome.fault = Some(fault);
            }
            Next::Abort
        }
    }
}

/// Takes what is at hand of a body that nobody wants, so that a short one does not cost the connection.
fn skip_body(client: &mut Http1Client) {
    while let Ok(Some(part)) = client.decoder.decode(&mut client.read, client.is_eof) {
        match part {
            BodyPart::Data(bytes) => client.body_bytes += bytes.len() as u64,
            BodyPart::Trailers(_) | BodyPart::End => break,
        }
    }
}

/// Closes so that the client gets to read the response: closing a socket with unread data resets it, and a reset
/// overtakes what was sent.
async fn close(exchange: &mut Exchange, client: &mut Http1Client) {
    exchange.timer.arm(GOODBYE);
    let mut is_shut = false;
    let mut left = GOODBYE_BYTES;
    poll_fn(|cx| {
        if !is_shut {
            is_shut = Pin::new(&mut client.stream).poll_shutdown(cx).is_ready();
        }
        loop {
            client.read.clear();
            match poll_fill(&mut client.stream, &mut client.read, cx) {
                Poll::Ready(Ok(1..)) if left > 0 => left = left.saturating_sub(client.read.len()),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return exchange.timer.poll(cx),
            }
        }
    })
    .await;
}

/// After this long without a request a connection takes the configuration in force, and again after each longer pause.
const REST: std::time::Duration = std::time::Duration::from_secs(2);
const LONG_REST: std::time::Duration = std::time::Duration::from_secs(15);
/// How long a closed connection is listened to.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(2);
/// How much of it is read meanwhile.
const GOODBYE_BYTES: usize = 4 * 1024 * 1024;
