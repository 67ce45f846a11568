//! What lasts longer than a request and its answer, or is told in parts: each part passes when it is sent.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message, handshake};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::backend::{self, recorder};
use crate::client::{Fed, Raw, collect, connect, http1, http2, next_data, request};
use crate::lab::{EDGE, Gateway, Lab, PATIENCE, is_slow, spawn, wait_for};

const GET: &str = "GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n";

/// Echoes WebSocket messages until the other side closes.
async fn websocket(mut request: http::Request<hyper::body::Incoming>) -> http::Response<Fed> {
    let key = request.headers().get("sec-websocket-key").expect("a key").as_bytes().to_vec();
    spawn(async move {
        let stream = TokioIo::new(hyper::upgrade::on(&mut request).await.expect("an upgrade"));
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(WebSocketConfig::default())).await;
        while let Some(message) = socket_next(&mut socket).await {
            if !message.is_close() {
                socket_send(&mut socket, message).await;
            }
        }
    });
    http::Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", handshake::derive_accept_key(&key))
        .body(Fed::whole(""))
        .expect("a response")
}

async fn socket_next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Option<Message> {
    match timeout(PATIENCE, socket.next()).await.expect("a message in time")? {
        Ok(message) => Some(message),
        Err(Error::ConnectionClosed) => None,
        Err(error) => panic!("{error:?}"),
    }
}

