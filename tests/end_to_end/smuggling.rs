//! Requests that two readers could understand differently, sent raw: what reaches the backend is recorded byte for
//! byte. A request that means one thing goes on in one form; everything else is refused before a byte of it goes on.

use crate::backend::{Recorded, recorder};
use crate::client::exchange;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Heard, RST_STREAM, block, frame,
};
use crate::lab::{Gateway, Lab, wait_for};

/// Each request comes on a connection of its own, for the backend closes them.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: edge.example\r\n\r\n";

/// What a case must lead to.
enum Expect {
    /// Refused with this status; the backend hears nothing.
    Refused(u16),
    /// These requests reach the backend: target, body.
    Reach(&'static [(&'static str, &'static str)]),
    /// The head may have reached it, but never a complete request.
    Broken,
}

use Expect::{Broken, Reach, Refused};

/// `(name, header lines, what follows)` of a POST.
const CASES: &[(&str, &str, &str, Expect)] = &[
    ("an ordinary length", "Content-Length: 5", "hello", Reach(&[("/case", "hello")])),
    ("ordinary chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", Reach(&[("/case", "hello")])),
    // TE wins over CL, CL does not go on, and the connection ends: the rest is nobody's request.
    (
        "both, length short",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "5\r\nhello\r\n0\r\n\r\n",
        Reach(&[("/case", "hello")]),
    ),
    ("both, length long", "Transfer-Encoding: chunked\r\nContent-Length: 70", "0\r\n\r\n", Reach(&[("/case", "")])),
    ("two equal lengths", "Content-Length: 5\r\nContent-Length: 5", "hello", Reach(&[("/case", "hello")])),
    ("two lengths", "Content-Length: 5\r\nContent-Length: 0", "hello", Refused(400)),
    ("a list of lengths", "Content-Length: 5, 5", "hello", Refused(400)),
    ("a signed length", "Content-Length: +5", "hello", Refused(400)),
    ("a length in hex", "Content-Length: 0x5", "hello", Refused(400)),
    ("a length beyond 64 bits", "Content-Length: 18446744073709551621", "hello", Refused(400)),
    ("a blank before the colon", "Transfer-Encoding : chunked", "0\r\n\r\n", Refused(400)),
    ("a tab before the colon", "Content-Length\t: 5", "hello", Refused(400)),
    ("an unknown coding", "Transfer-Encoding: xchunked", "0\r\n\r\n", Refused(400)),
    ("two codings", "Transfer-Encoding: gzip, chunked", "0\r\n\r\n", Refused(400)),
    ("chunked not last", "Transfer-Encoding: chunked, identity", "0\r\n\r\n", Refused(400)),
    ("two fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n", Refused(400)),
    ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n", Refused(400)),
    ("a vertical tab", "Transfer-Encoding: \x0bchunked", "0\r\n\r\n", Refused(400)),
    ("a NUL", "Transfer-Encoding: chunked\0", "0\r\n\r\n", Refused(400)),
    ("a folded line", "Transfer-Encoding:\r\n chunked", "0\r\n\r\n", Refused(400)),
    ("a bare LF", "X: y\nTransfer-Encoding: chunked", "0\r\n\r\n", Refused(400)),
    ("a bare CR", "X: y\rTransfer-Encoding: chunked", "0\r\n\r\n", Refused(400)),
    ("a bare LF ends the head", "Content-Length: 0\n", "", Refused(400)),
    ("no colon", "Content-Length", "hello", Refused(400)),
    ("a second host", "Host: other.example\r\nContent-Length: 0", "", Refused(400)),
    ("a case of its own", "tRANSFER-eNCODING: cHUNKED", "5\r\nhello\r\n0\r\n\r\n", Reach(&[("/case", "hello")])),
    (
        "fields that Connection names",
        "Connection: Content-Length, close\r\nContent-Length: 5",
        "hello",
        Reach(&[("/case", "hello")]),
    ),
    (
        "Transfer-Encoding that Connection names",
        "Connection: Transfer-Encoding, close\r\nTransfer-Encoding: chunked",
        "5\r\nhello\r\n0\r\n\r\n",
        Reach(&[("/case", "hello")]),
    ),
    ("an extension", "Transfer-Encoding: chunked", "5;a=\"b\"\r\nhello\r\n0\r\n\r\n", Reach(&[("/case", "hello")])),
    ("a chunk size beyond 64 bits", "Transfer-Encoding: chunked", "10000000000000005\r\nhello\r\n0\r\n\r\n", Broken),
    ("a chunk size in decimal letters", "Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n", Broken),
    ("a signed chunk size", "Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n", Broken),
    ("a chunk that ends in a bare LF", "Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n", Broken),
    ("an extension with a bare LF", "Transfer-Encoding: chunked", "5;a\nb\r\nhello\r\n0\r\n\r\n", Broken),
    ("an extension with a bare CR", "Transfer-Encoding: chunked", "5;a\rb\r\nhello\r\n0\r\n\r\n", Broken),
    ("data longer than its chunk", "Transfer-Encoding: chunked", "3\r\nhello\r\n0\r\n\r\n", Broken),
    (
        "a trailer that frames",
        "Transfer-Encoding: chunked",
        "5\r\nhello\r\n0\r\nContent-Length: 70\r\n\r\n",
        Reach(&[("/case", "hello")]),
    ),
    ("a broken trailer", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX : y\r\n\r\n", Broken),
    (
        "an underscore for a dash",
        "Transfer_Encoding: chunked\r\nContent-Length: 5",
        "hello",
        Reach(&[("/case", "hello")]),
    ),
    (
        "an upgrade with a body",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5",
        "hello",
        Reach(&[("/case", "hello")]),
    ),
];

/// A body as the recorder's bytes hold it, read strictly; `None`: not one whole request.
fn only_request(bytes: &[u8]) -> Option<(String, String, String)> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let values = |name: &str| -> Vec<String> {
        let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).collect()
    };
    let body = match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => rest.is_empty().then(String::new)?,
        ([length], []) => (length.parse() == Ok(rest.len())).then(|| rest.to_owned())?,
        ([], [coding]) if coding == "chunked" => {
            let (mut rest, mut body) = (rest, String::new());
            loop {
                let (size, after) = rest.split_once("\r\n")?;
                let size = usize::from_str_radix(size, 16).ok()?;
                if size == 0 {
                    break (after == "\r\n").then_some(body)?;
                }
                body.push_str(after.get(..size)?);
                rest = after.get(size..)?.strip_prefix("\r\n")?;
            }
        }
        both => panic!("framed twice: {both:?} in {text:?}"),
    };
    let target = head.split(' ').nth(1)?.to_owned();
    Some((target, body, head.to_owned()))
}

