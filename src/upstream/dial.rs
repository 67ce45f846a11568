//! Makes one connection to one backend: name, TCP, TLS; and says which of them failed.
//!
//! `pool` calls it when nothing idle is at hand, `probe` for every probe, both through the same [`Target`], so that a
//! probe can never be green over settings that the traffic does not use.
//!
//! Several addresses are tried with a head start of [`HEAD_START`] each (RFC 8305 in its simplest form); the first
//! that connects wins and the others are dropped.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::TlsConnector;

use super::exchange::BackendStream;
use crate::dns::{Host, Resolver};
use crate::tls::client::ClientTls;
use crate::tls::socket::Socket;
use crate::tls::verify::{TlsFailure, TlsFailureKind};

/// The layer at which a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectLayer {
    /// The name has no address.
    Dns,
    /// Nothing listens on the port.
    Refused,
    /// No way to the address.
    Unreachable,
    /// The certificate does not lead to one of the pool's roots.
    TlsChain,
    /// The certificate is for another name.
    TlsName,
    /// The certificate is expired or not valid yet.
    TlsExpired,
    /// Anything else in the handshake: a refused client certificate, no common version.
    TlsOther,
    /// Not within the deadline.
    Timeout,
    /// The backend closed or reset the connection.
    Closed,
}

impl ConnectLayer {
    /// As in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TlsChain => "tls_chain",
            Self::TlsName => "tls_name",
            Self::TlsExpired => "tls_expired",
            Self::TlsOther => "tls_other",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
        }
    }

    /// All of them, for metrics that list every label.
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Refused,
        Self::Unreachable,
        Self::TlsChain,
        Self::TlsName,
        Self::TlsExpired,
        Self::TlsOther,
        Self::Timeout,
        Self::Closed,
    ];
}

/// A connection that could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", layer.name())]
pub struct ConnectFailure {
    /// Where it failed.
    pub layer: ConnectLayer,
    /// What happened, naming the address, the expected and the presented names, the limits.
    pub message: String,
}

impl ConnectFailure {
    pub(super) fn new(layer: ConnectLayer, message: impl Into<String>) -> Self {
        Self { layer, message: message.into() }
    }

    /// Names an error of reading or writing an established connection; in TLS 1.3 a backend that refuses our client
    /// certificate says so only here, after our side of the handshake is complete.
    pub fn of_stream(error: &io::Error) -> Self {
        if let Some(failure) = TlsFailure::of(error) {
            return failure.into();
        }
        let layer = match error.kind() {
            io::ErrorKind::TimedOut => ConnectLayer::Timeout,
            _ => ConnectLayer::Closed,
        };
        let message = error.to_string();
        // rustls has a link to its manual behind what happened.
        Self::new(layer, message.split(": https://").next().unwrap_or_default())
    }
}

impl From<TlsFailure> for ConnectFailure {
    fn from(failure: TlsFailure) -> Self {
        let layer = match failure.kind {
            TlsFailureKind::Chain => ConnectLayer::TlsChain,
            TlsFailureKind::Name => ConnectLayer::TlsName,
            TlsFailureKind::Expired => ConnectLayer::TlsExpired,
            TlsFailureKind::Other => ConnectLayer::TlsOther,
        };
        Self::new(layer, failure.message)
    }
}

/// Everything needed to connect to one backend.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Name or address.
    pub(super) host: Host,
    /// Port.
    pub(super) port: u16,
    /// Re-encryption and the name to verify.
    pub(super) tls: Option<(Arc<ClientTls>, ServerName<'static>)>,
    /// May HTTP/2 be spoken?
    pub(super) http2: bool,
}

/// A connection that has just been made.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) stream: BackendStream,
    pub(super) peer: SocketAddr,
    pub(super) is_http2: bool,
    pub(super) took: Duration,
}

