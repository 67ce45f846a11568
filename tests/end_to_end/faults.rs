//! Backends that are not there, that die, that come back; reloads and the end of the gateway itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use crate::backend::{self, nginx};
use crate::client::{Fed, Raw, collect, http1, next_data, request};
use crate::lab::{EDGE, Gateway, Lab, closed_port, is_slow, spawn, wait_for, wait_until};

const GET_CLOSE: &str = "GET /fine HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";
const ATTACK_CLOSE: &str = "GET /?id=1%27%20OR%201=1--%20 HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_backend_requests_are_inspected_and_the_cause_is_named() {
    let lab = Lab::new();
    let mut configuration = lab.configuration(&[closed_port(), closed_port()]);
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let attack = crate::client::exchange(&lab, gateway.address(), ATTACK_CLOSE).await;
    assert!(attack.starts_with("HTTP/1.1 403"), "{attack}");
    let answer = crate::client::exchange(&lab, gateway.address(), GET_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("application/problem+json"), "{answer}");
    assert!(answer.to_lowercase().contains("refused"), "the cause is missing: {answer}");
    let records = gateway.records(2);
    assert_eq!(records[0]["action"], "deny", "{}", records[0]);
    assert_eq!(records[1]["fault"]["kind"], "upstream_refused", "{}", records[1]);
    assert_eq!(records[1]["status"], 502);
    let id = records[1]["id"].as_str().expect("an id");
    assert!(answer.contains(id), "{answer}");
    let inspected = |phase: &str| gateway.metric("portcullis_waf_inspection_seconds_count", phase);
    assert_eq!((inspected("phase=\"request\""), inspected("phase=\"response\"")), (2.0, 0.0));

    // With a probe, none is even picked; the cause is the probe's.
    configuration.pool = "    probe: { path: /, interval: 300ms, timeout: 300ms, unhealthy_threshold: 1 }".to_owned();
    drop(gateway);
    std::fs::remove_file(lab.path("access.log")).expect("a log");
    gateway = Gateway::start(&lab, &configuration.text());
    wait_until("probes", || gateway.metric("portcullis_upstream_probe_failures_total", "") >= 2.0);
    let attack = crate::client::exchange(&lab, gateway.address(), ATTACK_CLOSE).await;
    assert!(attack.starts_with("HTTP/1.1 403"), "{attack}");
    let answer = crate::client::exchange(&lab, gateway.address(), GET_CLOSE).await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.to_lowercase().contains("refused"), "{answer}");
    let records = gateway.records(2);
    assert_eq!(records[1]["fault"]["kind"], "no_backend", "{}", records[1]);
    let detail = records[1]["fault"]["detail"].as_str().unwrap_or_default().to_lowercase();
    assert!(detail.contains("refused"), "{}", records[1]);
    gateway.assert_sound();
}

