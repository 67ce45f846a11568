//! Which header lines end at this hop.
//!
//! Hop-by-hop fields and those that Connection names are removed in both directions; framing, Host and the fields
//! that the gateway sets itself are written anew. A client must not be able to make us drop what a backend trusts, so
//! what we add is added after the removal.

use super::Known;
use super::head::{Fields, tokens};

/// Is this field for this hop only (or rewritten by us), whatever Connection says?
#[must_use]
pub fn is_hop(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Trailer
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::Http2Settings
            | Known::ContentLength
            | Known::FramingLookalike
    )
}

/// The names that a message's Connection header lists beyond the usual ones. Empty nearly always: then nothing is
/// compared.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    fields: &'a Fields,
    is_empty: bool,
}

impl<'a> Named<'a> {
    /// Looks once at the Connection lines.
    #[must_use]
    pub fn new(fields: &'a Fields) -> Self {
        let is_empty = fields.all(Known::Connection).flat_map(tokens).all(is_option);
        Self { fields, is_empty }
    }

    /// Is this field named by Connection? Host is never dropped, and neither is what describes the body.
    #[must_use]
    pub fn contains(&self, known: Known, name: &[u8]) -> bool {
        !self.is_empty
            && !matches!(known, Known::Host | Known::ContentType | Known::ContentEncoding)
            && self.fields.has_token(Known::Connection, name)
    }
}

fn is_option(token: &[u8]) -> bool {
    [&b"close"[..], b"keep-alive", b"upgrade", b"te"].iter().any(|option| token.eq_ignore_ascii_case(option))
}

/// May this field stand in a trailer section that we forward?
#[must_use]
pub fn is_allowed_in_trailers(known: Known) -> bool {
    !is_hop(known)
        && !matches!(
            known,
            Known::Host
                | Known::ContentType
                | Known::ContentEncoding
                | Known::Expect
                | Known::XRequestId
                | Known::Forwarded
                | Known::XForwardedFor
                | Known::XForwardedHost
                | Known::XForwardedPort
                | Known::XForwardedProto
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_names_fields_but_never_host() {
        let fields = Fields::from_pairs([(&b"Connection"[..], &b"close, X-Secret, host"[..])].into_iter());
        let named = Named::new(&fields);
        assert!(named.contains(Known::Other, b"x-secret"));
        assert!(!named.contains(Known::Host, b"Host"));
        assert!(!named.contains(Known::Other, b"x-other"));
    }
}
