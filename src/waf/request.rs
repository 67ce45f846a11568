//! The request head as rules see it: the target split into its parts, header fields joined, cookies and query
//! parameters taken apart. Nothing is decoded that ModSecurity 2 does not decode.

use super::Program;
use super::collection::arguments::Origin;
use super::collection::headers::{self, Pair};
use super::collection::{Bytes, Span};
use super::transaction::{RequestLine, Transaction};
use super::transformation::{Transformation, TransformationContext};

/// Parts of the request line, in the arena.
#[derive(Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) line: Span,
    pub(crate) method: Span,
    /// As sent.
    pub(crate) target: Span,
    pub(crate) protocol: Span,
    /// Without scheme and authority; absent in `CONNECT host:port` and the like. As sent in phase 1; from phase 2 on
    /// its escapes are decoded, because the reference's host does that between the two phases.
    pub(crate) path: Option<Span>,
    /// Behind the first question mark.
    pub(crate) query: Option<Span>,
    /// Host field without port.
    pub(crate) host: Option<Span>,
    /// Name in a Basic Authorization field.
    pub(crate) user: Option<Span>,
}

impl Transaction {
    /// Takes everything that phase 1 can see.
    pub(crate) fn take_request_head<'h>(
        &mut self,
        program: &Program,
        line: RequestLine<'_>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        self.request.line = self.store(line.raw);
        self.request.method = self.store(line.method);
        self.request.target = self.store(line.target);
        self.request.protocol = self.store(line.protocol);
        let is_authority = line.method == b"CONNECT";
        let (path, query) = split_target(line.target, is_authority);
        let start = self.request.target.start;
        let span = |range: std::ops::Range<usize>| Span { start: start + range.start as u32, len: range.len() as u32 };
        self.request.path = path.map(&span);
        self.request.query = query.clone().map(&span);

        for (name, value) in headers {
            self.add_request_header(name, value);
        }
        self.take_host();
        self.take_user();
        self.take_cookies(program);
        self.choose_body_processor();
        if let (Some(query), Some(place)) = (query, self.request.query) {
            let text = line.target.get(query).unwrap_or_default();
            self.add_urlencoded(program, text, Bytes::arena(place), Origin::Query);
        }
    }

    /// Adds a field; one of the same name gets the value appended.
    fn add_request_header(&mut self, name: &[u8], value: &[u8]) {
        let arena = &self.arena;
        let same = self.request_headers.iter().position(|pair| pair.name.of(arena).eq_ignore_ascii_case(name));
        if let Some(pair) = same.and_then(|index| self.request_headers.get(index).copied()) {
            let start = self.arena.len() as u32;
            self.arena.extend_from_within(pair.value.range());
            self.arena.extend_from_slice(b", ");
            self.arena.extend_from_slice(value);
            let joined = Span { start, len: self.arena.len() as u32 - start };
            if let Some(pair) = same.and_then(|index| self.request_headers.get_mut(index)) {
                pair.value = joined;
            }
        } else {
            let name = self.store(name);
            let value = self.store(value);
            self.request_headers.push(Pair { name, value });
        }
    }

    /// Between phases 1 and 2: decodes the escapes of the path. Invalid ones stay.
    pub(crate) fn decode_path(&mut self) {
        let Some(path) = self.request.path else { return };
        if memchr::memchr(b'%', path.of(&self.arena)).is_none() {
            return;
        }
        let context = TransformationContext::default();
        let (mut plain, mut decoded) = (Vec::new(), Vec::new());
        // A plus sign is no blank in a path.
        for (index, part) in path.of(&self.arena).split(|byte| *byte == b'+').enumerate() {
            if index > 0 {
                decoded.push(b'+');
            }
            let is_changed = Transformation::UrlDecode.apply(part, &mut plain, &context);
            decoded.extend_from_slice(if is_changed { &plain } else { part });
        }
        if path.len as usize != decoded.len() {
            self.request.path = Some(self.store(&decoded));
        }
    }

    /// A request header field.
    pub(crate) fn request_header(&self, name: &[u8]) -> Option<&[u8]> {
        headers::find(&self.request_headers, &self.arena, name)
    }

    fn take_host(&mut self) {
        let Some(place) = headers::place(&self.request_headers, &self.arena, b"Host") else { return };
        let host = place.of(&self.arena);
        let end = match host.first() {
            Some(b'[') => memchr::memchr(b']', host).map_or(host.len(), |at| at + 1),
            _ => memchr::memchr(b':', host).unwrap_or(host.len()),
        };
        if end > 0 {
            let start = self.arena.len();
            let from = place.range().start;
            self.arena.extend_from_within(from..from + end);
            self.arena.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
            self.request.host = Some(Span { start: start as u32, len: end as u32 });
        }
    }

    fn take_user(&mut self) {
        let Some(value) = self.request_header(b"Authorization") else { return };
        let Some((scheme, rest)) = value.split_at_checked(6) else { return };
        if !scheme.eq_ignore_ascii_case(b"Basic ") {
            return;
        }
        use base64::Engine as _;
        let Ok(decoded) = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii()) else { return };
        let end = decoded.iter().position(|byte| *byte == b':').unwrap_or(decoded.len());
        self.request.user = Some(self.store(decoded.get(..end).unwrap_or_default()));
    }

    fn take_cookies(&mut self, program: &Program) {
        let settings = &program.settings;
        let Some(place) = headers::place(&self.request_headers, &self.arena, b"Cookie") else { return };
        if settings.cookie_format != 1 {
            // They are parts of the field, and stay where it is.
            let Self { arena, cookies, .. } = self;
            let span = |range: std::ops::Range<usize>| Span {
                start: place.start + range.start as u32,
                len: range.len() as u32,
            };
            return headers::cookies_v0(place.of(arena), settings.cookie_separator, |name, value| {
                cookies.push(Pair { name: span(name), value: span(value) });
            });
        }
        let field = place.of(&self.arena).to_vec();
        headers::cookies_v1(&field, |name, value| {
            let name = self.store(name);
            let value = self.store(value);
            self.cookies.push(Pair { name, value });
        });
    }
}