async fn socket_send<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, message: Message) {
    socket.send(message).await.expect("sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_both_ways_and_close() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, websocket).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let stream = connect(&lab, gateway.address(), "http/1.1").await;
    let (mut socket, response) =
        client_async(format!("wss://{EDGE}/socket"), stream).await.expect("a WebSocket handshake");
    assert_eq!(response.status(), 101);
    let messages = [
        Message::text("hello"),
        Message::binary(vec![7; 200_000]),
        Message::binary(Vec::new()),
        Message::text("ümläut"),
    ];
    for message in messages {
        socket_send(&mut socket, message.clone()).await;
        assert_eq!(socket_next(&mut socket).await, Some(message));
    }
    socket_send(&mut socket, Message::Ping(Bytes::from_static(b"ping"))).await;
    assert!(matches!(socket_next(&mut socket).await, Some(Message::Pong(_) | Message::Ping(_))));
    let close = CloseFrame { code: CloseCode::Away, reason: "enough".into() };
    socket.close(Some(close)).await.expect("a close frame");
    // Servers that end without a TLS goodbye lose nothing of what they said before.
    let closed = loop {
        match socket_next(&mut socket).await {
            Some(Message::Close(frame)) => break frame,
            Some(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("{other:?} instead of a close frame"),
        }
    };
    assert_eq!(closed.map(|frame| frame.code), Some(CloseCode::Away));
    drop(socket);
    let record = &gateway.records(1)[0];
    assert_eq!(record["status"], 101, "{record}");
    assert!(record["sent_bytes"].as_u64() > Some(200_000), "{record}");
    gateway.assert_sound();
}

/// A message as gRPC frames it: not compressed, its length, its bytes.
fn grpc(message: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message.as_bytes());
    out.freeze()
}

/// Echoes each message, then says how it went in trailers.
async fn grpc_echo(request: http::Request<hyper::body::Incoming>) -> http::Response<Fed> {
    assert_eq!(request.version(), http::Version::HTTP_2);
    assert_eq!(request.headers()["te"], "trailers");
    let (sender, body) = Fed::new();
    spawn(async move {
        let mut incoming = request.into_body();
        while let Some(Ok(frame)) = incoming.frame().await {
            if let Ok(bytes) = frame.into_data()
                && sender.send(Frame::data(bytes)).await.is_err()
            {
                return;
            }
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        trailers.insert("grpc-message", http::HeaderValue::from_static("fine"));
        drop(sender.send(Frame::trailers(trailers)).await);
    });
    http::Response::builder().header("content-type", "application/grpc").body(body).expect("a response")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_streams_both_ways_and_ends_with_its_status() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, grpc_echo).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.pool = "    http2: true".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let mut client = http2(&lab, gateway.address()).await;
    for _ in 0..3 {
        let (sender, body) = Fed::new();
        let mut call = request("POST", "/lab.Echo/Stream", body);
        call.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
        call.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
        let response = timeout(PATIENCE, client.send_request(call)).await.expect("a head in time").expect("a head");
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        for round in 0..20 {
            let message = grpc(&format!("message {round}"));
            sender.send(Frame::data(message.clone())).await.expect("taken");
            assert_eq!(next_data(&mut body).await, Some(message), "round {round}");
        }
        drop(sender);
        let last =
            timeout(PATIENCE, body.frame()).await.expect("trailers in time").expect("trailers").expect("a frame");
        let trailers = last.into_trailers().expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["grpc-message"], "fine");
    }
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_that_fails_at_once_has_its_status_in_a_head_that_is_all() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |_| async {
        let head = http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
        head.body(Fed::whole("")).expect("a response")
    })
    .await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    configuration.pool = "    http2: true".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let stream = connect(&lab, gateway.address(), "h2").await;
    let (mut client, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 connection");
    spawn(async move { drop(connection.await) });
    let call = http::Request::builder().method("POST").uri(format!("https://{EDGE}/lab.Echo/None"));
    let call = call.header("content-type", "application/grpc").header("te", "trailers").body(()).expect("a call");
    let (response, mut request) = client.send_request(call, false).expect("sent");
    request.send_data(grpc("hello"), true).expect("sent");
    let response = timeout(PATIENCE, response).await.expect("a head in time").expect("a head");
    assert_eq!(response.headers()["grpc-status"], "5");
    // With another frame behind it a gRPC client would say that the stream broke.
    assert!(response.body().is_end_stream(), "more than a head: {response:?}");
    assert!(!response.headers().contains_key("content-length"), "{response:?}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_to_a_pool_without_http2_is_told_what_is_missing() {
    let lab = Lab::new();
    let (address, _) = recorder(&lab, "").await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut client = http2(&lab, gateway.address()).await;
    let mut call = request("POST", "/lab.Echo/Once", Fed::whole(grpc("hello")));
    call.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    let response = timeout(PATIENCE, client.send_request(call)).await.expect("a head in time").expect("a head");
    let message = response.headers()["grpc-message"].to_str().expect("ASCII");
    assert!(message.contains("gRPC needs HTTP/2") && !message.contains("docs.rs"), "{message}");
    gateway.assert_sound();
}

/// An event every few milliseconds, each with the time of its birth.
async fn events(origin: Instant) -> http::Response<Fed> {
    let (sender, body) = Fed::new();
    spawn(async move {
        for _ in 0..EVENTS {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let event = format!("data: {}\n\n", origin.elapsed().as_micros());
            if sender.send(Frame::data(event.into())).await.is_err() {
                return;
            }
        }
    });
    http::Response::builder().header("content-type", "text/event-stream").body(body).expect("a response")
}

const EVENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_when_it_is_sent() {
    let lab = Lab::new();
    let origin = Instant::now();
    let address = backend::hyper(&lab, move |_| events(origin)).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    for version in [1, 2] {
        let response = if version == 1 {
            let mut client = http1(&lab, gateway.address()).await;
            let request = http::Request::get("/events").header("host", EDGE).body(Fed::whole("")).expect("a request");
            client.send_request(request).await.expect("a head")
        } else {
            let mut client = http2(&lab, gateway.address()).await;
            client.send_request(request("GET", "/events", Fed::whole(""))).await.expect("a head")
        };
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut delays = Vec::new();
        while let Some(bytes) = next_data(&mut body).await {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // Two that arrive together count as the older one's delay.
            let sent: u128 = text
                .trim_start_matches("data: ")
                .split('\n')
                .next()
                .and_then(|sent| sent.parse().ok())
                .expect("a time");
            delays.push(origin.elapsed().as_micros().saturating_sub(sent));
        }
        delays.sort_unstable();
        let at = |percent: usize| delays[(delays.len() * percent).div_ceil(100).max(1) - 1];
        let (median, late, worst) = (at(50), at(99), delays[delays.len() - 1]);
        let count = delays.len();
        eprintln!("events in HTTP/{version}: {count}, median {median} µs, 99th percentile {late} µs, worst {worst} µs");
        // Backend and client are in this process and the machine may be busy: what the median allows is the gateway's,
        // the 99th percentile is the scheduler's as well and binds only where the machine is known to be quiet.
        assert!(median < 5_000, "median {median} µs");
        assert!(late < if is_slow() { 5_000 } else { 250_000 }, "99th percentile {late} µs");
    }
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_has_the_length_and_no_body() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |_| async {
        http::Response::builder().header("content-length", "1234").body(Fed::whole("")).expect("a response")
    })
    .await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    for _ in 0..2 {
        raw.write("HEAD / HTTP/1.1\r\nHost: edge.example\r\n\r\n").await;
        let head = raw.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("content-length: 1234\r\n"), "{head}");
        assert!(raw.read.is_empty());
    }
    let mut client = http2(&lab, gateway.address()).await;
    let response = client.send_request(request("HEAD", "/", Fed::whole(""))).await.expect("a head");
    assert_eq!(response.headers()["content-length"], "1234");
    assert_eq!(collect(response).await, (200, String::new()));
    gateway.assert_sound();
}

