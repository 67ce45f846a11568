//! An exchange with a backend, in HTTP/1 or HTTP/2: the request goes out, its head comes back, then its body part by part.
//!
//! `forward` decides where to and how often; here is one attempt on one connection. The task that owns the client's side
//! drives this one too, so a body passes without a channel (but for the slot that hyper's HTTP/2 client needs).

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::channel::{ChannelBody, ChannelSender, append};
use super::fault::{Fault, FaultKind, Retry};
use super::forward::{HEAD_BYTES, Plan};
use super::inspect::Held;
use super::relay::{Client, encode_part, trailers};
use super::request::Exchange;
use super::wire::{COPY_BYTES, HIGH_WATER_BYTES, Output, poll_fill};
use crate::http::h1::{BodyDecoder, BodyPart, Framing, HeadLimits, Length, ResponseReader, encode, response_framing};
use crate::http::{Known, ResponseHead, Version, hop};
use crate::runtime::clock;
use crate::upstream::{Http1Connection, Http2Connection, IdleConnections};

/// A backend that has answered: its head, and the connection that its body comes from.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) head: ResponseHead,
    pub(super) framing: Framing,
    link: Link,
}

#[derive(Debug)]
enum Link {
    /// Boxed: it is large, and is moved from hand to hand.
    Http1(Box<Http1Link>),
    Http2(Http2Link),
}

/// An HTTP/1 exchange with a backend.
#[derive(Debug)]
pub(super) struct Http1Link {
    pub(super) connection: Http1Connection,
    pub(super) out: Output,
    reader: ResponseReader,
    decoder: BodyDecoder,
    is_eof: bool,
    upload: Upload,
    sink: Length,
}

/// An HTTP/2 exchange with a backend.
#[derive(Debug)]
struct Http2Link {
    /// Counts as a stream of its connection while it lives.
    _connection: Http2Connection,
    body: Option<Incoming>,
    upload: Option<ChannelSender>,
}

/// How far the request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// The client has more.
    Reading,
    /// Everything is queued.
    Flushing,
    /// Everything is sent.
    Done,
    /// The backend took no more. It may have answered before it stopped reading.
    Broken,
}

/// Informational responses of a backend before it must come to the point.
const INFORMATIONAL: usize = 16;
/// Bounds of a backend's head: more than any client's, for cookies and policies are long.
const HEAD: HeadLimits = HeadLimits { bytes: 256 * 1024, fields: 256 };

/// Sends a request in HTTP/1 and waits for the response's head.
pub(super) async fn http1(
    exchange: &mut Exchange,
    client: &mut Client<'_>,
    plan: &Plan,
    held: &Held,
    connection: Http1Connection,
) -> Result<Backend, Fault> {
    let mut link = Box::new(Http1Link {
        connection,
        out: Output::default(),
        reader: ResponseReader::default(),
        decoder: BodyDecoder::default(),
        is_eof: false,
        upload: if held.is_complete { Upload::Flushing } else { Upload::Reading },
        sink: plan.sink,
    });
    // Room for head and body at once: a short body goes behind the head in one piece.
    if held.bytes <= COPY_BYTES {
        link.out.tail.reserve(HEAD_BYTES + held.bytes);
    }
    plan.encode_head(exchange, &mut link.out.tail);
    for part in &held.parts {
        encode_part(&mut link.out, plan.sink, BodyPart::Data(part.clone()));
    }
    if held.is_complete {
        encode_part(&mut link.out, plan.sink, held.trailers.clone().map_or(BodyPart::End, BodyPart::Trailers));
    }
    let mut head = ResponseHead::default();
    for _ in 0..INFORMATIONAL {
        link.await_head(exchange, client, &mut head, plan.pool.settings().timeouts.response).await?;
        let is_informational = head.status < 200 && head.status != 101;
        if is_informational {
            inform(exchange, client, &head).await?;
            continue;
        }
        if head.status == 101 && !plan.is_upgrade {
            return Err(Fault::new(FaultKind::Upgrade, "the backend switched protocols without being asked"));
        }
        let is_head_request = exchange.head.method() == b"HEAD";
        let framing = response_framing(&head, is_head_request).map_err(Fault::backend_head)?;
        link.decoder = BodyDecoder::new(framing.length);
        return Ok(Backend { head, framing, link: Link::Http1(link) });
    }
    Err(Fault::new(FaultKind::BackendBroke, "the backend sent too many informational responses"))
}

