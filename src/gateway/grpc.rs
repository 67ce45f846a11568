//! What the gateway itself answers to gRPC clients: trailers-only, that is a head with `grpc-status` and no body.
//!
//! A gRPC client does not look at the status of HTTP: a 502 with a problem document reaches its caller as an
//! unexplained `UNKNOWN`. The codes are those of the protocol's own mapping, as Envoy answers, except where we know
//! more than the number says: a deadline that passed is `DEADLINE_EXCEEDED`, and a block `PERMISSION_DENIED`.

use crate::http::{Known, RequestHead};

/// `grpc-status` and `grpc-message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u8,
    message: Vec<u8>,
}

/// The caller may not do this.
pub(super) const PERMISSION_DENIED: u8 = 7;

/// Is it a gRPC request? gRPC-Web is not: it is for browsers, which see the status of HTTP.
pub(super) fn is_request(head: &RequestHead) -> bool {
    const KIND: &[u8] = b"application/grpc";
    let Some(content_type) = head.fields.first(Known::ContentType) else { return false };
    let Some((start, rest)) = content_type.split_at_checked(KIND.len()) else { return false };
    start.eq_ignore_ascii_case(KIND) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

impl Status {
    /// What an answer with this status of HTTP is to a gRPC client.
    pub(super) fn of(status: u16, detail: &str) -> Self {
        let code = match status {
            401 => 16,
            403 => PERMISSION_DENIED,
            404 | 421 => 12,
            408 | 504 => 4,
            413 => 8,
            429 | 502 | 503 => 14,
            400..600 => 13,
            _ => 2,
        };
        Self { code, message: escape(detail) }
    }

    /// The header fields.
    pub(super) fn fields(&self, mut put: impl FnMut(&[u8], &[u8])) {
        put(b"grpc-status", itoa::Buffer::new().format(self.code).as_bytes());
        put(b"grpc-message", &self.message);
    }
}

/// Percent-encoding as the protocol wants it: printable ASCII but `%` stays.
fn escape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::TargetForm;

    #[test]
    fn only_grpc_itself_is_answered_so() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            let fields = [(&b"content-type"[..], content_type.as_bytes())];
            let head = RequestHead::synthesize(b"POST", b"/", TargetForm::Origin, fields.into_iter());
            assert_eq!(is_request(&head), expected, "{content_type}");
        }
    }

    #[test]
    fn codes_and_messages() {
        assert_eq!(
            Status::of(502, "100 % caf\u{e9}\n"),
            Status { code: 14, message: b"100 %25 caf%C3%A9%0A".to_vec() }
        );
        assert_eq!([504, 403, 404, 500, 413].map(|status| Status::of(status, "").code), [4, 7, 12, 13, 8]);
    }
}