async fn start(lab: &Lab, policy: &str) -> (Gateway, Recorded) {
    let (address, recorded) = recorder(lab, ANSWER).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = policy.to_owned();
    (Gateway::start(lab, &configuration.text()), recorded)
}

/// What reached the backend: a last request is sent, and when it has arrived and no connection is open, that is all.
async fn recorded_all(lab: &Lab, gateway: &Gateway, recorded: &Recorded) -> Vec<Vec<u8>> {
    let sentinel = "GET /sentinel HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";
    let answer = exchange(lab, gateway.address(), sentinel).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    wait_for("the recorder", || recorded.is_settled_after("GET /sentinel ")).await;
    let mut seen = recorded.take();
    seen.retain(|bytes| !bytes.is_empty() && !bytes.starts_with(b"GET /sentinel "));
    seen
}

async fn http1_cases(policy: &str) {
    let lab = Lab::new();
    let (mut gateway, recorded) = start(&lab, policy).await;
    for (name, headers, body, expect) in CASES {
        let request = format!("POST /case HTTP/1.1\r\nHost: edge.example\r\n{headers}\r\n\r\n{body}");
        // What follows is another's request to whoever reads the one before wrongly, and a last one otherwise.
        let answer = exchange(&lab, gateway.address(), request + SMUGGLED + "GET /last HTTP/1.0\r\n\r\n").await;
        let seen = recorded_all(&lab, &gateway, &recorded).await;
        let told: Vec<_> = seen.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        match expect {
            Refused(status) => {
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
                assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
                assert!(seen.is_empty(), "{name}: {told:?}");
            }
            Broken => {
                assert!(!answer.starts_with("HTTP/1.1 2"), "{name}: {answer}");
                for bytes in &seen {
                    assert!(only_request(bytes).is_none(), "{name}: {told:?}");
                }
                assert!(!told.iter().any(|text| text.contains("smuggled")), "{name}: {told:?}");
            }
            Reach(expected) => {
                assert!(answer.starts_with("HTTP/1.1 200 "), "{name}: {answer}");
                let seen: Vec<_> = seen.iter().map(|bytes| only_request(bytes)).collect();
                assert!(seen.iter().all(Option::is_some), "{name}: {told:?}");
                let mut pairs: Vec<_> = seen.into_iter().flatten().map(|(target, body, _)| (target, body)).collect();
                // The requests behind it are requests of their own, or the connection ended.
                pairs.retain(|(target, body)| !((target == "/smuggled" || target == "/last") && body.is_empty()));
                let expected: Vec<_> =
                    expected.iter().map(|(target, body)| ((*target).to_owned(), (*body).to_owned())).collect();
                assert_eq!(pairs, expected, "{name}: {told:?}");
                for text in &told {
                    let lower = text.to_lowercase();
                    assert!(!lower.contains("\r\nconnection: content-length"), "{name}: {text}");
                    assert!(!lower.contains("upgrade: h2c"), "{name}: {text}");
                }
                let is_ambiguous = headers.contains("Content-Length") && headers.contains("Transfer-Encoding");
                if is_ambiguous {
                    assert_eq!(told.len(), 1, "{name}: the connection must end: {told:?}");
                }
            }
        }
    }
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_is_read_in_one_way_only() {
    http1_cases("mode: off").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_is_read_in_one_way_only_when_bodies_are_inspected() {
    http1_cases("mode: detection, rules: [builtin]").await;
}

type Field = (&'static [u8], &'static [u8]);

const INJECTED: &[u8] = b"a\r\nX-Injected: yes";
const REQUEST_IN_VALUE: &[u8] = b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// Fields that would become something else in HTTP/1. `:method`, `:scheme`, `:authority` and `:path` are replaced or
/// added to.
const DOWNGRADES: &[(&str, &[Field])] = &[
    ("a line end in a value", &[(b"x", INJECTED)]),
    ("a bare LF in a value", &[(b"x", b"a\nX-Injected: yes")]),
    ("a NUL in a value", &[(b"x", b"a\0b")]),
    ("a request in a value", &[(b"x", REQUEST_IN_VALUE)]),
    ("a line end in a name", &[(b"x: a\r\nx-injected", b"yes")]),
    ("a colon in a name", &[(b"transfer-encoding: chunked\r\nx", b"y")]),
    ("an upper-case name", &[(b"X-Upper", b"y")]),
    ("an empty name", &[(b"", b"y")]),
    ("Transfer-Encoding", &[(b"transfer-encoding", b"chunked")]),
    ("Connection", &[(b"connection", b"transfer-encoding")]),
    ("Upgrade", &[(b"upgrade", b"websocket")]),
    ("Proxy-Connection", &[(b"proxy-connection", b"keep-alive")]),
    ("TE that is not trailers", &[(b"te", b"gzip")]),
    ("another Host", &[(b"host", b"other.example")]),
    ("a length that is none", &[(b"content-length", b"+5")]),
    ("two lengths", &[(b"content-length", b"5"), (b"content-length", b"6")]),
    ("a length that the data does not have", &[(b"content-length", b"3")]),
    ("a pseudo field after others", &[(b"x", b"y"), (b":path", b"/other")]),
    ("an unknown pseudo field", &[(b":x", b"y")]),
    ("a request line in the path", &[(b":path", b"/ HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled")]),
    ("a blank in the path", &[(b":path", b"/a HTTP/1.1")]),
    ("a path without a slash", &[(b":path", b"smuggled")]),
    ("an absolute path", &[(b":path", b"http://other.example/")]),
    ("an empty path", &[(b":path", b"")]),
    ("a request line in the method", &[(b":method", b"GET /smuggled HTTP/1.1\r\nX: ")]),
    ("a blank in the method", &[(b":method", b"GET /smuggled")]),
    ("a line end in the authority", &[(b":authority", b"edge.example\r\nX-Injected: yes")]),
    ("a path in the authority", &[(b":authority", b"edge.example/smuggled")]),
    ("a user in the authority", &[(b":authority", b"a@edge.example")]),
    ("another scheme", &[(b":scheme", b"https://other.example/?")]),
];

/// The fields of a POST with these injected.
fn injected_into_post(injected: &[Field]) -> Vec<Field> {
    let mut fields: Vec<Field> =
        vec![(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"edge.example"), (b":path", b"/case")];
    for field in injected {
        match fields.iter_mut().find(|found| found.0 == field.0 && injected.len() == 1) {
            Some(found) => *found = *field,
            None => fields.push(*field),
        }
    }
    fields
}

/// What is wrong with bytes that a backend got for such a POST. What goes on at all must be one ordinary request
/// without what was injected, or one that breaks off.
fn danger(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let framing: Vec<_> = lines.filter(|line| ["content-length", "transfer-encoding"].contains(&line.0)).collect();
    let announced = match framing.as_slice() {
        [("content-length", length)] => length.trim().parse::<usize>().ok(),
        [("transfer-encoding", " chunked")] => Some(usize::MAX),
        _ => return Some(format!("framed as {framing:?}")),
    };
    match only_request(bytes) {
        Some((target, body, head)) => {
            if target != "/case" || body != "hello" {
                return Some(format!("another request, {target} {body:?}"));
            }
            let mut lines = head.split("\r\n");
            if lines.next() != Some("POST /case HTTP/1.1") {
                return Some("another request line".to_owned());
            }
            for line in lines {
                let name = line.split(':').next().unwrap_or_default();
                if name.is_empty()
                    || !name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'0'..=b'9'))
                {
                    return Some(format!("the name {name:?}"));
                }
            }
            if head.matches("\r\nhost: edge.example\r\n").count() != 1 || head.matches("\r\nhost:").count() != 1 {
                return Some("another host".to_owned());
            }
        }
        // Cut off before its end, it is nobody's request; longer than its end, the rest is another's.
        None if announced.is_none_or(|announced| rest.len() >= announced) => {
            return Some("more than one request".to_owned());
        }
        None => {}
    }
    let lower = text.to_lowercase();
    let bad = [
        "x-injected",
        "smuggled",
        "other.example",
        "upgrade",
        "proxy-connection",
        "gzip",
        "\0",
        "\nconnection",
        "@",
        "+5",
    ];
    bad.iter().find(|bad| lower.contains(**bad)).map(|bad| format!("{bad:?} is in it"))
}

