//! Clients that mean ill: each meets a bound, and the gateway serves others meanwhile and afterwards.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::backend;
use crate::client::{Fed, Raw, exchange};
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, block, frame, get, kept,
};
use crate::lab::{Gateway, Lab, is_slow, wait_for};

const GET: &str = "GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n";
const GET_CLOSE: &str = "GET / HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";

/// A gateway with short deadlines and small bounds.
async fn start(listener: &str) -> (Lab, Gateway) {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |request| async move {
        use http_body_util::BodyExt as _;
        drop(request.into_body().collect().await);
        http::Response::new(Fed::whole("fine"))
    })
    .await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    configuration.listener = listener.to_owned();
    let gateway = Gateway::start(&lab, &configuration.text());
    (lab, gateway)
}

/// It still serves, nothing panicked, and nobody's connection is left.
async fn finish(lab: &Lab, gateway: &mut Gateway) {
    let answer = exchange(lab, gateway.address(), GET_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("fine"), "{answer}");
    wait_for("connections to end", || gateway.metric("portcullis_connections_open", "edge") == 0.0).await;
    gateway.assert_sound();
}

const SHORT: &str = "    timeouts: { handshake: 500ms, head: 500ms, body: 500ms, write: 2s, idle: 700ms }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_bodies_handshakes_and_idleness_meet_deadlines() {
    let (lab, mut gateway) = start(SHORT).await;
    let address = gateway.address();
    let begin = Instant::now();
    let trickle = |first: &'static str, byte: &'static str| {
        let lab = &lab;
        async move {
            let mut raw = Raw::connect(lab, address).await;
            raw.write(first).await;
            // A byte now and then does not buy time for a head; for a body it does, so that one falls silent.
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                raw.write(byte).await;
            }
            raw.rest().await
        }
    };
    let handshake = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(b"\x16\x03\x01").await.expect("written");
        drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await);
    };
    let silent = async { Raw::connect(&lab, address).await.rest().await };
    let idle = async {
        let mut raw = Raw::connect(&lab, address).await;
        raw.write(GET).await;
        raw.until("fine").await;
        raw.rest().await
    };
    let (head, body, (), silent, idle) = tokio::join!(
        trickle("GET / HTTP/1.1\r\nHost: edge.example\r\nX: ", "a"),
        trickle("POST / HTTP/1.1\r\nHost: edge.example\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n", "a"),
        handshake,
        silent,
        idle,
    );
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert_eq!((silent.as_str(), idle.as_str()), ("", ""));
    // HTTP/2 without a request, with half a head, with half a body.
    for bytes in [
        Vec::new(),
        frame(HEADERS, 0, 1, &get("/")),
        [
            frame(
                HEADERS,
                END_HEADERS,
                1,
                &block(&[
                    (b":method", b"POST"),
                    (b":scheme", b"https"),
                    (b":authority", b"edge.example"),
                    (b":path", b"/"),
                ]),
            ),
            frame(DATA, 0, 1, b"half"),
        ]
        .concat(),
    ] {
        let mut frames = Frames::connect(&lab, address).await;
        assert!(frames.send(&bytes).await);
        let heard = frames.hear(|_| false).await;
        assert!(heard.is_closed, "{heard:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    let records = gateway.records(4);
    let kinds: Vec<_> = records.iter().filter_map(|record| record["fault"]["kind"].as_str()).collect();
    assert!(kinds.contains(&"head_timeout") && kinds.contains(&"body_timeout"), "{kinds:?}");
    finish(&lab, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_meets_the_write_deadline() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |_| async { http::Response::new(Fed::whole(vec![b'x'; 32 << 20])) }).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.listener = SHORT.to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    raw.write(GET).await;
    let record = &gateway.records(1)[0];
    assert_eq!(record["fault"]["kind"], "client_write_timeout", "{record}");
    assert!(raw.rest().await.len() < 32 << 20);
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_idle_connections_cost_little_and_hold_up_nobody() {
    let count = if is_slow() { 10_000 } else { 500 };
    // As long as it takes to open them all here.
    let (lab, mut gateway) = start("    timeouts: { head: 300s, idle: 300s }").await;
    let before = gateway.memory_kb("VmRSS");
    let mut idle = Vec::new();
    for number in 0..count {
        let mut raw = Raw::connect(&lab, gateway.address()).await;
        if number % 2 == 0 {
            raw.write(GET).await;
            raw.until("fine").await;
        }
        idle.push(raw);
    }
    let with = gateway.memory_kb("VmRSS");
    assert_eq!(gateway.metric("portcullis_connections_open", "edge"), count as f64);
    let each = (with.saturating_sub(before)) / count as u64;
    eprintln!("{count} idle connections: {before} kB became {with} kB, {each} kB each");
    let begin = Instant::now();
    let answer = exchange(&lab, gateway.address(), GET_CLOSE).await;
    assert!(answer.ends_with("fine"), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    drop(idle);
    finish(&lab, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_limit_are_closed_at_once() {
    let (lab, mut gateway) = start("    limits: { connections: 3 }").await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(&lab, gateway.address()).await;
        raw.write(GET).await;
        raw.until("fine").await;
        kept.push(raw);
    }
    let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
    let mut seen = Vec::new();
    drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut seen).await);
    assert!(seen.is_empty());
    assert!(gateway.metric("portcullis_connections_refused_total", "edge") >= 1.0);
    drop(kept);
    wait_for("connections to end", || gateway.metric("portcullis_connections_open", "edge") == 0.0).await;
    finish(&lab, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection() {
    let (lab, mut gateway) = start("").await;
    let mut frames = Frames::connect(&lab, gateway.address()).await;
    let mut is_open = true;
    for round in 0..200 {
        let mut burst = Vec::new();
        for number in 0..100 {
            let stream = 1 + 2 * (round * 100 + number);
            burst.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &get("/reset")));
            burst.extend(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
        }
        is_open = frames.send(&burst).await;
        if !is_open {
            break;
        }
    }
    let heard = frames.hear(|heard| heard.has(GOAWAY)).await;
    assert!(!is_open || heard.has(GOAWAY) || heard.is_closed, "20,000 resets were taken");
    drop(frames);
    finish(&lab, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_continuations_ends_the_connection() {
    let (lab, mut gateway) = start("").await;
    let before = gateway.memory_kb("VmRSS");
    let mut frames = Frames::connect(&lab, gateway.address()).await;
    assert!(frames.send(&frame(HEADERS, END_STREAM, 1, &get("/"))).await);
    let mut is_open = true;
    for payload in [Vec::new(), block(&[(b"x", &[b'a'; 1000])])] {
        for _ in 0..200 {
            let burst = frame(CONTINUATION, 0, 1, &payload).repeat(100);
            is_open = frames.send(&burst).await;
            if !is_open {
                break;
            }
        }
    }
    assert!(!is_open || frames.hear(|heard| heard.has(GOAWAY)).await.has(GOAWAY), "40,000 CONTINUATIONs were taken");
    let after = gateway.memory_kb("VmRSS");
    assert!(after < before + 16 * 1024, "{before} kB became {after} kB");
    drop(frames);
    finish(&lab, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_bombs_are_refused() {
    let (lab, mut gateway) = start("").await;
    // HTTP/2: one entry of 4 kB, named 15,000 times in a block of 16 kB: 60 MB.
    let mut bomb = get("/");
    bomb.extend(kept(b"x", &[b'a'; 3900]));
    bomb.extend(vec![0x80 | 62; 12_000 - 3_900]);
    let mut frames = Frames::connect(&lab, gateway.address()).await;
    assert!(frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await);
    let heard = frames.hear(|heard| [HEADERS, RST_STREAM, GOAWAY].iter().any(|kind| heard.has(*kind))).await;
    // 431 as a literal, or the stream or the connection is ended.
    let status = heard.frames.iter().find(|frame| frame.0 == HEADERS).map(|frame| frame.2.clone());
    if let Some(status) = status {
        assert!(!status.contains(&0x88), "200 to a header bomb");
    }
    drop(frames);
    // HTTP/1: many, long, endless.
    let many = format!("GET / HTTP/1.1\r\nHost: edge.example\r\n{}\r\n", "a: b\r\n".repeat(5000));
    let long = format!("GET / HTTP/1.1\r\nHost: edge.example\r\nX: {}\r\n\r\n", "a".repeat(300_000));
    let line = format!("GET /{} HTTP/1.1\r\nHost: edge.example\r\n\r\n", "a".repeat(300_000));
    for (bytes, status) in [(many, "431"), (long, "431"), (line, "414")] {
        let answer = exchange(&lab, gateway.address(), bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    let peak = gateway.memory_kb("VmHWM");
    assert!(peak < 128 * 1024, "{peak} kB");
    finish(&lab, &mut gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_leave_nothing() {
    let (lab, mut gateway) = start("").await;
    let parts = [
        "",
        "GET",
        "GET / HTTP/1.1\r\nHost: edge.example\r\n",
        "POST / HTTP/1.1\r\nHost: edge.example\r\nContent-Length: 100\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: edge.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        GET,
    ];
    for part in parts {
        // Gone without a word, and with a reset.
        for is_reset in [false, true] {
            let mut raw = Raw::connect(&lab, gateway.address()).await;
            raw.write(part).await;
            if is_reset {
                #[expect(deprecated, reason = "zero seconds do not block: the connection is reset")]
                raw.stream.get_ref().0.set_linger(Some(Duration::ZERO)).expect("an option");
            }
            drop(raw);
        }
        // Half closed: what was asked whole is answered.
        let mut raw = Raw::connect(&lab, gateway.address()).await;
        raw.write(part).await;
        drop(raw.stream.shutdown().await);
        let answer = raw.rest().await;
        if part == GET {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        } else {
            assert!(!answer.starts_with("HTTP/1.1 200"), "{part:?}: {answer}");
        }
    }
    for bytes in [&b"\x00\x01\x02garbage"[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff]] {
        let mut stream = TcpStream::connect(gateway.address()).await.expect("a connection");
        stream.write_all(bytes).await.expect("written");
        drop(stream.shutdown().await);
        drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await);
    }
    finish(&lab, &mut gateway).await;
}
