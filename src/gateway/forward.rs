//! Sends a request to a backend and reads its response head: pick, connect, write, wait; and again elsewhere where
//! that is safe.
//!
//! A request is sent again only if nothing of it was sent (no connection could be made) and nothing of its body has
//! been read past what is held, or if the method is idempotent, the body is held whole and within the pool's `retry.buffer_bytes`, and not a byte of a response came. If
//! the connection had been idle, the backend most likely closed it as we wrote; if it was new, the backend died, and
//! another one is asked. The first retry of a request is free where it puts no load on anyone twice; others are bounded
//! by the pool's attempts and budget.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::channel::{ChannelBody, ChannelSender, append};
use super::fault::{Fault, FaultKind, Retry};
use super::identify::forwarded_for;
use super::inspect::Held;
use super::relay::{Client, encode_part, trailers};
use super::request::Exchange;
use super::wire::{HIGH_WATER_BYTES, Output, poll_fill};
use crate::config::model::{HostHeader, PathMatch, RouteAction};
use crate::http::h1::{BodyDecoder, BodyPart, Framing, HeadLimits, Length, ResponseReader, encode, response_framing};
use crate::http::{Known, RequestHead, ResponseHead, Version, hop, path_of};
use crate::route::rewrite_prefix;
use crate::runtime::clock;
use crate::upstream::{
    BackendConnection, BackendIndex, FailureKind, Http1Connection, Http2Connection, IdleConnections, Pool,
};

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

/// What is decided once per request, before the first attempt.
#[derive(Debug)]
struct Plan {
    pool: Arc<Pool>,
    host: HostHeader,
    rewrite: Option<(PathMatch, String)>,
    is_upgrade: bool,
    sink: Length,
}

/// Informational responses of a backend before it must come to the point.
const INFORMATIONAL: usize = 16;
/// Bounds of a backend's head: more than any client's, for cookies and policies are long.
const HEAD: HeadLimits = HeadLimits { bytes: 256 * 1024, fields: 256 };

/// Forwards a request and returns the backend's answer.
pub(super) async fn forward(exchange: &mut Exchange, client: &mut Client<'_>, held: Held) -> Result<Backend, Fault> {
    let plan = Plan::new(exchange, client, &held)?;
    let mut tried: Vec<BackendIndex> = Vec::new();
    let mut permits = Vec::new();
    loop {
        let picked = plan.pool.pick(exchange.worker.random(), &tried);
        let lease = match (picked, exchange.outcome.fault.take()) {
            (Ok(lease), _) => lease,
            // The failure that sent us looking says more than that there is no other backend.
            (Err(_), Some(fault)) => return Err(fault),
            (Err(cause), None) => return Err(Fault::no_backend(&cause)),
        };
        let index = lease.index();
        exchange.outcome.lease = Some(lease);
        let before = (client.body_bytes(), client.is_body_done());
        let (fault, is_reused) = match attempt(exchange, client, &plan, &held).await {
            Ok(backend) => return Ok(backend),
            Err(failed) => failed,
        };
        // What an attempt took from the client is gone with it: another would send a body with a hole.
        let is_whole = before == (client.body_bytes(), client.is_body_done());
        let has_others = plan.pool.backends().iter().filter(|backend| backend.is_available()).count() > tried.len() + 1;
        let is_safe = match fault.retry {
            Retry::Yes => true,
            // On a new connection it was the backend that died: only another one can help.
            Retry::IfIdempotent => {
                let is_held = held.is_complete && held.bytes <= plan.pool.settings().retry.buffer_bytes;
                is_idempotent(&exchange.head) && is_held && (is_reused || has_others)
            }
            Retry::No => false,
        };
        let retries = exchange.outcome.retries;
        let is_free = retries == 0 && (is_reused || fault.retry == Retry::Yes);
        let is_affordable = is_free
            || (retries < plan.pool.settings().retry.attempts
                && plan.pool.try_retry().map(|permit| permits.push(permit)).is_some());
        if !is_safe || !is_whole || !is_affordable {
            return Err(fault);
        }
        exchange.outcome.retries += 1;
        exchange.outcome.fault = Some(fault);
        // A lone backend that closed an idle connection gets a second chance on a new one.
        if !is_reused || has_others {
            tried.push(index);
        }
    }
}