/// Passes an informational response on to a client that can understand it. 100 is ours to say, and said.
async fn inform(exchange: &mut Exchange, client: &mut Client<'_>, head: &ResponseHead) -> Result<(), Fault> {
    if head.status == 100 {
        return Ok(());
    }
    let named = hop::Named::new(&head.fields);
    let passed = head.fields.iter_known();
    let passed = passed.filter(|(known, name, _)| !hop::is_hop(*known) && !named.contains(*known, name));
    match client {
        Client::Http2(client) => {
            let mut response = http::Response::new(());
            if let Ok(status) = http::StatusCode::from_u16(head.status) {
                *response.status_mut() = status;
                passed.for_each(|(_, name, value)| append(response.headers_mut(), name, value));
                client.seat.inform(response);
            }
            Ok(())
        }
        Client::Http1(client) if client.version == Version::Http11 => {
            encode::status_line(&mut client.out.tail, head.status, head.reason());
            passed.for_each(|(_, name, value)| encode::field(&mut client.out.tail, name, value));
            encode::end_of_head(&mut client.out.tail);
            client.flush(exchange).await
        }
        Client::Http1(_) => Ok(()),
    }
}

impl Http1Link {
    /// Sends the rest of the request while waiting for a response head.
    async fn await_head(
        &mut self,
        exchange: &mut Exchange,
        client: &mut Client<'_>,
        head: &mut ResponseHead,
        patience: Duration,
    ) -> Result<(), Fault> {
        let listener = exchange.snapshot.listener(exchange.client.listener);
        let body_patience = listener.map(|listener| listener.timeouts.body).unwrap_or_default();
        let mut sent_at = None;
        // Progress of the upload, to give it its full time again.
        let mut progress = None;
        poll_fn(|cx| {
            if matches!(self.upload, Upload::Reading | Upload::Flushing)
                && let Poll::Ready(Err(fault)) = self.poll_upload(client, cx)
            {
                return Poll::Ready(Err(fault));
            }
            if matches!(self.upload, Upload::Done | Upload::Broken) && sent_at.is_none() {
                let now = clock::now();
                sent_at = Some(now);
                exchange.timer.arm_from(now, patience);
            }
            if let Poll::Ready(result) = self.poll_head(cx, head) {
                if result.is_ok() {
                    let now = clock::now();
                    exchange.outcome.first_byte = Some(now.saturating_duration_since(sent_at.unwrap_or(now)));
                }
                return Poll::Ready(result);
            }
            if sent_at.is_none() {
                let now = (client.body_bytes(), self.out.len());
                if progress != Some(now) {
                    progress = Some(now);
                    exchange.timer.arm(body_patience);
                }
            }
            ready!(exchange.timer.poll(cx));
            Poll::Ready(Err(match (self.upload, self.out.len()) {
                (Upload::Reading, 0) => Fault::new(FaultKind::BodyTimeout, "the request body did not arrive in time"),
                (Upload::Reading | Upload::Flushing, _) => {
                    Fault::new(FaultKind::ResponseTimeout, "the backend did not take the request in time")
                }
                _ => Fault::new(
                    FaultKind::ResponseTimeout,
                    format!("the backend did not answer within {} s", patience.as_secs_f64()),
                ),
            }))
        })
        .await
    }

    /// Moves the request's body on. `Err` is the client's fault; a backend that takes no more makes it `Broken`.
    fn poll_upload(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            let mut is_waiting = false;
            while self.upload == Upload::Reading && self.out.len() < HIGH_WATER_BYTES {
                match client.poll_part(cx) {
                    Poll::Ready(Ok(part)) => {
                        if !matches!(part, BodyPart::Data(_)) {
                            self.upload = Upload::Flushing;
                        }
                        encode_part(&mut self.out, self.sink, part);
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => {
                        is_waiting = true;
                        break;
                    }
                }
            }
            match ready!(self.out.poll_write(&mut self.connection.stream, cx)) {
                Ok(()) if self.upload == Upload::Flushing => self.upload = Upload::Done,
                Ok(()) if is_waiting => return Poll::Pending,
                Ok(()) => continue,
                Err(_) => self.upload = Upload::Broken,
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, head: &mut ResponseHead) -> Poll<Result<(), Fault>> {
        loop {
            match self.reader.read(&mut self.connection.read_buffer, HEAD, head) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(Fault::backend_head(error))),
            }
            let is_silent = self.connection.read_buffer.is_empty();
            let fault = match ready!(poll_fill(&mut self.connection.stream, &mut self.connection.read_buffer, cx)) {
                Ok(0) => Fault::new(FaultKind::BackendClosed, "the backend closed the connection before it answered")
                    .retry(Retry::IfIdempotent),
                Ok(_) => continue,
                Err(error) => Fault::backend_io(&error),
            };
            return Poll::Ready(Err(if is_silent { fault } else { fault.retry(Retry::No) }));
        }
    }