impl Target {
    /// Connects. `offer_http2` takes HTTP/2 out of the offer for exchanges that cannot use it (upgrades).
    pub(super) async fn dial(
        &self,
        resolver: &Resolver,
        offer_http2: bool,
        deadline: Instant,
    ) -> Result<Dialed, ConnectFailure> {
        let start = Instant::now();
        let late = |what: String| {
            let waited = deadline.saturating_duration_since(start);
            ConnectFailure::new(ConnectLayer::Timeout, format!("{what} within {}", Seconds(waited)))
        };
        let addresses = match timeout_at(deadline, resolver.addresses(&self.host, self.port)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(failure)) => return Err(ConnectFailure::new(ConnectLayer::Dns, failure.to_string())),
            Err(_) => return Err(late(format!("no address for `{}`", self.host))),
        };
        let (tcp, peer) = match timeout_at(deadline, connect(&addresses)).await {
            Ok(connected) => connected?,
            Err(_) => return Err(late(format!("no TCP connection with {self}"))),
        };
        let offer_http2 = offer_http2 && self.http2;
        let Some((tls, name)) = &self.tls else {
            let stream = BackendStream::Plain(tcp);
            return Ok(Dialed { stream, peer, is_http2: offer_http2, took: start.elapsed() });
        };
        let connector = TlsConnector::from(Arc::clone(tls.config(offer_http2)));
        let handshake = Box::pin(connector.connect(name.clone(), Socket::new(tcp)));
        match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok(Dialed { stream: BackendStream::Tls(Box::new(stream)), peer, is_http2, took: start.elapsed() })
            }
            Ok(Err(error)) => Err(match TlsFailure::of(&error) {
                Some(failure) => failure.into(),
                None => ConnectFailure::new(
                    ConnectLayer::Closed,
                    format!("{peer} closed the connection during the TLS handshake ({error})"),
                ),
            }),
            Err(_) => Err(late(format!("no TLS handshake with {peer}"))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

type Attempt<'a> = Pin<Box<dyn Future<Output = Result<(TcpStream, SocketAddr), ConnectFailure>> + Send + 'a>>;

/// The first address that connects.
async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), ConnectFailure> {
    if let [address] = addresses {
        return connect_one(*address).await;
    }
    let mut waiting = addresses.iter().take(ADDRESSES);
    let mut running: Vec<Attempt<'_>> = Vec::new();
    let mut failures: Vec<ConnectFailure> = Vec::new();
    while let Some(address) = waiting.next() {
        running.push(Box::pin(connect_one(*address)));
        let head_start = sleep_until(Instant::now() + HEAD_START);
        tokio::pin!(head_start);
        let is_last = waiting.len() == 0;
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(winner) = poll_attempts(&mut running, &mut failures, cx) {
                return Poll::Ready(winner);
            }
            if running.is_empty() {
                return Poll::Ready(None);
            }
            if is_last {
                return Poll::Pending;
            }
            head_start.as_mut().poll(cx).map(|()| None)
        })
        .await;
        if let Some(winner) = outcome {
            return Ok(winner);
        }
    }
    Err(merge(failures))
}

fn poll_attempts(
    running: &mut Vec<Attempt<'_>>,
    failures: &mut Vec<ConnectFailure>,
    cx: &mut std::task::Context<'_>,
) -> Poll<Option<(TcpStream, SocketAddr)>> {
    let mut winner = None;
    running.retain_mut(|attempt| match attempt.as_mut().poll(cx) {
        Poll::Pending => true,
        Poll::Ready(Ok(connected)) => {
            winner.get_or_insert(connected);
            false
        }
        Poll::Ready(Err(failure)) => {
            failures.push(failure);
            false
        }
    });
    if winner.is_some() { Poll::Ready(winner) } else { Poll::Pending }
}

fn merge(failures: Vec<ConnectFailure>) -> ConnectFailure {
    let layer = failures.first().map_or(ConnectLayer::Dns, |failure| failure.layer);
    let mut messages: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
    messages.dedup();
    let message = if messages.is_empty() { "the name has no address".to_owned() } else { messages.join("; ") };
    ConnectFailure::new(layer, message)
}

async fn connect_one(address: SocketAddr) -> Result<(TcpStream, SocketAddr), ConnectFailure> {
    let stream = TcpStream::connect(address).await.map_err(|error| of_connect(address, &error))?;
    // A socket without these still works; only dead peers are noticed later.
    if stream.set_nodelay(true).is_ok() {
        let socket = SockRef::from(&stream);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
        drop(socket.set_tcp_keepalive(&keepalive));
        #[cfg(target_os = "linux")]
        drop(socket.set_tcp_user_timeout(Some(USER_TIMEOUT)));
    }
    Ok((stream, address))
}

fn of_connect(address: SocketAddr, error: &io::Error) -> ConnectFailure {
    let (layer, what) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (ConnectLayer::Refused, "nothing listens on"),
        io::ErrorKind::TimedOut => (ConnectLayer::Timeout, "no answer from"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            (ConnectLayer::Closed, "the connection was reset by")
        }
        _ => (ConnectLayer::Unreachable, "no way to"),
    };
    ConnectFailure::new(layer, format!("{what} {address} ({error})"))
}

/// Prints a duration the way messages want it: `5 s`, `250 ms`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded: a deadline computed a moment after its start is a little short of what was configured.
        let milliseconds = (self.0.as_micros() + 500) / 1000;
        if milliseconds.is_multiple_of(1000) {
            write!(f, "{} s", milliseconds / 1000)
        } else {
            write!(f, "{milliseconds} ms")
        }
    }
}

/// How long an address has before the next is tried beside it (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses tried of one name.
const ADDRESSES: usize = 8;

/// Silence after which the kernel asks whether the backend is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Unacknowledged data for this long ends the connection: without it a backend that vanished holds a request for the
/// kernel's fifteen minutes.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);