/// Path and query of a request target, as ranges. The fragment belongs to neither.
fn split_target(target: &[u8], is_authority: bool) -> (Option<std::ops::Range<usize>>, Option<std::ops::Range<usize>>) {
    if is_authority && target.first() != Some(&b'/') {
        return (None, None);
    }
    let start = path_start(target);
    let rest = target.get(start..).unwrap_or_default();
    let end = start + memchr::memchr(b'#', rest).unwrap_or(rest.len());
    let rest = target.get(start..end).unwrap_or_default();
    let (path_end, query) = match memchr::memchr(b'?', rest) {
        Some(at) => (start + at, Some(start + at + 1..end)),
        None => (end, None),
    };
    ((path_end > start).then_some(start..path_end), query)
}

/// Where the path begins: behind `scheme://authority`, else at once.
fn path_start(target: &[u8]) -> usize {
    if target.first() == Some(&b'/') {
        return 0;
    }
    let Some(colon) = target.iter().position(|byte| matches!(byte, b':' | b'/' | b'?' | b'#')) else { return 0 };
    if colon == 0 || !target.get(colon..).is_some_and(|rest| rest.starts_with(b"://")) {
        return 0;
    }
    let authority = colon + 3;
    let rest = target.get(authority..).unwrap_or_default();
    authority + rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split() {
        let split = |text: &str, connect| {
            let (path, query) = split_target(text.as_bytes(), connect);
            (path.map(|range| text[range].to_owned()), query.map(|range| text[range].to_owned()))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(split("/a/b?c=d?e", false), (some("/a/b"), some("c=d?e")));
        assert_eq!(split("/a?", false), (some("/a"), some("")));
        assert_eq!(split("//a:b/c", false), (some("//a:b/c"), None));
        assert_eq!(split("http://host:80/a?b#c", false), (some("/a"), some("b")));
        assert_eq!(split("http://host", false), (None, None));
        assert_eq!(split("*", false), (some("*"), None));
        assert_eq!(split("host:443", true), (None, None));
        assert_eq!(split("a:b", false), (some("a:b"), None));
    }
}
