//! Request targets: which of the four forms, and what is allowed in them.
//!
//! Lenient where httpd is (`[ ] \ < > " { } |`, a backtick, bytes above 0x7F and broken escapes reach the rules),
//! strict where leniency would let two readers see two targets: white space, control characters, `#`, user names in
//! an authority, and forms that the method does not have.

use super::{HeadError, Span};
use crate::octets;

/// The form of a request target. Spans count from the target's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path`; the path may be empty or begin with `?`.
    Absolute {
        /// `host:port`
        authority: Span,
        /// Path and query.
        path: Span,
    },
    /// `*`, with OPTIONS only.
    Asterisk,
    /// `host:port`, with CONNECT only.
    Authority,
}

/// Finds the form of a target, or says what is wrong with it.
pub fn classify_target(method: &[u8], target: &[u8]) -> Result<TargetForm, HeadError> {
    if octets::any(target, |byte| (byte <= b' ') | (byte == 0x7F)) {
        return Err(HeadError::Target);
    }
    if memchr::memchr(b'#', target).is_some() {
        return Err(HeadError::Fragment);
    }
    if method == b"CONNECT" {
        let (host, port) = split_host_port(target);
        return match port {
            Some(port) if !host.is_empty() && !port.is_empty() && is_host(target) => Ok(TargetForm::Authority),
            _ => Err(HeadError::Target),
        };
    }
    match target.first() {
        Some(b'/') => Ok(TargetForm::Origin),
        Some(b'*') if target.len() == 1 && method == b"OPTIONS" => Ok(TargetForm::Asterisk),
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Result<TargetForm, HeadError> {
    let scheme = memchr::memmem::find(target, b"://").ok_or(HeadError::Target)?;
    let name = target.get(..scheme).unwrap_or_default();
    if !name.eq_ignore_ascii_case(b"http") && !name.eq_ignore_ascii_case(b"https") {
        return Err(HeadError::Target);
    }
    let start = scheme + 3;
    let rest = target.get(start..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.get(..length).unwrap_or_default();
    if authority.is_empty() || !is_host(authority) {
        return Err(HeadError::Target);
    }
    Ok(TargetForm::Absolute {
        authority: Span::new(start, start + length),
        path: Span::new(start + length, target.len()),
    })
}

/// The path of a path-and-query.
#[must_use]
pub fn path_of(path_and_query: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'?', path_and_query).unwrap_or(path_and_query.len());
    path_and_query.get(..end).unwrap_or_default()
}

/// Splits `host:port`; brackets stay with the host.
#[must_use]
pub fn split_host_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = if authority.first() == Some(&b'[') { memchr::memchr(b']', authority).unwrap_or_default() } else { 0 };
    let tail = authority.get(from..).unwrap_or_default();
    match memchr::memchr(b':', tail) {
        Some(colon) => (
            authority.get(..from + colon).unwrap_or_default(),
            Some(authority.get(from + colon + 1..).unwrap_or_default()),
        ),
        None => (authority, None),
    }
}

/// Is this a host name or address with an optional port? No percent signs, no user name, no list.
#[must_use]
pub fn is_host(authority: &[u8]) -> bool {
    let (host, port) = split_host_port(authority);
    let is_port = match port {
        None => true,
        Some(digits) => {
            digits.iter().all(u8::is_ascii_digit)
                && digits
                    .iter()
                    .fold(0u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(*digit - b'0')))
                    <= u32::from(u16::MAX)
        }
    };
    let is_name = match host {
        [] => false,
        [b'[', inner @ .., b']'] => {
            std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
        }
        name => name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    };
    is_port && is_name
}
