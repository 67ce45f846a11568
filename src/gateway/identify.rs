//! Who is asking: the facts of a connection, the id of a request, and what backends are told about both.
//!
//! Request ids are our own: one that a client sends is not trusted to be unique or harmless, and is replaced on the
//! way to the backend and in the response, unless the listener's `trust_request_id` says that what is in front of it
//! sets them; even then only one of harmless characters is taken. `X-Forwarded-For` keeps what the client sent and appends the address that
//! we saw, so its last member is always true; `X-Forwarded-Proto`, `-Host` and `-Port` are replaced. Hop-by-hop fields
//! that a client sends end here (`http::hop`), before these are added.

use std::net::SocketAddr;

use rustls::{ProtocolVersion, ServerConnection};

use super::Worker;
use crate::certificate::Leaf;
use crate::limits::REQUEST_ID_BYTES;
use crate::telemetry::{ConnectionText, TlsRecord};

/// What is known of a client's connection before its first request.
#[derive(Debug)]
pub(super) struct ClientFacts {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// The peer's address without port, as text.
    pub(super) peer_text: String,
    /// Our port, as text.
    pub(super) port_text: String,
    /// Index of the listener.
    pub(super) listener: usize,
    pub(super) tls: Option<TlsFacts>,
    /// What log lines say of all this.
    pub(super) text: ConnectionText,
}

/// TLS towards the client.
#[derive(Debug)]
pub(super) struct TlsFacts {
    version: &'static str,
    cipher: &'static str,
    sni: String,
    client_subject: String,
}

impl ClientFacts {
    pub(super) fn new(peer: SocketAddr, local: SocketAddr, listener: usize, tls: Option<TlsFacts>) -> Self {
        let peer_text = peer.ip().to_canonical().to_string();
        let text = ConnectionText::new(peer, tls.as_ref().map(TlsFacts::record).as_ref());
        Self { peer, local, peer_text, port_text: local.port().to_string(), listener, tls, text }
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The name that the client asked for in its handshake; empty without one.
    pub(super) fn sni(&self) -> &str {
        self.tls.as_ref().map_or("", |tls| &tls.sni)
    }
}

impl TlsFacts {
    /// Reads them off a session once the handshake is complete.
    pub(super) fn of(session: &ServerConnection) -> Self {
        let subject = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|leaf| Leaf::parse(leaf))
            .map(|leaf| leaf.subject)
            .unwrap_or_default();
        Self {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            cipher: session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown"),
            sni: session.server_name().unwrap_or_default().to_owned(),
            client_subject: subject,
        }
    }

    fn record(&self) -> TlsRecord<'_> {
        TlsRecord { version: self.version, cipher: self.cipher, sni: &self.sni, client_subject: &self.client_subject }
    }
}

/// The id of one request: 48 bits of milliseconds and 80 random ones, so that ids sort by time; or the one it came with.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId {
    bytes: [u8; REQUEST_ID_BYTES],
    length: usize,
}

/// Digits of an id of our own.
const OWN_BYTES: usize = 32;

impl Default for RequestId {
    fn default() -> Self {
        Self { bytes: [b'0'; REQUEST_ID_BYTES], length: OWN_BYTES }
    }
}

impl RequestId {
    pub(super) fn new(worker: &Worker, unix_now: std::time::Duration) -> Self {
        let milliseconds = u64::try_from(unix_now.as_millis()).unwrap_or_default();
        let (first, second) = (worker.random(), worker.random());
        let mut id = Self::default();
        if let Some((high, low)) = id.bytes.first_chunk_mut::<OWN_BYTES>().map(|own| own.split_at_mut(16)) {
            hexadecimal((milliseconds << 16) | (first & 0xFFFF), high);
            hexadecimal(second, low);
        }
        id
    }

    /// The id that a request came with, if it is one that can be put anywhere as it is: in a header, a log line, a page.
    pub(super) fn came<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let value = values.next()?;
        let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if values.next().is_some() || value.is_empty() || !value.iter().all(is_harmless) {
            return None;
        }
        let mut id = Self { length: value.len(), ..Self::default() };
        id.bytes.get_mut(..value.len())?.copy_from_slice(value);
        Some(id)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn hexadecimal(number: u64, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (at, slot) in out.iter_mut().enumerate() {
        let nibble = (number >> (60 - 4 * at)) & 15;
        *slot = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
    }
}

/// The value of X-Forwarded-For: what came, and the client's address.
pub(super) fn forwarded_for<'a>(came: impl Iterator<Item = &'a [u8]>, client: &ClientFacts, out: &mut Vec<u8>) {
    out.clear();
    for value in came.filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(client.peer_text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_are_taken() {
        let came = |values: &[&str]| RequestId::came(values.iter().map(|value| value.as_bytes()));
        let longest = "a".repeat(REQUEST_ID_BYTES);
        for good in ["7f3c", "0190b1c4-7a5e-7c3e-9d3b-1f2e3d4c5b6a", "A_b.c-9", &longest] {
            assert_eq!(came(&[good]).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(REQUEST_ID_BYTES + 1);
        for bad in ["", " ", "a b", "a\"b", "a<b", "a\\b", "\u{e9}", "a,b", &too_long] {
            assert!(came(&[bad]).is_none(), "{bad}");
        }
        assert!(came(&[]).is_none() && came(&["a", "a"]).is_none());
    }
}