    fn poll_part(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Poll<Result<BodyPart, Fault>> {
        if matches!(self.upload, Upload::Reading | Upload::Flushing)
            && let Poll::Ready(Err(fault)) = self.poll_upload(client, cx)
        {
            return Poll::Ready(Err(fault));
        }
        loop {
            match self.decoder.decode(&mut self.connection.read_buffer, self.is_eof) {
                Ok(Some(part)) => return Poll::Ready(Ok(part)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(Fault::backend_body(error))),
            }
            match ready!(poll_fill(&mut self.connection.stream, &mut self.connection.read_buffer, cx)) {
                Ok(0) => self.is_eof = true,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::backend_broke(error))),
            }
        }
    }
}

/// Sends a request in HTTP/2 and waits for the response's head.
pub(super) async fn http2(
    exchange: &mut Exchange,
    client: &mut Client<'_>,
    plan: &Plan,
    held: &Held,
    mut connection: Http2Connection,
) -> Result<Backend, Fault> {
    let announced = match plan.sink {
        Length::Bytes(bytes) => Some(bytes),
        _ => None,
    };
    let (body, mut upload) = ChannelBody::new(held, announced);
    let request = http2_request(exchange, plan, body)?;
    let patience = plan.pool.settings().timeouts.response;
    let listener = exchange.snapshot.listener(exchange.client.listener);
    let body_patience = listener.map(|listener| listener.timeouts.body).unwrap_or_default();
    let mut response = pin!(connection.sender.try_send_request(request));
    let mut sent_at = None;
    let mut progress = None;
    let response = poll_fn(|cx| {
        if let Poll::Ready(Err(fault)) = poll_http2_upload(&mut upload, client, cx) {
            return Poll::Ready(Err(fault));
        }
        if upload.is_none() && sent_at.is_none() {
            let now = clock::now();
            sent_at = Some(now);
            exchange.timer.arm_from(now, patience);
        }
        if let Poll::Ready(result) = response.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|mut error| {
                // hyper gives the request back when nothing of it was sent.
                let retry = if error.take_message().is_some() { Retry::Yes } else { Retry::IfIdempotent };
                let detail = format!("the backend's HTTP/2 stream broke: {}", error.error());
                Fault::new(FaultKind::BackendClosed, detail).retry(retry)
            }));
        }
        if sent_at.is_none() {
            let now = client.body_bytes();
            if progress != Some(now) {
                progress = Some(now);
                exchange.timer.arm(body_patience.max(patience));
            }
        }
        ready!(exchange.timer.poll(cx));
        let detail = format!("the backend did not answer within {} s", patience.as_secs_f64());
        Poll::Ready(Err(Fault::new(FaultKind::ResponseTimeout, detail)))
    })
    .await?;
    let now = clock::now();
    exchange.outcome.first_byte = Some(now.saturating_duration_since(sent_at.unwrap_or(now)));
    let (parts, body) = response.into_parts();
    let pairs = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let head = ResponseHead::synthesize(parts.status.as_u16(), pairs);
    let mut framing = response_framing(&head, exchange.head.method() == b"HEAD").map_err(Fault::backend_head)?;
    if framing.length == Length::UntilClose {
        framing.length = if body.is_end_stream() { Length::Bytes(0) } else { Length::Chunked };
    }
    let link = Http2Link { _connection: connection, body: Some(body), upload };
    Ok(Backend { head, framing, link: Link::Http2(link) })
}

fn http2_request(
    exchange: &Exchange,
    plan: &Plan,
    body: ChannelBody,
) -> Result<http::Request<crate::upstream::RequestBody>, Fault> {
    let untranslatable = || Fault::new(FaultKind::Untranslatable, "the request cannot be said in HTTP/2");
    let mut target = Vec::new();
    plan.target(exchange, &mut target);
    let mut uri = Vec::with_capacity(target.len() + 64);
    let scheme = if plan.pool.settings().tls.is_some() { &b"https://"[..] } else { b"http://" };
    uri.extend_from_slice(scheme);
    uri.extend_from_slice(plan.host(exchange));
    if target == b"*" {
        return Err(untranslatable());
    }
    // `http::Uri` knows fewer characters than people send; what it does not know is escaped, which means the same.
    for byte in target {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
            uri.push(byte);
        } else {
            uri.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    let uri = http::Uri::try_from(uri).map_err(|_| untranslatable())?;
    let method = http::Method::from_bytes(exchange.head.method()).map_err(|_| untranslatable())?;
    if method == http::Method::CONNECT {
        return Err(untranslatable());
    }
    let mut request = http::Request::new(body.boxed_unsync());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    let map = request.headers_mut();
    plan.fields(exchange, |name, value| append(map, name, value));
    if exchange.head.fields.has_token(Known::Te, b"trailers") {
        append(map, b"te", b"trailers");
    }
    if let Length::Bytes(bytes) = plan.sink {
        append(map, b"content-length", itoa::Buffer::new().format(bytes).as_bytes());
    }
    Ok(request)
}

/// Moves the request's body on; `None` in `upload` once the end is sent.
fn poll_http2_upload(
    upload: &mut Option<ChannelSender>,
    client: &mut Client<'_>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    while let Some(sender) = upload {
        ready!(sender.poll_ready(cx));
        let part = ready!(client.poll_part(cx))?;
        let is_last = !matches!(part, BodyPart::Data(_));
        sender.send(part);
        if is_last {
            *upload = None;
        }
    }
    Poll::Ready(Ok(()))
}

