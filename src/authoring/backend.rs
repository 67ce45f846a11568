//! A model of the backend that the Core Rule Set's tests are written for (albedo): any request is answered with an
//! empty 200, and `POST /reflect` answers as its JSON body says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the backend answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// In the order sent.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty for HEAD.
    pub body: Vec<u8>,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Reflection {
    status: i64,
    headers: std::collections::BTreeMap<String, String>,
    body: String,
    #[serde(rename = "encodedBody")]
    encoded_body: String,
}

/// Answers one request.
pub fn answer(method: &[u8], path: &[u8], body: &[u8]) -> Response {
    let reflects = method == b"POST" && (path == b"/reflect" || path.starts_with(b"/reflect/"));
    let mut response =
        if reflects { reflect(body) } else { Response { status: 200, headers: Vec::new(), body: Vec::new() } };
    let is_bodiless = response.status < 200 || matches!(response.status, 204 | 304);
    let has = |headers: &[(String, Vec<u8>)], name: &str| headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if is_bodiless {
        response.body.clear();
    } else {
        if !response.body.is_empty() && !has(&response.headers, "Content-Type") {
            response.headers.push(("Content-Type".into(), sniff(&response.body).into()));
        }
        if !has(&response.headers, "Content-Length") {
            response.headers.push(("Content-Length".into(), response.body.len().to_string().into_bytes()));
        }
    }
    response.headers.push(("Date".into(), b"Thu, 01 Jan 2026 00:00:00 GMT".to_vec()));
    if method == b"HEAD" {
        response.body.clear();
    }
    response
}

fn reflect(body: &[u8]) -> Response {
    let bad = |message: &str| Response { status: 400, headers: Vec::new(), body: message.as_bytes().to_vec() };
    let Ok(wanted) = serde_json::from_slice::<Reflection>(body) else {
        return bad("Invalid JSON in request body");
    };
    let headers: Vec<_> =
        wanted.headers.iter().map(|(name, value)| (canonical(name), value.clone().into_bytes())).collect();
    let status = match u16::try_from(wanted.status) {
        Ok(0) => 200,
        Ok(status @ 100..=599) => status,
        _ => return Response { headers, ..bad(&format!("Invalid status code: {}", wanted.status)) },
    };
    let body = if wanted.body.is_empty() {
        let Ok(body) = STANDARD.decode(wanted.encoded_body.replace(['\r', '\n'], "")) else {
            return Response { status, headers, body: b"invalid base64 encoding of response body".to_vec() };
        };
        body
    } else {
        wanted.body.into_bytes()
    };
    Response { status, headers, body }
}

/// `content-type` as `Content-Type`, as Go writes names.
fn canonical(name: &str) -> String {
    let mut is_start = true;
    name.chars()
        .map(|char| {
            let char = if is_start { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() };
            is_start = char == '-';
            char
        })
        .collect()
}

/// The part of Go's content sniffing that can happen here.
fn sniff(body: &[u8]) -> &'static str {
    /// Tags by which HTML is known, upper case.
    const HTML: &[&[u8]] = &[
        b"<!DOCTYPE HTML",
        b"<HTML",
        b"<HEAD",
        b"<SCRIPT",
        b"<IFRAME",
        b"<H1",
        b"<DIV",
        b"<FONT",
        b"<TABLE",
        b"<A",
        b"<STYLE",
        b"<TITLE",
        b"<B",
        b"<BODY",
        b"<BR",
        b"<P",
        b"<!--",
    ];
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"%PDF-", "application/pdf"),
        (b"%!PS-Adobe-", "application/postscript"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"PK\x03\x04", "application/zip"),
        (b"\x89PNG\x0d\x0a\x1a\x0a", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
    ];
    let head = body.get(..512).unwrap_or(body);
    let blank = head.iter().take_while(|b| matches!(b, b'\t' | b'\n' | 0x0c | b'\r' | b' ')).count();
    let text = head.get(blank..).unwrap_or_default();
    let is_tag = |tag: &&[u8]| {
        let begins = text.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
        begins && (tag.starts_with(b"<!--") || matches!(text.get(tag.len()), Some(b' ' | b'>')))
    };
    if HTML.iter().any(is_tag) {
        return "text/html; charset=utf-8";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, kind)) = SIGNATURES.iter().find(|(signature, _)| head.starts_with(signature)) {
        return kind;
    }
    let is_binary = |b: &u8| matches!(b, 0x00..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if head.iter().any(is_binary) { "application/octet-stream" } else { "text/plain; charset=utf-8" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_and_reflection() {
        let plain = answer(b"GET", b"/any", b"");
        assert_eq!((plain.status, plain.body.len()), (200, 0));
        let spec = br#"{"status": 500, "headers": {"x-a": "b"}, "body": "<html >x"}"#;
        let reflected = answer(b"POST", b"/reflect", spec);
        assert_eq!(reflected.status, 500);
        assert_eq!(reflected.headers[0], ("X-A".into(), b"b".to_vec()));
        assert_eq!(reflected.headers[1].1, b"text/html; charset=utf-8");
        assert_eq!(answer(b"POST", b"/reflect", b"{").status, 400);
        assert_eq!(answer(b"GET", b"/reflect", spec).status, 200);
        assert_eq!(answer(b"POST", b"/reflect", br#"{"encodedBody": "AAE="}"#).body, [0, 1]);
    }
}
