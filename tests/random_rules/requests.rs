//! Requests with their answers.

use super::supply::Supply;
use super::words::{self, value};

/// What is sent, and what is answered.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) response_headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) response_body: Vec<u8>,
    /// Bytes of bodies that are given at a time.
    pub(crate) piece: usize,
}

pub(crate) const HEADERS: &[&str] =
    &["User-Agent", "Referer", "X-Id", "Accept", "x-forwarded-for", "q", "Authorization"];

pub(crate) const RESPONSE_HEADERS: &[&str] = &["Server", "Location", "Set-Cookie", "X-Id"];

/// One after the other, as a worker sees them.
pub(crate) fn requests(supply: &mut Supply<'_>) -> Vec<Request> {
    let mut all: Vec<Request> = Vec::new();
    for _ in 0..supply.pick(&[1, 2, 2, 3, 3, 4, 4, 6]) {
        let request = match all.last() {
            // What was learned of the one before is put to use.
            Some(before) if supply.one_in(2) => again(supply, before),
            _ => request(supply),
        };
        all.push(request);
    }
    all
}

fn again(supply: &mut Supply<'_>, before: &Request) -> Request {
    let mut request = before.clone();
    match supply.below(5) {
        // Less than before, so that there is room for what had none.
        4 => {
            let start = request.target.iter().position(|byte| *byte == b'&').unwrap_or(request.target.len());
            request.target.truncate(start);
            request.headers.truncate(3);
            request.body.clear();
        }
        0 => request.headers.push((b"X-Id".to_vec(), value(supply))),
        1 => request.target.extend([b"&id=", value(supply).as_slice()].concat()),
        2 => request.piece = supply.between(1, 9),
        _ => {}
    }
    request
}

fn request(supply: &mut Supply<'_>) -> Request {
    supply.repeated = if supply.one_in(3) { Vec::new() } else { value(supply) };
    let mut target = b"/".to_vec();
    for _ in 0..supply.below(3) {
        target.extend(value(supply));
        target.push(b'/');
    }
    if !supply.one_in(4) {
        target.push(b'?');
        target.extend(form(supply));
    }
    // The head's lines end where they end.
    target.retain(|byte| !matches!(byte, b'\r' | b'\n' | b' ' | 0));
    let mut headers =
        vec![(b"Host".to_vec(), supply.pick(&["localhost", "a.example:8080", "10.1.2.3"]).as_bytes().to_vec())];
    for _ in 0..supply.below(4) {
        headers.push((supply.pick(HEADERS).as_bytes().to_vec(), value(supply)));
    }
    if supply.one_in(2) {
        headers.push((b"Cookie".to_vec(), cookies(supply)));
    }
    let (kind, body) = body(supply);
    if !kind.is_empty() {
        headers.push((b"Content-Type".to_vec(), kind.to_vec()));
        headers.push((b"Content-Length".to_vec(), body.len().to_string().into_bytes()));
    }
    let mut response_headers = vec![(b"Content-Type".to_vec(), b"text/html; charset=utf-8".to_vec())];
    if supply.one_in(3) {
        response_headers.push((supply.pick(RESPONSE_HEADERS).as_bytes().to_vec(), value(supply)));
    }
    Request {
        method: supply.pick(&["GET", "POST", "POST", "PUT", "get"]).as_bytes().to_vec(),
        target,
        headers,
        body,
        status: supply.pick(&[200, 200, 200, 404, 500, 302]),
        response_headers,
        response_body: value(supply),
        piece: supply.pick(&[usize::MAX, usize::MAX, 3, 16]),
    }
}

fn name(supply: &mut Supply<'_>) -> Vec<u8> {
    if supply.one_in(8) { value(supply) } else { words::name(supply).as_bytes().to_vec() }
}

