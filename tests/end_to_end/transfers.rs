//! Bodies far larger than any buffer, both ways and in both versions, in bounded memory.

use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::backend;
use crate::client::{Fed, collect, http1, http2, next_data, request};
use crate::lab::{EDGE, Gateway, Lab, is_slow, spawn};

const CHUNK: usize = 64 * 1024;

/// The goal for the gateway's memory, whatever passes through it.
const MEMORY_KB: u64 = 64 * 1024;

fn chunks() -> usize {
    let bytes: usize = if is_slow() { 4 << 30 } else { 64 << 20 };
    bytes / CHUNK
}

/// A body of so many chunks.
fn body(chunks: usize) -> Fed {
    let (sender, body) = Fed::new();
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    spawn(async move {
        for _ in 0..chunks {
            if sender.send(Frame::data(chunk.clone())).await.is_err() {
                return;
            }
        }
    });
    body
}

/// GET answers with a long body, everything else with the length of what came.
async fn answer(request: http::Request<Incoming>) -> http::Response<Fed> {
    if request.method() == http::Method::GET {
        return http::Response::new(body(chunks()));
    }
    let mut incoming = request.into_body();
    let mut count = 0;
    while let Some(Ok(frame)) = incoming.frame().await {
        count += frame.data_ref().map_or(0, Bytes::len);
    }
    http::Response::new(Fed::whole(count.to_string()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_pass_in_little_memory() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, answer).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [builtin], request_body: { inspect: false }".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let expected = chunks() * CHUNK;
    for (version, direction) in [(1, "GET"), (1, "PUT"), (2, "GET"), (2, "PUT")] {
        let begin = Instant::now();
        let sent = if direction == "PUT" { body(chunks()) } else { Fed::whole("") };
        let response = if version == 1 {
            let mut client = http1(&lab, gateway.address()).await;
            let request = http::Request::builder().method(direction).uri("/large").header("host", EDGE).body(sent);
            client.send_request(request.expect("a request")).await.expect("a head")
        } else {
            let mut client = http2(&lab, gateway.address()).await;
            client.send_request(request(direction, "/large", sent)).await.expect("a head")
        };
        assert_eq!(response.status(), 200);
        let count = if direction == "PUT" {
            collect(response).await.1.parse().expect("a number")
        } else {
            let mut body = response.into_body();
            let mut count = 0;
            while let Some(bytes) = next_data(&mut body).await {
                count += bytes.len();
            }
            count
        };
        assert_eq!(count, expected, "{direction} in HTTP/{version}");
        let (peak, seconds) = (gateway.memory_kb("VmHWM"), begin.elapsed().as_secs_f64());
        eprintln!("{direction} of {} MiB in HTTP/{version}: {seconds:.1} s, peak {peak} kB", expected >> 20);
        assert!(peak < MEMORY_KB, "{peak} kB");
    }
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_takes_is_not_piled_up() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, answer).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = http2(&lab, gateway.address()).await;
        let response = client.send_request(request("GET", "/", Fed::whole(""))).await.expect("a head");
        let mut body = response.into_body();
        assert!(next_data(&mut body).await.is_some());
        let mut client1 = http1(&lab, gateway.address()).await;
        let get = http::Request::get("/").header("host", EDGE).body(Fed::whole("")).expect("a request");
        let mut body1 = client1.send_request(get).await.expect("a head").into_body();
        assert!(next_data(&mut body1).await.is_some());
        held.push((client, body, client1, body1));
    }
    // Other traffic goes on, and what waits stays small.
    let mut client = http1(&lab, gateway.address()).await;
    for _ in 0..20 {
        let put = http::Request::put("/").header("host", EDGE).body(Fed::whole(vec![0; CHUNK])).expect("a request");
        client.ready().await.expect("a kept connection");
        let answer = collect(client.send_request(put).await.expect("a head")).await;
        assert_eq!(answer, (200, CHUNK.to_string()));
    }
    let peak = gateway.memory_kb("VmHWM");
    assert!(peak < MEMORY_KB, "{peak} kB");
    drop(held);
    gateway.assert_sound();
}
