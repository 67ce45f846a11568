//! Bodies that take long to inspect: the worker serves others meanwhile, reloads and drains go on, and a client that
//! leaves is accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::backend;
use crate::client::{Fed, collect, http1, http2, request};
use crate::lab::{EDGE, Gateway, Lab, spawn, wait_for};

/// Looks at every value of a JSON body more than once; `bad` is what it stops.
const RULES: &str = r#"mode: prevention, request_body: { inspect: true, bytes: 8MiB, beyond: reject }, rules: [{ inline: "
    SecRuleEngine On\n
    SecRequestBodyAccess On\n
    SecRequestBodyLimit 8388608\n
    SecRequestBodyNoFilesLimit 8388608\n
    SecArgumentsLimit 1000000\n
    SecRule REQUEST_HEADERS:Content-Type '@beginsWith application/json' 'id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON'\n
    SecRule ARGS '@rx (?i)^[a-z]+(?:, [a-z]+)*(?:;[0-9]+)+$' 'id:2,phase:2,deny,t:none,t:urlDecodeUni,t:lowercase'\n
    SecRule ARGS '@rx ^bad-value$' 'id:3,phase:2,deny,t:none'\n" }]"#;

/// 2 MB, no two values the same.
fn json(last: &str) -> Bytes {
    let mut text = String::from("[");
    for number in 0..40_000 {
        text.push_str(&format!("\"some words, number {number} of many, to read\","));
    }
    text.push_str(&format!("\"{last}\"]"));
    text.into()
}

fn post(body: &Bytes) -> http::Request<Fed> {
    let request = http::Request::post("/long").header("host", EDGE).header("content-type", "application/json");
    request.body(Fed::whole(body.clone())).expect("a request")
}

fn get() -> http::Request<Fed> {
    http::Request::get("/short").header("host", EDGE).body(Fed::whole("")).expect("a request")
}

/// A gateway with one worker, before a backend that says how long the body was.
async fn start(lab: &Lab) -> Gateway {
    let address = backend::hyper(lab, |request| async move {
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        http::Response::new(Fed::whole(body.len().to_string()))
    })
    .await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = RULES.replace('\n', " ");
    configuration.runtime = "workers: 1".to_owned();
    Gateway::start(lab, &configuration.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_does_not_hold_the_worker_and_reloads_go_on() {
    let lab = Lab::new();
    let mut gateway = start(&lab).await;
    let mut other = http1(&lab, gateway.address()).await;
    assert_eq!(collect(other.send_request(get()).await.expect("a head")).await, (200, "0".to_owned()));

    let is_over = Arc::new(AtomicBool::new(false));
    let (mut long, over) = (http1(&lab, gateway.address()).await, Arc::clone(&is_over));
    let body = json("good-value");
    let answer = spawn(async move {
        let answer = collect(long.send_request(post(&body)).await.expect("a head")).await;
        over.store(true, Ordering::SeqCst);
        (answer, body.len())
    });
    let (mut longest, mut has_reloaded, mut count) = (Duration::ZERO, false, 1);
    while !is_over.load(Ordering::SeqCst) {
        other.ready().await.expect("a connection");
        let before = Instant::now();
        let (status, _) = collect(other.send_request(get()).await.expect("a head")).await;
        assert_eq!(status, 200);
        longest = longest.max(before.elapsed());
        count += 1;
        if !has_reloaded && tokio::task::block_in_place(|| gateway.metric("portcullis_waf_aside_running", "")) == 1.0 {
            has_reloaded = true;
            gateway.process.signal("HUP");
        }
    }
    let ((status, told), length) = answer.await.expect("an answer");
    assert_eq!((status, told), (200, length.to_string()));
    let records = gateway.records(count + 1);
    let record = records.iter().find(|record| record["target"] == "/long").expect("a record");
    let inspected = Duration::from_secs_f64(record["waf"]["duration"].as_f64().expect("a duration"));
    eprintln!("inspected for {inspected:?}, longest wait of {count} other requests {longest:?}");
    // An optimised build may be done before this says anything.
    assert!(longest < (inspected / 4).max(Duration::from_millis(100)), "{longest:?} of {inspected:?}");
    wait_for("the reload", || gateway.metric("portcullis_config_reloads_total", "success") == 1.0).await;
    assert_eq!(gateway.metric("portcullis_waf_aside_total", ""), 1.0);
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_is_judged_as_a_short_one_and_a_drain_waits_for_it() {
    let lab = Lab::new();
    let mut gateway = start(&lab).await;
    let mut client = http2(&lab, gateway.address()).await;
    for (body, status) in [(json("bad-value"), 403), (Bytes::from_static(b"[\"bad-value\"]"), 403)] {
        let mut long = request("POST", "/", Fed::whole(body));
        long.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
        assert_eq!(collect(client.send_request(long).await.expect("a head")).await.0, status);
    }
    let mut long = http1(&lab, gateway.address()).await;
    let answer =
        spawn(async move { collect(long.send_request(post(&json("good-value"))).await.expect("a head")).await });
    wait_for("the third body", || gateway.metric("portcullis_waf_aside_total", "") == 2.0).await;
    gateway.process.signal("TERM");
    assert_eq!(answer.await.expect("an answer").0, 200);
    drop(client);
    let mut ended = None;
    wait_for("the gateway to end", || {
        ended = gateway.process.0.try_wait().expect("a process");
        ended.is_some()
    })
    .await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gateway.log());
    let records = gateway.records(3);
    for (record, verdict) in records.iter().zip(["blocked", "blocked", "allowed"]) {
        assert_eq!(record["waf"]["verdict"], verdict, "{record}");
        // What the phase took aside counts once, also when the last phase follows it at once.
        let [inspection, total] = [&record["waf"]["duration"], &record["duration"]].map(|time| time.as_f64());
        assert!(inspection > Some(0.0) && inspection < total, "{record}");
    }
    assert_eq!(records[0]["waf"]["rule"], 3, "{}", records[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_meanwhile_is_accounted_for() {
    let lab = Lab::new();
    let mut gateway = start(&lab).await;
    let mut client = http2(&lab, gateway.address()).await;
    let mut long = request("POST", "/", Fed::whole(json("bad-value")));
    long.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    let answer = spawn(async move { client.send_request(long).await.map(drop) });
    wait_for("the body", || gateway.metric("portcullis_waf_aside_total", "") == 1.0).await;
    answer.abort();
    let record = &gateway.records(1)[0];
    if record["fault"].is_null() {
        // An optimised build may have answered before.
        assert_eq!(record["status"], 403, "{record}");
    } else {
        assert_eq!((&record["fault"]["kind"], &record["status"]), (&"client_closed".into(), &499.into()), "{record}");
    }
    assert_eq!((&record["waf"]["verdict"], &record["waf"]["rule"]), (&"blocked".into(), &3.into()), "{record}");
    wait_for("the thread", || gateway.metric("portcullis_waf_aside_running", "") == 0.0).await;
    // The place is free again.
    let mut other = http1(&lab, gateway.address()).await;
    let (status, _) = collect(other.send_request(post(&json("good-value"))).await.expect("a head")).await;
    assert_eq!(status, 200);
    gateway.assert_sound();
}