/// May it be sent twice (RFC 9110 section 9.2.2)?
pub(super) fn is_idempotent(head: &RequestHead) -> bool {
    matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE" | b"TRACE")
}

impl Plan {
    fn new(exchange: &Exchange, client: &Client<'_>, held: &Held) -> Result<Self, Fault> {
        let Some(RouteAction::Forward { pool, host, rewrite_prefix }) = exchange.route().map(|route| &route.action)
        else {
            return Err(Fault::new(FaultKind::NoRoute, "no route of the site matches this path"));
        };
        let path = exchange.route().map(|route| route.path.clone());
        let head = &exchange.head;
        let is_upgrade = head.version == Version::Http11
            && head.fields.has_token(Known::Connection, b"upgrade")
            && head.fields.first(Known::Upgrade).is_some()
            && client.body_length() == Length::None;
        let sink = match client.body_length() {
            // The end is known and nothing follows it: a length is simpler for everyone than chunks.
            Length::Chunked if held.is_complete && held.trailers.is_none() => Length::Bytes(held.bytes as u64),
            length => length,
        };
        Ok(Self {
            pool: Arc::clone(exchange.snapshot.upstreams.pool(*pool)),
            host: host.clone(),
            rewrite: path.zip(rewrite_prefix.clone()),
            is_upgrade,
            sink,
        })
    }

    /// Path and query as the backend gets them.
    fn target(&self, exchange: &Exchange, out: &mut Vec<u8>) {
        let target = exchange.head.path_and_query();
        match &self.rewrite {
            Some((matched, replacement)) if target != b"*" => {
                let path = path_of(target);
                rewrite_prefix(path, matched, replacement, out);
                out.extend_from_slice(target.get(path.len()..).unwrap_or_default());
            }
            _ => out.extend_from_slice(target),
        }
    }

    fn host<'a>(&'a self, exchange: &'a Exchange) -> &'a [u8] {
        let backend = || exchange.outcome.lease.as_ref().map(|lease| lease.backend_name().as_bytes());
        match &self.host {
            HostHeader::Literal(host) => host.as_bytes(),
            HostHeader::Backend => backend().unwrap_or_default(),
            HostHeader::Preserve => match exchange.head.authority() {
                // HTTP/1.0 may come without one; HTTP/1.1 must not go without.
                b"" => backend().unwrap_or_default(),
                host => host,
            },
        }
    }

    /// Every header field for the backend but those that frame the body.
    fn fields(&self, exchange: &Exchange, mut put: impl FnMut(&[u8], &[u8])) {
        let fields = &exchange.head.fields;
        let named = hop::Named::new(fields);
        for (known, name, value) in fields.iter_known() {
            let is_ours = matches!(
                known,
                Known::Host
                    | Known::Expect
                    | Known::XRequestId
                    | Known::XForwardedFor
                    | Known::XForwardedHost
                    | Known::XForwardedPort
                    | Known::XForwardedProto
            );
            if !is_ours && !hop::is_hop(known) && !named.contains(known, name) {
                put(name, value);
            }
        }
        let client = &exchange.client;
        put(b"x-request-id", exchange.id.as_bytes());
        if fields.first(Known::XForwardedFor).is_some() {
            let mut value = Vec::new();
            forwarded_for(fields.all(Known::XForwardedFor), client, &mut value);
            put(b"x-forwarded-for", &value);
        } else {
            put(b"x-forwarded-for", client.peer_text.as_bytes());
        }
        put(b"x-forwarded-proto", client.scheme().as_bytes());
        put(b"x-forwarded-host", exchange.head.authority());
        put(b"x-forwarded-port", client.port_text.as_bytes());
    }