/// Echoes the body whole.
async fn echo(request: http::Request<hyper::body::Incoming>) -> http::Response<Fed> {
    let target = request.uri().to_string();
    let body = request.into_body().collect().await.expect("a body");
    let trailer = body.trailers().and_then(|fields| fields.get("x-sum")).cloned();
    let mut whole = BytesMut::from(format!("{target} ").as_bytes());
    whole.put_slice(&body.to_bytes());
    let mut response = http::Response::builder();
    if let Some(trailer) = trailer {
        response = response.header("x-saw-trailer", trailer);
    }
    response.body(Fed::whole(whole.freeze())).expect("a response")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_is_told_to_go_on() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, echo).await;
    let mut configuration = lab.configuration(&[address]);
    let rule = "SecRule ARGS:bad 1 \"id:1,phase:1,deny,status:403\"";
    configuration.policy = format!("mode: prevention, rules: [builtin, {{ inline: '{rule}' }}]");
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    raw.write("POST /w HTTP/1.1\r\nHost: edge.example\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let interim = raw.until("\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 100"), "{interim}");
    raw.write("hello").await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    raw.until("/w hello").await;
    // One that is refused is not told to.
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    raw.write("POST /?bad=1 HTTP/1.1\r\nHost: edge.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let refused = raw.response().await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, echo).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    let mut all = String::new();
    for number in 0..20 {
        let body = format!("body {number}");
        all +=
            &format!("POST /{number} HTTP/1.1\r\nHost: edge.example\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    }
    raw.write(all).await;
    for number in 0..20 {
        raw.until(&format!("/{number} body {number}")).await;
    }
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_and_trailers_pass_both_ways() {
    let lab = Lab::new();
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n";
    let (address, recorded) = recorder(&lab, answer).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    raw.write("POST / HTTP/1.1\r\nHost: edge.example\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    let answer = raw.rest().await;
    assert!(answer.ends_with("5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n"), "{answer}");
    wait_for("the recorder", || recorded.is_settled_after("POST")).await;
    let seen = String::from_utf8_lossy(&recorded.take()[0]).into_owned();
    assert!(seen.contains("abc") && seen.contains("defg") && !seen.contains("x=y"), "{seen}");
    assert!(seen.ends_with("0\r\nX-Sum: 1\r\n\r\n"), "{seen}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_connections_serve_many() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, echo).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut raw = Raw::connect(&lab, gateway.address()).await;
    for _ in 0..50 {
        raw.write(GET).await;
        raw.until("\r\n\r\n").await;
        raw.until("/ ").await;
    }
    assert_eq!(gateway.metric("portcullis_connections_total", "edge"), 1.0);
    gateway.assert_sound();
}
