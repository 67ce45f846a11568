//! What can go wrong on the path, as one type: what, on which side, and whether trying again is safe.
//!
//! Every step returns a [`Fault`]; only `reply` turns one into a status, and only `record` into a log line. A block by
//! the rules is not a fault.

use std::borrow::Cow;
use std::io;

use crate::http::{BodyError, HeadError};
use crate::upstream::{ConnectFailure, ConnectLayer, NoBackend};

/// Something went wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) retry: Retry,
    /// What happened, for a person.
    pub(super) detail: Cow<'static, str>,
}

/// Whose fault, for logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
    Gateway,
}

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// May the request be sent again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// No.
    No,
    /// Yes: nothing was sent.
    Yes,
    /// If the method is idempotent: the backend may have closed an idle connection meanwhile, or died.
    IfIdempotent,
}

/// What went wrong. Names are labels of a metric: words of the code only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// The request head was refused.
    Head(HeadError),
    /// The request body was refused.
    Body(BodyError),
    /// The head did not arrive in time.
    HeadTimeout,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is longer than the listener allows.
    BodyTooLarge,
    /// The body is longer than the window that the policy inspects, and the policy refuses the rest uninspected.
    BodyBeyondWindow,
    /// The client closed or reset the connection.
    ClientClosed,
    /// The client did not take the response in time.
    ClientWriteTimeout,
    /// No site has this host.
    NoSite,
    /// HTTP/2 request for a host that this connection's certificate was not chosen for.
    Misdirected,
    /// The site has no route for this path.
    NoRoute,
    /// No backend can be picked.
    NoBackend,
    /// No connection to the backend.
    Connect(ConnectLayer),
    /// The backend closed or reset the connection before it answered.
    BackendClosed,
    /// The backend's head was not HTTP, or ambiguous.
    BackendHead(HeadError),
    /// The backend's body was malformed or cut off.
    BackendBody(BodyError),
    /// The backend broke the connection or stream while answering.
    BackendBroke,
    /// No response head in time.
    ResponseTimeout,
    /// The response stalled.
    BackendReadTimeout,
    /// The response body is longer than the window that the policy inspects, and the policy refuses the rest.
    ResponseBeyondWindow,
    /// The engine failed.
    Engine,
    /// The inspection of a long body did not end in time.
    InspectionTimeout,
    /// A step panicked.
    Panic,
    /// A request that cannot be said to this backend's protocol.
    Untranslatable,
    /// An upgrade that the backend answered with nonsense.
    Upgrade,
}