/// Requests in a loop over kept connections, until stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    good: Arc<AtomicUsize>,
    bad: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Load {
    pub(crate) fn start(lab: &Arc<Lab>, gateway: &Gateway, connections: usize) -> Self {
        let mut load = Self { stop: Arc::default(), tasks: Vec::new(), good: Arc::default(), bad: Arc::default() };
        for _ in 0..connections {
            let (stop, good, bad) = (Arc::clone(&load.stop), Arc::clone(&load.good), Arc::clone(&load.bad));
            let (lab, address) = (Arc::clone(lab), gateway.address());
            let task = async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = http1(&lab, address).await;
                    while !stop.load(Ordering::Relaxed) {
                        let request = http::Request::get("/load").header("host", EDGE).body(Fed::whole(""));
                        let failure = match client.send_request(request.expect("a request")).await {
                            Ok(response) => match collect(response).await {
                                (200, _) => None,
                                (status, body) => Some(format!("{status} {body}")),
                            },
                            Err(error) => Some(format!("{error:?}")),
                        };
                        let Some(failure) = failure else {
                            good.fetch_add(1, Ordering::Relaxed);
                            continue;
                        };
                        bad.lock().expect("nobody panicked with it").push(failure);
                        break;
                    }
                }
            };
            load.tasks.push(spawn(task));
        }
        load
    }

    pub(crate) fn good(&self) -> usize {
        self.good.load(Ordering::Relaxed)
    }

    /// Waits for so many more.
    pub(crate) async fn more(&self, count: usize) {
        let goal = self.good() + count;
        wait_for("load", || self.good() >= goal || !self.bad.lock().expect("fine").is_empty()).await;
    }

    /// `(good, failures)`
    pub(crate) async fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no panic");
        }
        let bad = std::mem::take(&mut *self.bad.lock().expect("nobody panicked with it"));
        (self.good.load(Ordering::Relaxed), bad)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_costs_no_safe_request_and_comes_back() {
    let lab = Arc::new(Lab::new());
    let Some((first, nginx_first)) = nginx(&lab, "first", None) else { return };
    let Some((second, _second)) = nginx(&lab, "second", None) else { return };
    let mut configuration = lab.configuration(&[first, second]);
    configuration.pool =
        "    probe: { path: /, interval: 500ms, timeout: 500ms, unhealthy_threshold: 2, healthy_threshold: 2 }"
            .to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    gateway.wait_for_backends(2);
    let load = Load::start(&lab, &gateway, 8);
    load.more(200).await;
    nginx_first.signal("KILL");
    wait_for("the probe to take it out", || gateway.metric("portcullis_upstream_healthy", "") == 1.0).await;
    load.more(200).await;
    drop(nginx_first);
    let (_, _back) = nginx(&lab, "first", Some(first)).expect("nginx");
    wait_for("the probe to bring it back", || gateway.metric("portcullis_upstream_healthy", "") == 2.0).await;
    load.more(200).await;
    let before = gateway.metric("portcullis_upstream_requests_total", &first.to_string());
    load.more(100).await;
    assert!(gateway.metric("portcullis_upstream_requests_total", &first.to_string()) > before);
    let retries = gateway.metric("portcullis_upstream_retries_total", "");
    let (good, bad) = load.stop().await;
    eprintln!("kill -9 under load: {good} good, {} failed, {retries} retried", bad.len());
    assert!(bad.is_empty(), "{bad:?}");
    gateway.assert_sound();
}

/// Takes requests and dies over each.
async fn die(_: http::Request<hyper::body::Incoming>) -> http::Response<Fed> {
    panic!("this backend dies over every request")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_dies_over_a_new_connection_costs_no_safe_request() {
    let lab = Lab::new();
    let dying = backend::hyper(&lab, die).await;
    let fine = backend::hyper(&lab, |_| async { http::Response::new(Fed::whole("fine")) }).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[dying, fine]).text());
    for _ in 0..8 {
        let answer = crate::client::exchange(&lab, gateway.address(), GET_CLOSE).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // A short body of an idempotent request is held though nobody inspects it, so it can be sent again.
    let put = "PUT / HTTP/1.1\r\nHost: edge.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    for _ in 0..8 {
        let answer = crate::client::exchange(&lab, gateway.address(), put).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // What is not safe is told, with its cause, and not sent twice.
    let post = "POST / HTTP/1.1\r\nHost: edge.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
    let mut failed = 0;
    for _ in 0..8 {
        let answer = crate::client::exchange(&lab, gateway.address(), post).await;
        failed += usize::from(answer.starts_with("HTTP/1.1 502") && answer.contains("closed"));
    }
    assert_eq!(failed, 4);
    gateway.assert_sound();
}

/// HTTP/2 with one stream at a time on the first connection, which holds `/hold` and ends when told; what comes over
/// later ones is answered, and told with the length of its body.
#[derive(Clone)]
struct Narrow {
    connections: Arc<AtomicUsize>,
    end: tokio::sync::watch::Receiver<bool>,
    holds: Arc<AtomicBool>,
    told: Arc<std::sync::Mutex<Vec<(String, usize)>>>,
}

