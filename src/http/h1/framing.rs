//! The one place that decides where a body ends. Everything that forwards a body asks here and re-encodes it, so no
//! framing field of a peer ever travels on.

use super::super::{HeadError, Known, RequestHead, ResponseHead, Version};
use super::lines::trim;

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Length {
    /// There is none.
    #[default]
    None,
    /// After so many bytes.
    Bytes(u64),
    /// With the last chunk.
    Chunked,
    /// When the peer closes (responses only).
    UntilClose,
}

/// A message's framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framing {
    /// Where the body ends.
    pub length: Length,
    /// The connection may carry another message after this one.
    pub is_persistent: bool,
}

/// Frames a request. Takes Content-Length out of a head that has Transfer-Encoding too, before rules or backends see
/// it, and has the connection closed after the response, for nobody knows which of the two the sender meant.
pub fn request_framing(head: &mut RequestHead) -> Result<Framing, HeadError> {
    let keeps = match head.version {
        Version::Http11 | Version::Http2 => !head.fields.has_token(Known::Connection, b"close"),
        Version::Http10 => head.fields.has_token(Known::Connection, b"keep-alive"),
        Version::Other => false,
    } && head.method() != b"CONNECT";
    if let Some(codings) = head.fields.first(Known::TransferEncoding) {
        if head.version == Version::Http10 {
            return Err(HeadError::TransferEncodingInHttp10);
        }
        if head.fields.all(Known::TransferEncoding).count() > 1 || !is_chunked(codings) {
            return Err(HeadError::TransferEncoding);
        }
        let is_ambiguous = head.fields.first(Known::ContentLength).is_some();
        head.fields.remove(Known::ContentLength);
        return Ok(Framing { length: Length::Chunked, is_persistent: keeps && !is_ambiguous });
    }
    let length = content_length(head.fields.all(Known::ContentLength))?;
    if length.is_some() {
        head.fields.keep_first(Known::ContentLength);
    }
    Ok(Framing { length: length.map_or(Length::None, Length::Bytes), is_persistent: keeps })
}

/// Frames a response (RFC 9112 section 6.3). CONNECT is never a tunnel here, so it has no say.
pub fn response_framing(head: &ResponseHead, is_head_request: bool) -> Result<Framing, HeadError> {
    let keeps = match head.version {
        Version::Http10 => head.fields.has_token(Known::Connection, b"keep-alive"),
        _ => !head.fields.has_token(Known::Connection, b"close"),
    };
    if is_head_request || head.status < 200 || matches!(head.status, 204 | 304) {
        return Ok(Framing { length: Length::None, is_persistent: keeps });
    }
    if let Some(codings) = head.fields.first(Known::TransferEncoding) {
        if head.version == Version::Http10
            || head.fields.all(Known::TransferEncoding).count() > 1
            || !is_chunked(codings)
        {
            return Err(HeadError::TransferEncoding);
        }
        let is_ambiguous = head.fields.first(Known::ContentLength).is_some();
        return Ok(Framing { length: Length::Chunked, is_persistent: keeps && !is_ambiguous });
    }
    Ok(match content_length(head.fields.all(Known::ContentLength))? {
        Some(bytes) => Framing { length: Length::Bytes(bytes), is_persistent: keeps },
        None => Framing { length: Length::UntilClose, is_persistent: false },
    })
}

fn is_chunked(value: &[u8]) -> bool {
    trim(value).eq_ignore_ascii_case(b"chunked")
}

/// The one length that all values agree on.
fn content_length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, HeadError> {
    let mut agreed = None;
    for value in values {
        let length = decimal(value).ok_or(HeadError::ContentLength)?;
        if agreed.is_some_and(|other| other != length) {
            return Err(HeadError::ConflictingContentLengths);
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        digit.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(*digit - b'0'))
    })
}