impl Http2Link {
    fn poll_part(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Poll<Result<BodyPart, Fault>> {
        if let Poll::Ready(Err(fault)) = poll_http2_upload(&mut self.upload, client, cx) {
            return Poll::Ready(Err(fault));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(BodyPart::End)) };
        match ready!(std::pin::Pin::new(body).poll_frame(cx)) {
            None => {
                self.body = None;
                Poll::Ready(Ok(BodyPart::End))
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => Poll::Ready(Ok(BodyPart::Data(bytes))),
                Err(frame) => {
                    self.body = None;
                    Poll::Ready(Ok(BodyPart::Trailers(trailers(&frame.into_trailers().unwrap_or_default()))))
                }
            },
            Some(Err(error)) => Poll::Ready(Err(Fault::backend_broke(error))),
        }
    }
}

impl Backend {
    /// The next part of the response's body; moves the rest of the request's on.
    pub(super) fn poll_part(&mut self, client: &mut Client<'_>, cx: &mut Context<'_>) -> Poll<Result<BodyPart, Fault>> {
        match &mut self.link {
            Link::Http1(link) => link.poll_part(client, cx),
            Link::Http2(link) => link.poll_part(client, cx),
        }
    }

    /// The next part of the response's body, within the read deadline.
    pub(super) async fn next_part(
        &mut self,
        exchange: &mut Exchange,
        client: &mut Client<'_>,
    ) -> Result<BodyPart, Fault> {
        exchange.timer.arm_from(exchange.now, self.read_patience(exchange));
        poll_fn(|cx| {
            if let Poll::Ready(part) = self.poll_part(client, cx) {
                return Poll::Ready(part);
            }
            ready!(exchange.timer.poll(cx));
            Poll::Ready(Err(Fault::new(FaultKind::BackendReadTimeout, "the backend's response stalled")))
        })
        .await
    }

    /// Has the whole body been taken, trailers excluded by its framing?
    pub(super) fn is_body_done(&self) -> bool {
        match &self.link {
            Link::Http1(link) => link.decoder.is_done(),
            Link::Http2(link) => link.body.as_ref().is_none_or(http_body::Body::is_end_stream),
        }
    }

    /// Could whoever got everything that has been taken tell that it is the whole? Unlike [`Backend::is_body_done`]
    /// also where only an empty last frame or trailers are still to come.
    pub(super) fn is_end_known(&self) -> bool {
        match &self.link {
            Link::Http1(link) => link.decoder.is_done(),
            Link::Http2(link) => link
                .body
                .as_ref()
                .is_none_or(|body| body.is_end_stream() || body.size_hint().exact().is_some_and(|left| left == 0)),
        }
    }

    /// Is the whole request sent?
    pub(super) fn is_upload_done(&self) -> bool {
        match &self.link {
            Link::Http1(link) => link.upload == Upload::Done,
            Link::Http2(link) => link.upload.is_none(),
        }
    }

    /// How long the backend may be silent within its response.
    pub(super) fn read_patience(&self, exchange: &Exchange) -> Duration {
        exchange.outcome.lease.as_ref().map_or(Duration::ZERO, |lease| lease.pool().settings().timeouts.read)
    }

    /// The response is complete: gives the connection back if it can carry another request.
    pub(super) fn finish(self, idle: &IdleConnections) {
        if let Link::Http1(link) = self.link
            && self.framing.is_persistent
            && link.decoder.is_done()
            && link.upload == Upload::Done
        {
            idle.put_http1(link.connection);
        }
    }

    /// The connection itself, for a tunnel.
    pub(super) fn into_http1(self) -> Option<(Http1Connection, Output)> {
        match self.link {
            Link::Http1(link) => Some((link.connection, link.out)),
            Link::Http2(_) => None,
        }
    }
}
