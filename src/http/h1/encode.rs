//! Writes heads, chunks and trailers. Only what the parser accepts comes out, so what we send re-parses equal.

use bytes::{BufMut as _, BytesMut};

use super::super::Fields;
use super::Length;

/// Writes `METHOD target HTTP/1.1`.
pub fn request_line(out: &mut BytesMut, method: &[u8], target: &[u8]) {
    out.reserve(method.len() + target.len() + 12);
    out.put_slice(method);
    out.put_u8(b' ');
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
}

/// Writes `HTTP/1.1 200 OK`.
pub fn status_line(out: &mut BytesMut, status: u16, reason: &[u8]) {
    out.reserve(reason.len() + 16);
    out.put_slice(b"HTTP/1.1 ");
    let mut digits = itoa::Buffer::new();
    out.put_slice(digits.format(status).as_bytes());
    out.put_u8(b' ');
    out.put_slice(if reason.is_empty() { standard_reason(status) } else { reason });
    out.put_slice(b"\r\n");
}

/// Writes one header line.
pub fn field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Writes the header line that frames the body. `Length::None` writes nothing: the caller says `Bytes(0)` when an
/// explicit zero is wanted.
pub fn length(out: &mut BytesMut, length: Length) {
    match length {
        Length::Bytes(bytes) => {
            let mut digits = itoa::Buffer::new();
            field(out, b"content-length", digits.format(bytes).as_bytes());
        }
        Length::Chunked => field(out, b"transfer-encoding", b"chunked"),
        Length::None | Length::UntilClose => {}
    }
}

/// Ends a head.
pub fn end_of_head(out: &mut BytesMut) {
    out.put_slice(b"\r\n");
}

/// Writes the line before a chunk of this size, which must not be zero; [`chunk_end`] follows the data.
pub fn chunk_start(out: &mut BytesMut, size: usize) {
    debug_assert!(size > 0, "a chunk of zero bytes ends the body");
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut rest = size;
    while rest > 0 && at > 0 {
        at -= 1;
        let digit = (rest & 15) as u32;
        if let Some(slot) = digits.get_mut(at) {
            *slot = char::from_digit(digit, 16).unwrap_or('0') as u8;
        }
        rest >>= 4;
    }
    out.put_slice(digits.get(at..).unwrap_or_default());
    out.put_slice(b"\r\n");
}

/// Ends a chunk.
pub fn chunk_end(out: &mut BytesMut) {
    out.put_slice(b"\r\n");
}

/// Ends a chunked body, with trailers if there are any.
pub fn last_chunk(out: &mut BytesMut, trailers: Option<&Fields>) {
    out.put_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flat_map(Fields::iter) {
        field(out, name, value);
    }
    out.put_slice(b"\r\n");
}

/// The registered reason phrase.
#[must_use]
pub fn standard_reason(status: u16) -> &'static [u8] {
    match status {
        100 => b"Continue",
        101 => b"Switching Protocols",
        103 => b"Early Hints",
        200 => b"OK",
        201 => b"Created",
        202 => b"Accepted",
        204 => b"No Content",
        206 => b"Partial Content",
        301 => b"Moved Permanently",
        302 => b"Found",
        303 => b"See Other",
        304 => b"Not Modified",
        307 => b"Temporary Redirect",
        308 => b"Permanent Redirect",
        400 => b"Bad Request",
        401 => b"Unauthorized",
        403 => b"Forbidden",
        404 => b"Not Found",
        405 => b"Method Not Allowed",
        406 => b"Not Acceptable",
        408 => b"Request Timeout",
        409 => b"Conflict",
        410 => b"Gone",
        411 => b"Length Required",
        412 => b"Precondition Failed",
        413 => b"Content Too Large",
        414 => b"URI Too Long",
        415 => b"Unsupported Media Type",
        416 => b"Range Not Satisfiable",
        417 => b"Expectation Failed",
        421 => b"Misdirected Request",
        422 => b"Unprocessable Content",
        426 => b"Upgrade Required",
        429 => b"Too Many Requests",
        431 => b"Request Header Fields Too Large",
        500 => b"Internal Server Error",
        501 => b"Not Implemented",
        502 => b"Bad Gateway",
        503 => b"Service Unavailable",
        504 => b"Gateway Timeout",
        505 => b"HTTP Version Not Supported",
        _ => b"Unknown",
    }
}