impl Narrow {
    async fn serve(mut self, stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>) {
        let is_first = self.connections.fetch_add(1, Ordering::SeqCst) == 0;
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(if is_first { 1 } else { 100 });
        let mut connection = builder.handshake::<_, Bytes>(stream).await.expect("a preface");
        let mut held = Vec::new();
        loop {
            let accepted = tokio::select! {
                accepted = connection.accept() => accepted,
                Ok(()) = self.end.changed(), if is_first => return,
            };
            let Some(Ok((request, mut respond))) = accepted else { return };
            let path = request.uri().path().to_owned();
            if path == "/hold" && is_first {
                held.push(respond);
                self.holds.store(true, Ordering::SeqCst);
                continue;
            }
            let told = Arc::clone(&self.told);
            spawn(async move {
                let (mut body, mut length) = (request.into_body(), 0);
                while let Some(Ok(data)) = body.data().await {
                    drop(body.flow_control().release_capacity(data.len()));
                    length += data.len();
                }
                told.lock().expect("nobody panicked with it").push((path, length));
                drop(respond.send_response(http::Response::new(()), true));
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_which_a_failed_attempt_took_a_part_is_not_sent_with_a_hole() {
    let lab = Lab::new();
    let (end, ended) = tokio::sync::watch::channel(false);
    let narrow = Narrow { connections: Arc::default(), end: ended, holds: Arc::default(), told: Arc::default() };
    let serving = narrow.clone();
    let address = backend::raw(&lab, move |stream| serving.clone().serve(stream)).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.pool = "    http2: true".to_owned();
    configuration.runtime = "workers: 1".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let running = |count: usize| gateway.metric("portcullis_upstream_requests_running", "") == count as f64;
    let head = |method: &str, path: &str, length: usize| {
        format!("{method} {path} HTTP/1.1\r\nHost: {EDGE}\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Raw::connect(&lab, gateway.address()).await);
    }
    let [hold, queue, torn, whole, other] = &mut clients[..] else { panic!("five clients") };
    // The backend's settings are known after its first answer.
    hold.write(head("GET", "/warm", 0)).await;
    assert!(hold.response().await.starts_with("HTTP/1.1 200"));
    // One stream runs, one waits within the connection, and further requests wait to be taken by it.
    hold.write(head("GET", "/hold", 0)).await;
    wait_for("the stream", || narrow.holds.load(Ordering::SeqCst)).await;
    queue.write(head("GET", "/queue", 0)).await;
    wait_for("the second", || running(2)).await;
    torn.write(head("PUT", "/torn", 10)).await;
    wait_for("the third", || running(3)).await;
    whole.write(head("PUT", "/whole", 5)).await;
    wait_for("the fourth", || running(4)).await;
    torn.write("hello").await;
    // The one worker has seen that part when it has answered what came after it.
    other.write("GET / HTTP/1.1\r\n\r\n").await;
    assert!(other.until("\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    end.send(true).expect("the backend runs");
    let answer = torn.response().await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    whole.write("world").await;
    for client in [hold, queue, whole] {
        let answer = client.response().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let told = narrow.told.lock().expect("nobody panicked with it").clone();
    assert!(!told.iter().any(|(path, _)| path == "/torn"), "{told:?}");
    assert!(told.contains(&("/whole".to_owned(), 5)), "{told:?}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_nothing_and_keep_no_memory() {
    let count = if is_slow() { 1000 } else { 100 };
    let lab = Arc::new(Lab::new());
    let address = backend::hyper(&lab, |_| async { http::Response::new(Fed::whole("fine")) }).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let load = Load::start(&lab, &gateway, 4);
    load.more(100).await;
    let (mut memory, mut threads) = (Vec::new(), Vec::new());
    for round in 0..count {
        // Every other time something changes: the pool, so that snapshots differ in more than their number.
        configuration.pool = format!("    retry: {{ attempts: {} }}", 1 + round % 2);
        lab.write("gateway.yaml", &configuration.text());
        if round % 10 == 9 {
            let before = gateway.metric("portcullis_config_reloads_total", "success");
            gateway.process.signal("HUP");
            wait_for("SIGHUP", || gateway.metric("portcullis_config_reloads_total", "success") > before).await;
        } else {
            let answer = tokio::task::block_in_place(|| gateway.ask("POST", "/reload"));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        memory.push(gateway.memory_kb("VmRSS"));
        threads.push(gateway.status("Threads"));
    }
    let (good, bad) = load.stop().await;
    assert!(bad.is_empty(), "{bad:?}");
    assert!(good > count, "{good} requests for {count} reloads");
    let median = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    let (warm, end) = (count / 5..count * 2 / 5, count * 4 / 5..count);
    let (early, late) = (median(&memory[warm.clone()]), median(&memory[end.clone()]));
    let peak = gateway.memory_kb("VmHWM");
    // Configurations are read by a thread of a pool; one that first runs later brings memory of its own, once.
    let begun = median(&threads[end]).saturating_sub(median(&threads[warm]));
    eprintln!(
        "{count} reloads, {good} requests: {early} kB after warm-up, {late} kB at the end, peak {peak} kB, {begun} more threads"
    );
    assert!(late * 100 <= early * 105 + begun * 204_800, "{early} kB became {late} kB, with {begun} more threads");
    assert_eq!(gateway.metric("portcullis_config_reloads_total", "failure"), 0.0);
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_changes_nothing_and_is_told() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |_| async { http::Response::new(Fed::whole("fine")) }).await;
    let text = lab.configuration(&[address]).text();
    let mut gateway = Gateway::start(&lab, &text);
    let mut kept = Raw::connect(&lab, gateway.address()).await;
    for (broken, told) in [
        (text.replace("pool: lab }", "pool: lub }"), "lub"),
        (text.replace("certificate: edge.pem", "certificate: absent.pem"), "absent.pem"),
        (text.replace("hosts", "hots") + "nonsense: 1\n", "nonsense"),
        (text.replace("mode: off", "mode: prevention, rules: [{ inline: \"SecRule ARGS\" }]"), "SecRule"),
        (text.replace("key: edge.key", "key: client.key"), "edge.pem"),
    ] {
        assert_ne!(broken, text);
        lab.write("gateway.yaml", &broken);
        let answer = gateway.ask("POST", "/reload");
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(told), "{told}: {answer}");
        gateway.wait_for_log("refused, the running configuration stays");
        kept.write("GET / HTTP/1.1\r\nHost: edge.example\r\n\r\n").await;
        let answer = kept.until("fine").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(gateway.metric("portcullis_config_last_reload_successful", ""), 0.0);
    lab.write("gateway.yaml", &text);
    assert!(gateway.ask("POST", "/reload").starts_with("HTTP/1.1 200"));
    assert_eq!(gateway.metric("portcullis_config_last_reload_successful", ""), 1.0);
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_runs_then_ends() {
    let lab = Lab::new();
    let (sender, receiver) = tokio::sync::mpsc::channel::<tokio::sync::mpsc::Sender<Frame<Bytes>>>(2);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let address = backend::hyper(&lab, move |_| {
        let sender = sender.clone();
        async move {
            let (feed, body) = Fed::new();
            sender.send(feed).await.expect("the test runs");
            http::Response::new(body)
        }
    })
    .await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut receiver = receiver.lock().await;
    let mut one = http1(&lab, gateway.address()).await;
    let get = http::Request::get("/one").header("host", EDGE).body(Fed::whole("")).expect("a request");
    let mut first = one.send_request(get).await.expect("a head").into_body();
    let feed_one = receiver.recv().await.expect("a request");
    let mut two = crate::client::http2(&lab, gateway.address()).await;
    let mut second = two.send_request(request("GET", "/two", Fed::whole(""))).await.expect("a head").into_body();
    let feed_two = receiver.recv().await.expect("a request");
    let mut idle = Raw::connect(&lab, gateway.address()).await;

    gateway.process.signal("TERM");
    wait_for("the drain to begin", || gateway.log().contains("draining")).await;
    // Idle connections end, the address is given up, running requests go on.
    assert_eq!(idle.rest().await, "");
    wait_for("the address to be free", || std::net::TcpStream::connect(gateway.address()).is_err()).await;
    assert!(gateway.ask("GET", "/readyz").starts_with("HTTP/1.1 503"));
    for part in ["a", "b"] {
        for (feed, body) in [(&feed_one, &mut first), (&feed_two, &mut second)] {
            feed.send(Frame::data(part.into())).await.expect("taken");
            assert_eq!(next_data(body).await.as_deref(), Some(part.as_bytes()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gateway.process.0.try_wait().expect("a process").is_none(), "ended with requests running");
    drop((feed_one, feed_two));
    assert_eq!((next_data(&mut first).await, next_data(&mut second).await), (None, None));
    drop((first, second));
    let mut ended = None;
    wait_for("the gateway to end", || {
        ended = gateway.process.0.try_wait().expect("a process");
        ended.is_some()
    })
    .await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gateway.log());
    assert_eq!(gateway.records(2).len(), 2);
}