/// What a gateway would write that puts the fields of HTTP/2 into lines as they are. The length of the body is added
/// where the client gave none, as any gateway does.
fn naive(fields: &[Field]) -> Vec<u8> {
    let value = |name: &[u8]| fields.iter().rev().find(|field| field.0 == name).map_or(&b""[..], |field| field.1);
    let mut out =
        [value(b":method"), b" ", value(b":path"), b" HTTP/1.1\r\nhost: ", value(b":authority"), b"\r\n"].concat();
    for (name, value) in
        fields.iter().filter(|field| !matches!(field.0, b":method" | b":path" | b":authority" | b":scheme"))
    {
        out.extend([*name, b": ", *value, b"\r\n"].concat());
    }
    let is_framed = fields.iter().any(|field| field.0 == b"content-length");
    out.extend_from_slice(if is_framed { b"\r\nhello" } else { b"content-length: 5\r\n\r\nhello" });
    out
}

/// The positive control of the test below: if the gateway did not refuse the injections, the check would see each one
/// that can be written in HTTP/1 at all.
#[test]
fn the_check_sees_injections_that_are_not_refused() {
    let seen = |fields: &[Field]| danger(&naive(fields));
    assert_eq!(seen(&injected_into_post(&[])), None, "an ordinary request is no danger");
    for (name, injected) in DOWNGRADES {
        // The scheme is not written in HTTP/1, so there is nothing to see.
        let is_written = injected.iter().any(|field| field.0 != b":scheme");
        assert_eq!(seen(&injected_into_post(injected)).is_some(), is_written, "{name}");
    }
}