    fn encode_head(&self, exchange: &Exchange, out: &mut BytesMut) {
        out.reserve(1024);
        let head = &exchange.head;
        if self.rewrite.is_some() {
            let mut target = Vec::new();
            self.target(exchange, &mut target);
            encode::request_line(out, head.method(), &target);
        } else {
            encode::request_line(out, head.method(), head.path_and_query());
        }
        encode::field(out, b"host", self.host(exchange));
        self.fields(exchange, |name, value| encode::field(out, name, value));
        encode::length(out, self.sink);
        if self.is_upgrade {
            encode::field(out, b"connection", b"upgrade");
            encode::field(out, b"upgrade", head.fields.first(Known::Upgrade).unwrap_or_default());
        }
        encode::end_of_head(out);
    }
}

/// One attempt. A failure comes with: had the connection carried a request before?
async fn attempt(
    exchange: &mut Exchange,
    client: &mut Client<'_>,
    plan: &Plan,
    held: &Held,
) -> Result<Backend, (Fault, bool)> {
    let connection = connect(exchange, plan).await.map_err(|fault| (fault, false))?;
    let is_reused = connection.is_reused();
    exchange.outcome.connect = connection.connect_duration();
    let result = match connection {
        BackendConnection::Http1(connection) => http1(exchange, client, plan, held, connection).await,
        BackendConnection::Http2(connection) => Box::pin(http2(exchange, client, plan, held, connection)).await,
    };
    let lease = exchange.outcome.lease.as_ref();
    match &result {
        Ok(backend) => {
            exchange.outcome.backend_status = Some(backend.head.status);
            match backend.head.status {
                status @ 502..=504 => lease.inspect(|lease| lease.failed(FailureKind::Status(status))),
                _ => lease.inspect(|lease| lease.succeeded()),
            };
        }
        Err(Fault { kind: FaultKind::ResponseTimeout, .. }) => {
            lease.inspect(|lease| lease.failed(FailureKind::Timeout));
        }
        // A kept connection that turns out closed says nothing of its backend.
        Err(fault) if fault.kind.side() == super::fault::Side::Upstream && !is_reused => {
            lease.inspect(|lease| lease.failed(FailureKind::Reset));
        }
        Err(_) => {}
    }
    result.map_err(|fault| (fault, is_reused))
}

async fn connect(exchange: &Exchange, plan: &Plan) -> Result<BackendConnection, Fault> {
    let Some(lease) = &exchange.outcome.lease else {
        return Err(Fault::new(FaultKind::NoBackend, "no backend was picked"));
    };
    let idle: &IdleConnections = &exchange.worker.idle;
    let is_retry = exchange.outcome.retries > 0;
    if !is_retry
        && !plan.is_upgrade
        && let Some(connection) = plan.pool.idle_connection(idle, lease)
    {
        return Ok(connection);
    }
    let deadline = (clock::now() + plan.pool.settings().timeouts.connect).into();
    let connected = if plan.is_upgrade {
        plan.pool.http1_connection(idle, lease, deadline).await
    } else {
        // A retry after a dead connection must not meet another of the same age.
        plan.pool.fresh_connection(idle, lease, deadline).await
    };
    connected.map_err(|failure| {
        exchange.snapshot.handles.pool(pool_id(exchange)).connect_failed(failure.layer.name());
        Fault::connect(lease.backend_name(), &failure)
    })
}

fn pool_id(exchange: &Exchange) -> crate::config::model::PoolId {
    match exchange.route().map(|route| &route.action) {
        Some(RouteAction::Forward { pool, .. }) => *pool,
        _ => crate::config::model::PoolId(u16::MAX),
    }
}

async fn http1(
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

async fn http2(
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
        exchange.timer.arm(self.read_patience(exchange));
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
