//! What a route makes of a request: the rewritten path, the place a redirect points to.

use crate::config::model::PathMatch;

/// Appends `path` with the part that `matched` names replaced. Slashes at the seam are neither doubled nor lost:
/// `/api` → `/` makes `/api/x` into `/x` and `/api` into `/`.
pub fn rewrite_prefix(path: &[u8], matched: &PathMatch, replacement: &str, out: &mut Vec<u8>) {
    let matched = match matched {
        PathMatch::Exact(text) | PathMatch::Prefix(text) => text.as_bytes(),
    };
    let rest = path.strip_prefix(matched).unwrap_or(path);
    let start = out.len();
    out.extend_from_slice(replacement.as_bytes());
    match (replacement.ends_with('/'), rest.first() == Some(&b'/')) {
        (true, true) => out.extend_from_slice(rest.get(1..).unwrap_or_default()),
        (false, false) if !rest.is_empty() => {
            out.push(b'/');
            out.extend_from_slice(rest);
        }
        _ => out.extend_from_slice(rest),
    }
    if out.len() == start {
        out.push(b'/');
    }
}

/// What the placeholders of a redirect stand for.
#[derive(Debug, Clone, Copy)]
pub struct RedirectParts<'a> {
    /// `https` or `http`.
    pub scheme: &'a [u8],
    /// Host without port, as the client sent it.
    pub host: &'a [u8],
    /// Path.
    pub path: &'a [u8],
    /// Query with its `?`; empty when there is none.
    pub query: &'a [u8],
}

/// The Location of a redirect: `${scheme}`, `${host}`, `${path}` and `${query}` replaced. Bytes that cannot stand in
/// a header or a URL are percent-encoded, so that no request can write a header of its own.
pub fn redirect_location(template: &str, parts: &RedirectParts<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len() + parts.path.len() + parts.query.len() + 32);
    let mut rest = template;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        push_encoded(&mut out, before.as_bytes());
        let Some((name, after)) = from.get(2..).and_then(|text| text.split_once('}')) else {
            rest = from;
            break;
        };
        match name {
            "scheme" => push_encoded(&mut out, parts.scheme),
            "host" => push_encoded(&mut out, parts.host),
            // A path that begins with two slashes would name another host.
            "path" if out.is_empty() && parts.path.starts_with(b"//") => {
                push_encoded(&mut out, parts.path.trim_ascii_start());
                let slashes = out.iter().take_while(|byte| **byte == b'/').count();
                out.drain(..slashes.saturating_sub(1));
            }
            "path" => push_encoded(&mut out, parts.path),
            "query" => push_encoded(&mut out, parts.query),
            _ => {}
        }
        rest = after;
    }
    push_encoded(&mut out, rest.as_bytes());
    out
}

fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\') {
            out.push(*byte);
        } else {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_replaced_without_doubling_or_losing_slashes() {
        for (path, matched, replacement, expected) in [
            ("/api/x", "/api", "/", "/x"),
            ("/api", "/api", "/", "/"),
            ("/api/x", "/api", "/v1", "/v1/x"),
            ("/api/x", "/api/", "/v1", "/v1/x"),
            ("/api/x", "/api/", "/v1/", "/v1/x"),
            ("/api", "/api", "/v1", "/v1"),
            ("/api/", "/api", "/v1", "/v1/"),
            ("/x", "/", "/v1", "/v1/x"),
            ("/api", "/api", "", "/"),
            ("/api/x", "/api", "", "/x"),
        ] {
            let mut out = Vec::new();
            rewrite_prefix(path.as_bytes(), &PathMatch::Prefix(matched.into()), replacement, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{path} {matched} {replacement}");
        }
    }

    #[test]
    fn redirects_take_their_parts_and_nothing_else() {
        let parts = RedirectParts { scheme: b"http", host: b"a.test", path: b"/x y\r\nSet-Cookie: z", query: b"?q=1" };
        let location = |template| String::from_utf8(redirect_location(template, &parts)).unwrap();
        assert_eq!(location("https://${host}${path}${query}"), "https://a.test/x%20y%0D%0ASet-Cookie:%20z?q=1");
        assert_eq!(location("https://b.test/"), "https://b.test/");
        assert_eq!(location("${scheme}://${nope}x${"), "http://x${");
        let parts = RedirectParts { path: b"//evil.test/", query: b"", ..parts };
        assert_eq!(redirect_location("${path}", &parts), b"/evil.test/");
    }
}