/// `id=1&q=x`; seldom more than a worker remembers of one request.
fn form(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..supply.pick(&[0, 1, 1, 2, 3, 5]) {
        out.extend(name(supply));
        out.push(b'=');
        let text = value(supply);
        if supply.one_in(2) {
            // So that it arrives as it is.
            text.iter().for_each(|byte| match byte {
                byte if byte.is_ascii_alphanumeric() => out.push(*byte),
                byte => out.extend(format!("%{byte:02x}").into_bytes()),
            });
        } else {
            out.extend(text);
        }
        out.push(b'&');
    }
    if supply.one_in(12) {
        // The same again and again, and the same but for the case of letters.
        let text = value(supply);
        for _ in 0..supply.between(2, 8) {
            out.extend_from_slice(words::name(supply).as_bytes());
            out.push(b'=');
            match supply.below(4) {
                0 => out.extend(text.to_ascii_uppercase()),
                1 => out.extend(text.to_ascii_lowercase()),
                _ => out.extend_from_slice(&text),
            }
            out.push(b'&');
        }
    }
    if supply.one_in(16) {
        // Of all lengths, until there is no room for more.
        let text = [value(supply).as_slice(), b"x"].concat();
        let (count, step) = (supply.pick(&[6, 12, 24, 48]), supply.pick(&[1, 5, 7]));
        for number in 0..count {
            out.extend(format!("{}=", words::name(supply)).into_bytes());
            out.extend(text.iter().cycle().take(24 * (count - number) / count + number * step % 8));
            out.push(b'&');
        }
    }
    if supply.one_in(60) {
        let text = value(supply);
        for number in 0..300 {
            out.extend(format!("a{number}={number}").into_bytes());
            out.extend_from_slice(&text);
            out.push(b'&');
        }
    }
    out.pop();
    out
}

fn cookies(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..supply.between(1, 3) {
        out.extend(name(supply));
        out.push(b'=');
        out.extend(value(supply));
        out.extend_from_slice(b"; ");
    }
    out.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    out
}

fn body(supply: &mut Supply<'_>) -> (&'static [u8], Vec<u8>) {
    match supply.below(9) {
        0..=2 => (b"application/x-www-form-urlencoded", form(supply)),
        3 => (b"application/json", json(supply)),
        4 => (b"text/xml", xml(supply)),
        5 => (b"multipart/form-data; boundary=b", multipart(supply)),
        6 => (b"text/plain", value(supply)),
        _ => (b"", Vec::new()),
    }
}

fn json(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for number in 0..supply.below(4) {
        if number > 0 {
            out.push(b',');
        }
        quoted(&name(supply), &mut out);
        out.push(b':');
        match supply.below(5) {
            0 => out.extend_from_slice(supply.pick(&["1", "42", "true", "null", "-1.5e3", "{\"a\":7}"]).as_bytes()),
            1 => {
                out.push(b'[');
                quoted(&value(supply), &mut out);
                out.extend_from_slice(b",7]");
            }
            _ => quoted(&value(supply), &mut out),
        }
    }
    if !supply.one_in(12) {
        out.push(b'}');
    }
    out
}

fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'<' => out.extend_from_slice(b"\\u003c"),
            0..=0x1f => out.extend(format!("\\u00{byte:02x}").into_bytes()),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

fn xml(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = b"<a>".to_vec();
    let text = |supply: &mut Supply<'_>, out: &mut Vec<u8>| {
        out.extend(value(supply).iter().filter(|byte| !matches!(byte, b'<' | b'"' | 0)));
    };
    for _ in 0..supply.below(4) {
        out.extend_from_slice(b"<b id=\"");
        text(supply, &mut out);
        out.extend_from_slice(b"\">");
        text(supply, &mut out);
        out.extend_from_slice(b"</b>");
    }
    if !supply.one_in(12) {
        out.extend_from_slice(b"</a>");
    }
    out
}

fn multipart(supply: &mut Supply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..supply.between(1, 3) {
        out.extend_from_slice(b"--b\r\nContent-Disposition: form-data; name=\"");
        out.extend_from_slice(words::name(supply).as_bytes());
        out.push(b'"');
        if supply.one_in(2) {
            out.extend_from_slice(b"; filename=\"");
            out.extend(value(supply).iter().filter(|byte| !matches!(byte, b'"' | b'\r' | b'\n')));
            out.push(b'"');
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend(value(supply));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if supply.one_in(12) { b"--b\r\n" } else { b"--b--\r\n" });
    out
}
