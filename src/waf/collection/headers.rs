//! Header fields and cookies: pairs of name and value in wire order.
//!
//! Request header fields of the same name are one field with its values joined by `, `, as the reference's host
//! makes them before any rule sees them. Response header fields stay apart.

use std::ops::Range;

use super::{Bytes, Collector, Span, Value, Variable, Wanted, selects};
use crate::waf::transaction::Transaction;

/// A field or a cookie; both parts lie in the arena.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// Appends names or values of the fields or cookies that `wanted` names.
pub(crate) fn collect(transaction: &Transaction, variable: Variable, wanted: Wanted<'_>, out: &mut Collector<'_>) {
    let pairs = match variable {
        Variable::RequestHeaders | Variable::RequestHeadersNames => &transaction.request_headers,
        Variable::ResponseHeaders | Variable::ResponseHeadersNames => &transaction.response_headers,
        _ => &transaction.cookies,
    };
    let is_names = matches!(
        variable,
        Variable::RequestHeadersNames | Variable::ResponseHeadersNames | Variable::RequestCookiesNames
    );
    for pair in pairs {
        if !selects(&wanted, pair.name.of(&transaction.arena), out.caches) {
            continue;
        }
        let name = Bytes::arena(pair.name);
        let bytes = if is_names { name } else { Bytes::arena(pair.value) };
        out.push(Value::member(variable, name, bytes));
    }
}

/// Number of a bit that a name shares with few others, whatever its case.
pub(super) fn name_bit(name: &[u8]) -> u8 {
    let first = name.first().map_or(0, |byte| usize::from(byte.to_ascii_lowercase()));
    ((first + name.len() * 7) % 64) as u8
}

impl Transaction {
    /// A bit for each name of a header field; many names share one.
    pub(crate) fn header_names(&self) -> u64 {
        let all = self.request_headers.iter().chain(&self.response_headers);
        all.fold(0, |bits, pair| bits | 1 << name_bit(pair.name.of(&self.arena)))
    }
}

/// The first field of this name.
pub(crate) fn find<'a>(pairs: &[Pair], arena: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    place(pairs, arena, name).map(|value| value.of(arena))
}

/// Where in the arena the value of the first field of this name is.
pub(crate) fn place(pairs: &[Pair], arena: &[u8], name: &[u8]) -> Option<Span> {
    let pair = pairs.iter().find(|pair| pair.name.of(arena).eq_ignore_ascii_case(name))?;
    Some(pair.value)
}

/// Splits a Cookie field as ModSecurity 2 does for `SecCookieFormat 0`: at semicolons (at commas when there is no
/// semicolon and a blank follows the comma), white space before a name skipped, nothing decoded, no name no cookie.
/// Gives (name, value) as ranges of `field`.
pub(crate) fn cookies_v0(field: &[u8], separator: Option<u8>, mut found: impl FnMut(Range<usize>, Range<usize>)) {
    let separator = separator.unwrap_or_else(|| {
        if memchr::memchr(b';', field).is_some() {
            return b';';
        }
        let comma = memchr::memchr(b',', field);
        if comma.is_some_and(|at| field.get(at + 1) == Some(&b' ')) { b',' } else { b';' }
    });
    let mut start = 0;
    while let Some(rest) = field.get(start..).filter(|rest| !rest.is_empty()) {
        let end = memchr::memchr(separator, rest).map_or(field.len(), |at| start + at);
        let part = field.get(start..end).unwrap_or_default();
        let trimmed = trim_start(part);
        let name = end - trimmed.len();
        let name_end = memchr::memchr(b'=', trimmed).map_or(end, |at| name + at);
        if name_end > name {
            found(name..name_end, (name_end + 1).min(end)..end);
        }
        start = end + 1;
    }
}

/// Splits a Cookie field of `SecCookieFormat 1` (RFC 2109): values may be quoted, `$Version` and its like belong to
/// the cookie before them and are named `$name_Version`... as ModSecurity 2 keeps them: under their own names.
pub(crate) fn cookies_v1(field: &[u8], mut found: impl FnMut(&[u8], &[u8])) {
    let mut rest = field;
    let mut previous: Vec<u8> = Vec::new();
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            return;
        }
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';' | b',')).unwrap_or(rest.len());
        let name = trim_end(rest.get(..end).unwrap_or_default());
        rest = rest.get(end..).unwrap_or_default();
        let mut value: &[u8] = &[];
        if let Some(after) = rest.strip_prefix(b"=") {
            let after = trim_start(after);
            if let Some(quoted) = after.strip_prefix(b"\"") {
                let close = quoted.iter().position(|byte| *byte == b'"').unwrap_or(quoted.len());
                value = quoted.get(..close).unwrap_or_default();
                rest = quoted.get(close + 1..).unwrap_or_default();
                let next = rest.iter().position(|byte| matches!(byte, b';' | b',')).unwrap_or(rest.len());
                rest = rest.get(next..).unwrap_or_default();
            } else {
                let stop = after.iter().position(|byte| matches!(byte, b';' | b',')).unwrap_or(after.len());
                value = trim_end(after.get(..stop).unwrap_or_default());
                rest = after.get(stop..).unwrap_or_default();
            }
        }
        rest = rest.get(1..).unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        if name.first() == Some(&b'$') && !previous.is_empty() {
            // An attribute of the cookie before: `$Path` of `a` is `$a_Path`.
            let mut attribute = b"$".to_vec();
            attribute.extend_from_slice(&previous);
            attribute.push(b'_');
            attribute.extend_from_slice(name.get(1..).unwrap_or_default());
            found(&attribute, value);
        } else {
            if name.first() != Some(&b'$') {
                previous = name.to_vec();
            }
            found(name, value);
        }
    }
}

/// Without leading white space as C's `isspace` knows it.
fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_space(*first) {
            break;
        }
        text = rest;
    }
    text
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text {
        if !is_space(*last) {
            break;
        }
        text = rest;
    }
    text
}

/// C's `isspace`.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v0(field: &[u8]) -> Vec<(String, String)> {
        let mut out = Vec::new();
        cookies_v0(field, None, |name, value| {
            let (name, value) = (&field[name], &field[value]);
            out.push((String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into()));
        });
        out
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn version_0_cookies() {
        assert_eq!(v0(b"a=1; b=2;;  c ; =x; d=e=f"), pairs(&[("a", "1"), ("b", "2"), ("c ", ""), ("d", "e=f")]));
        assert_eq!(v0(b"a=1, b=2"), pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(v0(b"a=1,b=2"), pairs(&[("a", "1,b=2")]));
        assert_eq!(v0(b"a=1, x; b=2"), pairs(&[("a", "1, x"), ("b", "2")]));
    }

    #[test]
    fn version_1_cookies() {
        let mut out = Vec::new();
        cookies_v1(b"$Version=\"1\"; a=\"x;y\"; $Path=\"/\"; b=2", |name, value| {
            out.push((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()));
        });
        assert_eq!(out, pairs(&[("$Version", "1"), ("a", "x;y"), ("$a_Path", "/"), ("b", "2")]));
    }
}
