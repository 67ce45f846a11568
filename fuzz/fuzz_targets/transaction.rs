//! Any request and response through rules that use most of the language: no panic, and the same matches, verdict and
//! scores with every fast path on and off, with the bodies in one piece or in many, and whatever the worker has learned
//! of values before.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use portcullis::diagnostics::Source;
use portcullis::seclang::{parse, source::MemoryLoader};
use portcullis::waf::{Connection, EngineOptions, Program, RequestLine, Scratch, Summary, Transaction, Verdict};

const RULES: &str = include_str!("transaction.conf");

static PROGRAMS: LazyLock<[Program; 2]> =
    LazyLock::new(|| [compile(&EngineOptions::reference()), compile(&EngineOptions::default())]);

thread_local! {
    /// Of a worker that has seen all requests of this run.
    static KEPT: RefCell<Scratch> = RefCell::new(Scratch::default());
}

fn compile(options: &EngineOptions) -> Program {
    let loader = MemoryLoader::new();
    let (ruleset, diagnostics) = parse(&Source::new("transaction.conf", RULES), &loader);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    match Program::compile(&ruleset, &loader, options) {
        Ok((program, _)) => program,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

// Fields are separated by 0xFF: target, cookie, request body, response body.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_at_checked(2) else { return };
    let mut fields = rest.splitn(4, |byte| *byte == 0xff);
    let mut field = || fields.next().unwrap_or_default();
    let case = Case {
        content_type: CONTENT_TYPES[usize::from(choice[0]) % CONTENT_TYPES.len()],
        piece: usize::from(choice[1] % 32) + 1,
        target: field(),
        cookie: field(),
        request_body: field(),
        response_body: field(),
    };
    let [reference, fast] = &*PROGRAMS;
    let whole = run(reference, &case, usize::MAX, &mut Scratch::default());
    assert_eq!(
        run(reference, &case, case.piece, &mut Scratch::default()),
        whole,
        "pieces of a body change the outcome"
    );
    let fresh = &mut Scratch::default();
    assert_eq!(run(fast, &case, usize::MAX, fresh), whole, "fast paths change the outcome");
    assert_eq!(run(fast, &case, usize::MAX, fresh), whole, "what was learned from the request changes its outcome");
    let is_same = KEPT.with_borrow_mut(|kept| run(fast, &case, usize::MAX, kept) == whole);
    assert!(is_same, "what was learned from other requests changes the outcome");
});

const CONTENT_TYPES: [&[u8]; 6] = [
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=b",
    b"application/json; charset=utf-8",
    b"text/xml",
    b"text/plain",
    b"",
];

struct Case<'a> {
    content_type: &'a [u8],
    piece: usize,
    target: &'a [u8],
    cookie: &'a [u8],
    request_body: &'a [u8],
    response_body: &'a [u8],
}

/// What must not depend on how it was computed.
#[derive(Debug, PartialEq)]
struct Observed {
    verdicts: Vec<Verdict>,
    lines: Vec<Vec<u8>>,
    scores: (Option<i64>, Option<i64>),
}

fn run(program: &Program, case: &Case<'_>, piece: usize, scratch: &mut Scratch) -> Observed {
    let connection = Connection {
        client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: 1024,
        server_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        server_port: 443,
        unique_id: "fuzz",
        now: Duration::from_secs(1_700_000_000),
        is_detection_only: false,
    };
    let mut transaction = Transaction::new(program, scratch, &connection);
    let raw = [b"POST ", case.target, b" HTTP/1.1"].concat();
    let line = RequestLine { raw: &raw, method: b"POST", target: case.target, protocol: b"HTTP/1.1" };
    let headers: [(&[u8], &[u8]); 3] =
        [(b"Host", b"localhost"), (b"Content-Type", case.content_type), (b"Cookie", case.cookie)];
    let mut verdicts = vec![transaction.request_headers(program, scratch, line, headers.into_iter())];
    if go_on(&verdicts) {
        if transaction.wants_request_body() {
            for chunk in case.request_body.chunks(piece.min(case.request_body.len().max(1))) {
                transaction.request_body(program, chunk);
            }
        }
        verdicts.push(transaction.finish_request_body(program, scratch));
    }
    if go_on(&verdicts) {
        let headers: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"text/html")];
        verdicts.push(transaction.response_headers(program, scratch, 200, b"HTTP/1.1", headers.into_iter()));
    }
    if go_on(&verdicts) {
        if transaction.wants_response_body() {
            for chunk in case.response_body.chunks(piece.min(case.response_body.len().max(1))) {
                transaction.response_body(program, chunk);
            }
        }
        verdicts.push(transaction.finish_response_body(program, scratch));
    }
    let Summary { matches, inbound_score, outbound_score, .. } =
        transaction.finish(program, scratch, Duration::from_millis(1));
    let lines = matches.into_iter().map(|found| found.line_text).collect();
    Observed { verdicts, lines, scores: (inbound_score, outbound_score) }
}

fn go_on(verdicts: &[Verdict]) -> bool {
    verdicts.iter().all(|verdict| *verdict == Verdict::Allow)
}
