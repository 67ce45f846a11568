//! The bytes of a request, as the reference runner (go-ftw) sends them.
//!
//! Learned from its behaviour: header completion, the encoding of form bodies that look unencoded, and the line ends
//! of multipart bodies. What a case means depends on these bytes, so they are the same to the byte.

use super::cases::Input;

/// The whole request.
pub fn request(input: &Input) -> Vec<u8> {
    if let Some(raw) = &input.raw {
        return raw.clone();
    }
    let mut headers = input.headers.clone();
    let mut data = input.data.clone();
    if !data.is_empty() && input.autocompletes {
        if !has(&headers, "Content-Type") {
            headers.push(("Content-Type".into(), FORM.into()));
        }
        if values(&headers, "Content-Type").any(|value| value.eq_ignore_ascii_case(FORM)) {
            data = encode_form(data);
        }
    }
    if values(&headers, "Content-Type").any(|value| value.to_ascii_lowercase().contains("multipart/form-data;")) {
        data = with_crlf(&data);
    }
    if input.autocompletes {
        if !has(&headers, "Connection") {
            headers.push(("Connection".into(), "close".into()));
        }
        if !has(&headers, "Content-Length") && (!data.is_empty() || has_body(&input.method)) {
            headers.push(("Content-Length".into(), data.len().to_string()));
        }
    }
    let mut out = format!("{} {} {}\r\n", input.method, input.uri, input.version).into_bytes();
    for (name, value) in &headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&data);
    out
}

/// A captured request made to stand alone: whatever follows the head is the body and Content-Length says so, the
/// connection closes after it, and what needs the connection it came from is taken out.
pub fn alone(captured: &[u8]) -> Vec<u8> {
    const TAKEN_OUT: &[&str] = &["connection", "content-length", "expect", "transfer-encoding", "upgrade"];
    let Some(end) = memchr::memmem::find(captured, b"\r\n\r\n") else { return captured.to_vec() };
    let (head, body) = captured.split_at(end + 4);
    let mut out = Vec::with_capacity(captured.len() + 48);
    let mut has_length = false;
    for line in head.split_inclusive(|byte| *byte == b'\n').filter(|line| line.len() > 2) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
        has_length |= is(&"content-length");
        if out.is_empty() || !TAKEN_OUT.iter().any(is) {
            out.extend_from_slice(line);
        }
    }
    if has_length || !body.is_empty() {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    out.extend_from_slice(body);
    out
}

const FORM: &str = "application/x-www-form-urlencoded";

fn values<'h>(headers: &'h [(String, String)], name: &'h str) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn has(headers: &[(String, String)], name: &str) -> bool {
    values(headers, name).next().is_some()
}

/// `^POST|PUT|PATCH|DELETE$`: the alternatives at the ends are anchored, those between are not.
fn has_body(method: &str) -> bool {
    method.starts_with("POST") || method.contains("PUT") || method.contains("PATCH") || method.ends_with("DELETE")
}

fn with_crlf(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 64);
    for byte in data {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

/// Encodes keys and values, unless something in the body is encoded already.
fn encode_form(data: Vec<u8>) -> Vec<u8> {
    // Unescaping changes plus signs and escapes, and fails at a per cent sign without digits.
    if data.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return data;
    }
    let mut out = Vec::with_capacity(data.len() * 2);
    // A trailing & is dropped: the reference takes off the one that it added last.
    let pairs = data.strip_suffix(b"&").unwrap_or(&data);
    for (index, pair) in pairs.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        escape(parts.next().unwrap_or_default(), &mut out);
        if let Some(value) = parts.next() {
            out.push(b'=');
            escape(value, &mut out);
        }
    }
    out
}

/// Go's `url.QueryEscape`.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> Input {
        Input {
            method: "GET".into(),
            uri: "/a".into(),
            version: "HTTP/1.1".into(),
            headers: vec![("Host".into(), "h".into())],
            data: Vec::new(),
            raw: None,
            autocompletes: true,
        }
    }

    fn sent(input: &Input) -> String {
        String::from_utf8(request(input)).unwrap()
    }

    #[test]
    fn headers_are_completed() {
        assert_eq!(sent(&input()), "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let post = Input { method: "POST".into(), ..input() };
        assert_eq!(sent(&post), "POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert!(sent(&Input { method: "XPUTX".into(), ..input() }).contains("Content-Length: 0"));
        assert!(!sent(&Input { method: "DELETEX".into(), ..input() }).contains("Content-Length"));
        assert_eq!(sent(&Input { autocompletes: false, ..input() }), "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn forms_are_encoded_once() {
        let body = |data: &str| {
            let sent = sent(&Input { data: data.into(), ..input() });
            sent.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        assert_eq!(body("a=b c&d=<x>&e"), "a=b+c&d=%3Cx%3E&e");
        assert_eq!(body("a=b%20c&d=<x>"), "a=b%20c&d=<x>");
        assert_eq!(body("a=b+c <"), "a=b+c <");
        assert_eq!(body("a=b&"), "a=b");
        assert_eq!(body("a=b=c"), "a=b%3Dc");
        let json = Input { headers: vec![("content-type".into(), "application/json".into())], ..input() };
        assert!(
            sent(&Input { data: "{\"a\": 1}".into(), ..json }).ends_with("\r\nContent-Length: 8\r\n\r\n{\"a\": 1}")
        );
    }

    #[test]
    fn multipart_bodies_have_crlf() {
        let headers = vec![("Content-Type".into(), "multipart/form-data; boundary=x".into())];
        let sent = sent(&Input { headers, data: "--x\na\n".into(), ..input() });
        assert!(sent.ends_with("Content-Length: 8\r\n\r\n--x\r\na\r\n"), "{sent}");
    }
}
