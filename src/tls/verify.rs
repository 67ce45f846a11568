//! Why a handshake failed, in words that an operator can act on.
//!
//! `upstream::dial` and the gateway call [`TlsFailure::of`] with the error of a TLS stream; rustls's own error is found
//! inside. Four kinds are told apart because each has a different remedy: the roots, the name, the date, the rest.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use rustls_pki_types::{ServerName, UnixTime};

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFailureKind {
    /// The certificate does not lead to a trusted root.
    Chain,
    /// The certificate is for another name.
    Name,
    /// The certificate is expired or not valid yet.
    Expired,
    /// Anything else.
    Other,
}

/// A failed handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TlsFailure {
    /// What kind.
    pub kind: TlsFailureKind,
    /// What happened and what to look at.
    pub message: String,
}

impl TlsFailure {
    /// The TLS failure inside an input/output error; `None` when there is none (the peer closed, a reset).
    pub fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?;
        inner.downcast_ref::<Error>().map(Self::of_rustls)
    }

    /// Classifies rustls's error.
    pub fn of_rustls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(problem) => of_certificate(problem),
            Error::AlertReceived(alert) => of_alert(*alert),
            Error::NoCertificatesPresented => Self::other("the peer presented no certificate"),
            Error::InvalidMessage(_) => {
                Self::other(format!("the peer does not speak TLS on this port, or not correctly ({error})"))
            }
            other => Self::other(other.to_string()),
        }
    }

    fn other(message: impl Into<String>) -> Self {
        Self { kind: TlsFailureKind::Other, message: message.into() }
    }
}

fn of_certificate(problem: &CertificateError) -> TlsFailure {
    let (kind, message) = match problem {
        CertificateError::UnknownIssuer => (
            TlsFailureKind::Chain,
            "the certificate was issued by an authority that is not among the trusted roots (or the peer leaves an \
             intermediate certificate out of its chain)"
                .to_owned(),
        ),
        CertificateError::BadSignature => {
            (TlsFailureKind::Chain, "a certificate of the chain was not signed by its issuer".to_owned())
        }
        CertificateError::NotValidForName => {
            (TlsFailureKind::Name, "the certificate is not valid for the expected name".to_owned())
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            (TlsFailureKind::Name, wrong_name(expected, presented))
        }
        CertificateError::Expired => (TlsFailureKind::Expired, "the certificate has expired".to_owned()),
        CertificateError::ExpiredContext { time, not_after } => {
            (TlsFailureKind::Expired, format!("the certificate expired {} ago", span(*not_after, *time)))
        }
        CertificateError::NotValidYet => (TlsFailureKind::Expired, "the certificate is not valid yet".to_owned()),
        CertificateError::NotValidYetContext { time, not_before } => (
            TlsFailureKind::Expired,
            format!("the certificate becomes valid in {}; is a clock wrong?", span(*time, *not_before)),
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            (TlsFailureKind::Other, "the certificate is not meant for this use (extended key usage)".to_owned())
        }
        CertificateError::Revoked => (TlsFailureKind::Other, "the certificate has been revoked".to_owned()),
        other => (TlsFailureKind::Other, format!("the certificate was refused: {other}")),
    };
    TlsFailure { kind, message }
}

fn of_alert(alert: AlertDescription) -> TlsFailure {
    let name = alert.as_str().unwrap_or("unknown");
    TlsFailure::other(match alert {
        AlertDescription::CertificateRequired => {
            format!("the peer demands a client certificate and none was presented (alert {name})")
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => format!("the peer refused our certificate (alert {name})"),
        AlertDescription::HandshakeFailure => format!(
            "the peer ended the handshake (alert {name}): no common cipher suite, or it demands a client certificate"
        ),
        AlertDescription::ProtocolVersion => {
            format!("the peer speaks no TLS version that is enabled here (alert {name})")
        }
        AlertDescription::UnrecognisedName => {
            format!("the peer has no site of the name that was sent (SNI; alert {name})")
        }
        AlertDescription::NoApplicationProtocol => {
            format!("the peer speaks none of the offered protocols (ALPN; alert {name})")
        }
        _ => format!("the peer ended the connection with alert {name}"),
    })
}

fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!("the certificate names nobody (no subject alternative name); expected `{expected}`");
    }
    // rustls prints names in the debug form of webpki: DnsName("a.example").
    let shown: Vec<String> = presented.iter().take(PRESENTED_NAMES).map(|name| format!("`{}`", bare(name))).collect();
    let more = presented.len().saturating_sub(PRESENTED_NAMES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("the certificate is for {}{more}; expected `{expected}`", shown.join(", "))
}

fn bare(name: &str) -> &str {
    let inner = name.split_once("(\"").and_then(|(_, rest)| rest.strip_suffix("\")"));
    inner.or_else(|| name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'))).unwrap_or(name)
}

fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A certificate may name hundreds of sites; a message names this many.
const PRESENTED_NAMES: usize = 5;