impl FaultKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head(_) => "request_head",
            Self::Body(_) => "request_body",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBeyondWindow => "body_beyond_window",
            Self::ClientClosed => "client_closed",
            Self::ClientWriteTimeout => "client_write_timeout",
            Self::NoSite => "no_site",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::NoBackend => "no_backend",
            Self::Connect(layer) => match layer {
                ConnectLayer::Dns => "upstream_dns",
                ConnectLayer::Refused => "upstream_refused",
                ConnectLayer::Unreachable => "upstream_unreachable",
                ConnectLayer::TlsChain => "upstream_tls_chain",
                ConnectLayer::TlsName => "upstream_tls_name",
                ConnectLayer::TlsExpired => "upstream_tls_expired",
                ConnectLayer::TlsOther => "upstream_tls_other",
                ConnectLayer::Timeout => "upstream_connect_timeout",
                ConnectLayer::Closed => "upstream_closed",
            },
            Self::BackendClosed => "upstream_closed",
            Self::BackendHead(_) => "upstream_head",
            Self::BackendBody(_) => "upstream_body",
            Self::BackendBroke => "upstream_broke",
            Self::ResponseTimeout => "upstream_response_timeout",
            Self::BackendReadTimeout => "upstream_read_timeout",
            Self::ResponseBeyondWindow => "response_beyond_window",
            Self::Engine => "engine",
            Self::InspectionTimeout => "inspection_timeout",
            Self::Panic => "panic",
            Self::Untranslatable => "untranslatable",
            Self::Upgrade => "upgrade",
        }
    }

    pub(super) fn side(self) -> Side {
        match self {
            Self::Head(_)
            | Self::Body(_)
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::BodyBeyondWindow
            | Self::ClientClosed
            | Self::ClientWriteTimeout
            | Self::NoSite
            | Self::Misdirected
            | Self::NoRoute
            | Self::Untranslatable => Side::Client,
            Self::Engine | Self::InspectionTimeout | Self::Panic => Side::Gateway,
            _ => Side::Upstream,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(super) fn new(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, retry: Retry::No, detail: detail.into() }
    }

    pub(super) fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    pub(super) fn head(error: HeadError) -> Self {
        Self::new(FaultKind::Head(error), error.to_string())
    }

    /// A body that could not be decoded: cut off means that the client went away.
    pub(super) fn body(error: BodyError) -> Self {
        let kind = if error == BodyError::Incomplete { FaultKind::ClientClosed } else { FaultKind::Body(error) };
        Self::new(kind, error.to_string())
    }

    pub(super) fn backend_head(error: HeadError) -> Self {
        Self::new(FaultKind::BackendHead(error), format!("the backend's response was refused: {error}"))
    }

    pub(super) fn backend_body(error: BodyError) -> Self {
        Self::new(FaultKind::BackendBody(error), format!("the backend's response broke off: {error}"))
    }

    /// Reading from or writing to the client failed.
    pub(super) fn client_io(error: &io::Error) -> Self {
        Self::new(FaultKind::ClientClosed, format!("the client's connection broke: {error}"))
    }

    /// Reading from or writing to a backend failed before its response began.
    pub(super) fn backend_io(error: &io::Error) -> Self {
        let failure = ConnectFailure::of_stream(error);
        let kind = match failure.layer {
            ConnectLayer::Closed | ConnectLayer::Timeout => FaultKind::BackendClosed,
            layer => FaultKind::Connect(layer),
        };
        Self::new(kind, format!("the backend's connection broke: {}", failure.message)).retry(Retry::IfIdempotent)
    }

    /// Reading from a backend failed within its response.
    pub(super) fn backend_broke(error: impl std::fmt::Display) -> Self {
        Self::new(FaultKind::BackendBroke, format!("the backend's response broke off: {error}"))
    }

    pub(super) fn no_backend(cause: &NoBackend) -> Self {
        Self::new(FaultKind::NoBackend, cause.to_string())
    }

    pub(super) fn connect(backend: &str, failure: &ConnectFailure) -> Self {
        Self::new(FaultKind::Connect(failure.layer), format!("no connection to {backend}: {failure}")).retry(Retry::Yes)
    }

    /// The answer. 499 is nginx's: nobody is there to read it, but the log needs a number.
    pub(super) fn status(&self) -> u16 {
        match self.kind {
            FaultKind::Head(error) => error.status(),
            FaultKind::Body(_) | FaultKind::Untranslatable => 400,
            FaultKind::HeadTimeout | FaultKind::BodyTimeout => 408,
            FaultKind::BodyTooLarge | FaultKind::BodyBeyondWindow => 413,
            FaultKind::ClientClosed | FaultKind::ClientWriteTimeout => 499,
            FaultKind::NoSite | FaultKind::NoRoute => 404,
            FaultKind::Misdirected => 421,
            FaultKind::Connect(ConnectLayer::Timeout) | FaultKind::ResponseTimeout => 504,
            FaultKind::Engine | FaultKind::Panic => 500,
            FaultKind::InspectionTimeout => 503,
            _ => 502,
        }
    }

    /// Is there nobody to answer, or no way to (HTTP/0.9 answers have no head)?
    pub(super) fn is_unanswerable(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::ClientClosed | FaultKind::ClientWriteTimeout | FaultKind::Head(HeadError::NoVersion)
        )
    }
}
