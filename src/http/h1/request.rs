//! Reads request heads. Called by the connection loop with what has arrived so far.

use bytes::{Buf as _, BytesMut};

use super::super::head::Span;
use super::super::{HeadError, Known, RequestHead, TargetForm, Version, classify_target, is_host};
use super::lines::{find_end, is_token, next_line, parse_fields};

/// Bounds of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line and header lines together.
    pub bytes: usize,
    /// Header lines.
    pub fields: usize,
}

/// Finds the end of a head across reads, then parses it once.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestReader {
    scanned: usize,
    skipped: usize,
}

/// Empty lines before a request line that are skipped (RFC 9112 section 2.2 asks for one at least).
const EMPTY_LINES: usize = 4;

impl RequestReader {
    /// Takes a complete head off the buffer into `head`, or returns false when more bytes are needed. After an error
    /// `head` holds what is known for the record (the raw line at least), and the connection cannot go on.
    pub fn read(
        &mut self,
        buffer: &mut BytesMut,
        limits: HeadLimits,
        head: &mut RequestHead,
    ) -> Result<bool, HeadError> {
        if self.scanned == 0 {
            while self.skipped < EMPTY_LINES && buffer.starts_with(b"\r\n") {
                buffer.advance(2);
                self.skipped += 1;
            }
            if self.skipped < EMPTY_LINES && buffer.as_ref() == b"\r" {
                return Ok(false);
            }
        }
        // The longest end is "\n\r\n": look again at the last two bytes.
        let Some(end) = find_end(buffer, self.scanned.saturating_sub(2)) else {
            self.scanned = buffer.len();
            if buffer.len() > limits.bytes {
                return Err(too_large(buffer, limits, head));
            }
            return Ok(false);
        };
        if end > limits.bytes {
            return Err(too_large(buffer, limits, head));
        }
        *self = Self::default();
        head.clear();
        head.fields.bytes = buffer.split_to(end).freeze();
        parse(head, limits).map(|()| true)
    }
}

/// The head is larger than allowed: was it the request line alone?
fn too_large(buffer: &BytesMut, limits: HeadLimits, head: &mut RequestHead) -> HeadError {
    /// Of an oversized request line, this much is shown in the record.
    const SHOWN_BYTES: usize = 1024;
    head.clear();
    let line = first_line(buffer);
    let length = line.len();
    head.fields.bytes = bytes::Bytes::copy_from_slice(line.get(..SHOWN_BYTES).unwrap_or(line));
    head.line = Span::new(0, length.min(SHOWN_BYTES));
    if length > limits.bytes { HeadError::RequestLineTooLong } else { HeadError::TooLarge }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

fn parse(head: &mut RequestHead, limits: HeadLimits) -> Result<(), HeadError> {
    let bytes = head.fields.bytes.clone();
    // Shown in the record even if malformed.
    let shown = first_line(&bytes).len();
    head.line = Span::new(0, shown);
    let (line, next) = next_line(&bytes, 0)?;
    parse_line(head, line)?;
    parse_fields(&bytes, next, limits.fields, &mut head.fields.list)?;
    check_host(head)?;
    // httpd shows one merged value to the rules; two would let two readers choose differently.
    head.fields.merge(Known::ContentType);
    Ok(())
}

fn parse_line(head: &mut RequestHead, line: &[u8]) -> Result<(), HeadError> {
    let first = memchr::memchr(b' ', line).ok_or(HeadError::RequestLine)?;
    let method = line.get(..first).unwrap_or_default();
    if method.is_empty() {
        return Err(HeadError::RequestLine);
    }
    if !is_token(method) {
        return Err(HeadError::Method);
    }
    let last = memchr::memrchr(b' ', line).unwrap_or(first);
    head.method = Span::new(0, first);
    if last == first {
        head.target = Span::new(first + 1, line.len());
        return Err(HeadError::NoVersion);
    }
    head.target = Span::new(first + 1, last);
    let target = line.get(first + 1..last).unwrap_or_default();
    if last + 1 == line.len() && !target.contains(&b' ') {
        // A space and nothing behind it, as the rule set's runner sends a request without a version.
        return Err(HeadError::NoVersion);
    }
    head.protocol = Span::new(last + 1, line.len());
    head.version = version(line.get(last + 1..).unwrap_or_default())?;
    head.form = classify_target(method, line.get(first + 1..last).unwrap_or_default())?;
    head.set_path();
    Ok(())
}

/// `HTTP/1.0`, `HTTP/1.1`; odd but well-formed majors above 1 go to the rules as they are.
pub(super) fn version(protocol: &[u8]) -> Result<Version, HeadError> {
    match protocol {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9'] => Ok(Version::Other),
        [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b'.', minor] if minor.is_ascii_digit() => Ok(Version::Other),
        _ => Err(HeadError::Version),
    }
}

fn check_host(head: &RequestHead) -> Result<(), HeadError> {
    let mut hosts = head.fields.all(Known::Host);
    let (host, second) = (hosts.next(), hosts.next());
    match host {
        _ if second.is_some() => Err(HeadError::SeveralHosts),
        None if head.version == Version::Http10 => Ok(()),
        None => Err(HeadError::MissingHost),
        Some([]) if head.version == Version::Http10 => Ok(()),
        // An absolute form says who is asked; an empty Host beside it is how some clients write it.
        Some([]) if matches!(head.form, TargetForm::Absolute { .. }) => Ok(()),
        Some([]) => Err(HeadError::EmptyHost),
        Some(host) if is_host(host) => Ok(()),
        Some(_) => Err(HeadError::Host),
    }
}
