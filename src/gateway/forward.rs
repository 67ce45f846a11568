//! Sends a request to a backend and reads its response head: pick, connect, write, wait; and again elsewhere where
//! that is safe.
//!
//! A request is sent again only if nothing of it was sent (no connection could be made) and nothing of its body has
//! been read past what is held, or if the method is idempotent, the body is held whole and within the pool's `retry.buffer_bytes`, and not a byte of a response came. If
//! the connection had been idle, the backend most likely closed it as we wrote; if it was new, the backend died, and
//! another one is asked. The first retry of a request is free where it puts no load on anyone twice; others are bounded
//! by the pool's attempts and budget.

use std::sync::Arc;

use bytes::BytesMut;

use super::backend::{Backend, http1, http2};
use super::fault::{Fault, FaultKind, Retry, Side};
use super::grpc;
use super::identify::forwarded_for;
use super::inspect::Held;
use super::relay::Client;
use super::request::Exchange;
use crate::config::model::{HostHeader, PathMatch, RouteAction};
use crate::http::h1::{Length, encode};
use crate::http::{Known, RequestHead, Version, hop, path_of};
use crate::route::rewrite_prefix;
use crate::runtime::clock;
use crate::upstream::{BackendConnection, BackendIndex, FailureKind, IdleConnections, Pool};

/// Room for an ordinary head towards a backend.
pub(super) const HEAD_BYTES: usize = 1024;

/// What is decided once per request, before the first attempt.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) pool: Arc<Pool>,
    host: HostHeader,
    rewrite: Option<(PathMatch, String)>,
    pub(super) is_upgrade: bool,
    pub(super) sink: Length,
}

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
    pub(super) fn target(&self, exchange: &Exchange, out: &mut Vec<u8>) {
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

    pub(super) fn host<'a>(&'a self, exchange: &'a Exchange) -> &'a [u8] {
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
    pub(super) fn fields(&self, exchange: &Exchange, mut put: impl FnMut(&[u8], &[u8])) {
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

    pub(super) fn encode_head(&self, exchange: &Exchange, out: &mut BytesMut) {
        out.reserve(HEAD_BYTES);
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
    let is_http1 = matches!(connection, BackendConnection::Http1(_));
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
        Err(fault) if fault.kind.side() == Side::Upstream && !is_reused => {
            lease.inspect(|lease| lease.failed(FailureKind::Reset));
        }
        Err(_) => {}
    }
    result.map_err(|mut fault| {
        if is_http1 && fault.kind.side() == Side::Upstream && grpc::is_request(&exchange.head) {
            fault
                .detail
                .to_mut()
                .push_str("; it was asked in HTTP/1.1, and gRPC needs HTTP/2: `http2: true` in the pool");
        }
        (fault, is_reused)
    })
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
