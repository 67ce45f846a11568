//! One request from head to answer: the steps, in order, for clients of either protocol.
//!
//! [`process`] is the table of contents of the gateway. It returns what is to be sent; sending it is the business of
//! the client's protocol (`connection`, `http2`), and recording it that of `record`.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::backend::Backend;
use super::fault::{Fault, FaultKind};
use super::forward;
use super::identify::{ClientFacts, RequestId};
use super::inspect::{Held, Inspection};
use super::relay::Client;
use super::reply::Reply;
use super::wire::Timer;
use super::{Snapshot, Worker};
use crate::config::model::{Policy, Route, RouteAction, Site};
use crate::http::{Known, RequestHead, Version, path_of, split_host_port};
use crate::route::{RedirectParts, redirect_location};
use crate::runtime::clock;
use crate::telemetry::Action;
use crate::upstream::Lease;
use crate::waf::{Interruption, Verdict};

/// One request and its response: what came, where it goes, what became of it. An HTTP/1 connection uses the same one
/// for request after request.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) worker: Arc<Worker>,
    pub(super) client: Arc<ClientFacts>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) timer: Timer,
    pub(super) head: RequestHead,
    pub(super) id: RequestId,
    pub(super) started: Instant,
    /// When the clock was last read. Reading it costs as much as a hundred instructions; who has waited for something or
    /// done much since then reads it again.
    pub(super) now: Instant,
    pub(super) started_unix: Duration,
    pub(super) place: Place,
    /// Boxed: an engine's transaction is large, and an exchange without rules should be cheap to move.
    pub(super) inspection: Option<Box<Inspection>>,
    pub(super) outcome: Outcome,
    /// Requests on this connection before this one.
    pub(super) earlier: u64,
    /// Has it begun and not been recorded?
    pub(super) is_open: bool,
}

/// Where a request belongs: indices into the snapshot's configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) site: Option<usize>,
    pub(super) route: Option<usize>,
}

/// What became of a request, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) action: Action,
    pub(super) status: u16,
    pub(super) backend_status: Option<u16>,
    pub(super) content_type: Bytes,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) connect: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    pub(super) retries: u32,
    pub(super) lease: Option<Lease>,
    pub(super) fault: Option<Fault>,
}

/// What is to be sent.
#[derive(Debug)]
pub(super) enum Answer {
    /// The gateway's own.
    Reply(Reply),
    /// The rules stopped it.
    Denied(Interruption),
    /// A backend's: its head is read, its body not yet, but for what inspection holds.
    Relay(Box<Backend>, Held),
    /// A backend switched protocols.
    Upgrade(Box<Backend>),
}

/// The steps of a request. A panic in one of them ends this request with 500, not its connection's others; what was
/// being changed when it happened is not trusted, and the connection closes.
pub(super) async fn process(exchange: &mut Exchange, client: &mut Client<'_>) -> Result<Answer, Fault> {
    // Pinned where it is made: it is a kilobyte and more.
    let steps = pin!(steps(exchange, client));
    match contained(steps).await {
        Some(answer) => answer,
        None => Err(Fault::new(FaultKind::Panic, "the gateway failed on this request")),
    }
}

/// What a future comes to; `None` if it panics. The panic itself is logged and counted by the process's hook.
async fn contained<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        poll.map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

async fn steps(exchange: &mut Exchange, client: &mut Client<'_>) -> Result<Answer, Fault> {
    exchange.locate()?;
    #[cfg(debug_assertions)]
    super::deliberate_panic(&exchange.head);
    if let Verdict::Deny(interruption) = exchange.inspect_request_head()? {
        return Ok(Answer::Denied(interruption));
    }
    client.accept_body()?;
    let held = exchange.hold_request_body(client).await?;
    if let Verdict::Deny(interruption) = exchange.finish_request_body().await? {
        return Ok(Answer::Denied(interruption));
    }
    let mut backend = match exchange.route_answer()? {
        Some(reply) => return Ok(Answer::Reply(reply)),
        None => Box::new(forward::forward(exchange, client, held).await?),
    };
    if let Verdict::Deny(interruption) = exchange.inspect_response_head(&backend.head)? {
        return Ok(Answer::Denied(interruption));
    }
    if backend.head.status == 101 {
        return Ok(Answer::Upgrade(backend));
    }
    let held = exchange.hold_response_body(client, &mut backend).await?;
    if let Verdict::Deny(interruption) = exchange.finish_response_body().await? {
        return Ok(Answer::Denied(interruption));
    }
    Ok(Answer::Relay(backend, held))
}