/// A body without a length, which HTTP/2 allows, was held whole and then written behind a head that did not tell of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_is_framed_for_http1() {
    let lab = Lab::new();
    for policy in ["mode: off", "mode: prevention, rules: [builtin]"] {
        let (mut gateway, recorded) = start(&lab, policy).await;
        for method in [&b"POST"[..], b"PUT", b"GET"] {
            let mut fields = injected_into_post(&[(b"content-type", b"text/plain")]);
            fields[0].1 = method;
            for pieces in [&[&b"hello"[..]][..], &[b"hel", b"lo"]] {
                let mut frames = Frames::connect(&lab, gateway.address()).await;
                let mut bytes = frame(HEADERS, END_HEADERS, 1, &block(&fields));
                for (index, piece) in pieces.iter().enumerate() {
                    let flags = if index + 1 == pieces.len() { END_STREAM } else { 0 };
                    bytes.extend(frame(DATA, flags, 1, piece));
                }
                frames.send(&bytes).await;
                frames.hear(|heard| heard.frames.iter().any(|(kind, ..)| *kind == HEADERS)).await;
                drop(frames);
                let seen = recorded_all(&lab, &gateway, &recorded).await;
                let requests: Vec<_> = seen.iter().map(|bytes| only_request(bytes)).collect();
                let is_whole = |request: &Option<(String, String, String)>| {
                    request.as_ref().is_some_and(|(target, body, _)| target == "/case" && body == "hello")
                };
                let told = || seen.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect::<Vec<_>>();
                assert!(requests.len() == 1 && requests.iter().all(is_whole), "{policy}: {:?}", told());
            }
        }
        gateway.assert_sound();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_cannot_inject_into_http1() {
    let lab = Lab::new();
    let (mut gateway, recorded) = start(&lab, "mode: off").await;
    for (name, injected) in DOWNGRADES {
        let fields = injected_into_post(injected);
        let mut frames = Frames::connect(&lab, gateway.address()).await;
        let head = block(&fields);
        let (first, second) = head.split_at(head.len() / 2);
        let mut bytes = frame(HEADERS, 0, 1, first);
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, second));
        bytes.extend(frame(DATA, END_STREAM, 1, b"hello"));
        frames.send(&bytes).await;
        let is_answered = |heard: &Heard| {
            heard.frames.iter().any(|(kind, ..)| [RST_STREAM, GOAWAY].contains(kind))
                || heard.frames.iter().any(|(kind, stream, _)| *kind == HEADERS && *stream == 1)
        };
        let heard = frames.hear(is_answered).await;
        drop(frames);
        let seen = recorded_all(&lab, &gateway, &recorded).await;
        for bytes in &seen {
            let danger = danger(bytes);
            assert!(danger.is_none(), "{name}: {}: {:?}", danger.unwrap_or_default(), String::from_utf8_lossy(bytes));
        }
        if !seen.is_empty() {
            eprintln!("{name}: went on, {:?}", heard.frames.iter().map(|frame| frame.0).collect::<Vec<_>>());
        }
    }
    gateway.assert_sound();
}