impl Exchange {
    pub(super) fn new(worker: Arc<Worker>, client: Arc<ClientFacts>, snapshot: Arc<Snapshot>) -> Self {
        let now = clock::now();
        Self {
            worker,
            client,
            snapshot,
            timer: Timer::new(),
            head: RequestHead::default(),
            id: RequestId::default(),
            started: now,
            now,
            started_unix: Duration::ZERO,
            place: Place::default(),
            inspection: None,
            outcome: Outcome::default(),
            earlier: 0,
            is_open: false,
        }
    }

    /// A request's first byte has arrived: takes the configuration in force, an id, and the time.
    pub(super) fn begin(&mut self, now: Instant) {
        self.take_snapshot();
        (self.started, self.now) = (now, now);
        self.started_unix = clock::unix_now();
        self.id = RequestId::new(&self.worker, self.started_unix);
        self.place = Place::default();
        self.inspection = None;
        self.outcome = Outcome::default();
        self.is_open = true;
    }

    /// Takes the configuration in force. Whoever waits long for a request does so now and then: an older one, with its
    /// rules, lives as long as somebody has it.
    pub(super) fn take_snapshot(&mut self) {
        let current = self.worker.shared.snapshot.load();
        if !Arc::ptr_eq(&current, &self.snapshot) {
            self.snapshot = Arc::clone(&current);
        }
    }

    /// Between two requests: lets go of what belongs to the last one, above all of the bytes that were read for it,
    /// which can then be read over.
    pub(super) fn rest(&mut self) {
        self.outcome = Outcome::default();
        self.head.clear();
    }

    /// Finds site and route. The policy must be known before phase 1; the route is *taken* only after inspection.
    fn locate(&mut self) -> Result<(), Fault> {
        let listener = self.snapshot.listener(self.client.listener);
        if listener.is_some_and(|listener| listener.trust_request_id)
            && let Some(id) = RequestId::came(self.head.fields.all(Known::XRequestId))
        {
            self.id = id;
        }
        let (host, _) = split_host_port(self.head.authority());
        let router = &self.snapshot.router;
        self.place.site = router.find_site_index(self.client.listener, host);
        if self.is_misdirected(host) {
            let detail = "this connection was made for another host name; ask for this one on a connection of its own";
            return Err(Fault::new(FaultKind::Misdirected, detail));
        }
        let Some(site) = self.site() else {
            return Err(Fault::new(FaultKind::NoSite, "no site of this listener has this host name"));
        };
        self.place.route = router.find_route_index(site, path_of(self.head.path_and_query()));
        self.inspection = Inspection::begin(self).map(Box::new);
        Ok(())
    }

    /// Does a client use this HTTP/2 connection for a host that it was not made for (RFC 9110 section 15.5.20)? It may
    /// do so where certificate and address are the same; where the host has another certificate here, or no site, it
    /// is to try again on a connection of its own.
    fn is_misdirected(&self, host: &[u8]) -> bool {
        let sni = self.client.sni();
        if self.head.version != Version::Http2 || sni.is_empty() || sni.as_bytes().eq_ignore_ascii_case(host) {
            return false;
        }
        let tls = self.snapshot.listeners.get(self.client.listener).and_then(Option::as_ref);
        let has_another = tls.is_some_and(|tls| !tls.is_one_certificate(sni, host));
        self.place.site.is_none() || has_another
    }

    pub(super) fn site(&self) -> Option<&Site> {
        self.snapshot.configuration.sites.get(self.place.site?)
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.site()?.routes.get(self.place.route?)
    }

    pub(super) fn policy(&self) -> Option<&Policy> {
        let id = self.route().map(|route| route.policy).or_else(|| self.site().map(|site| site.policy))?;
        self.snapshot.policy(id)
    }

    /// What the route says without asking a backend.
    fn route_answer(&mut self) -> Result<Option<Reply>, Fault> {
        let Some(route) = self.route() else {
            return Err(Fault::new(FaultKind::NoRoute, "no route of the site matches this path"));
        };
        let (action, reply) = match &route.action {
            RouteAction::Forward { .. } => return Ok(None),
            RouteAction::Redirect { status, location } => {
                let target = self.head.path_and_query();
                let path = path_of(target);
                let parts = RedirectParts {
                    scheme: self.client.scheme().as_bytes(),
                    host: split_host_port(self.head.authority()).0,
                    path,
                    query: target.get(path.len()..).unwrap_or_default(),
                };
                (Action::Redirect, Reply::redirect(*status, redirect_location(location, &parts)))
            }
            RouteAction::Respond { status, body } => (Action::Respond, Reply::text(*status, body.clone().into())),
        };
        self.outcome.action = action;
        Ok(Some(reply))
    }
}
