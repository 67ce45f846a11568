//! What is particular to clients that speak HTTP/2: informational heads, connections used for another host, clients
//! that reset or do not read, and what a gRPC client is told when the gateway answers itself.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::ResponseFuture;
use tokio::time::timeout;

use crate::backend::{self, recorder};
use crate::client::{Fed, collect, connect, http2, request};
use crate::frames::{DATA, END_HEADERS, Frames, HEADERS, Heard, RST_STREAM, frame, get};
use crate::lab::{EDGE, Gateway, Lab, PATIENCE, closed_port, spawn, wait_for};

/// A connection of h2 itself, which hyper's client hides informational heads of.
async fn plain(lab: &Lab, gateway: &Gateway) -> h2::client::SendRequest<Bytes> {
    let stream = connect(lab, gateway.address(), "h2").await;
    let (client, connection) = h2::client::handshake(stream).await.expect("an HTTP/2 connection");
    spawn(async move { drop(connection.await) });
    client.ready().await.expect("room for a stream")
}

fn bare(method: &str, target: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(format!("https://{EDGE}{target}"))
}

async fn informational(response: &mut ResponseFuture) -> http::Response<()> {
    let next = timeout(PATIENCE, poll_fn(|cx| response.poll_informational(cx))).await.expect("a head in time");
    next.expect("an informational head").expect("no error")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_hints_arrive_before_the_response() {
    let lab = Lab::new();
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let (address, _) = recorder(&lab, answer).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[address]).text());
    let mut client = plain(&lab, &gateway).await;
    let (mut response, _) = client.send_request(bare("GET", "/").body(()).expect("a request"), true).expect("sent");
    let hints = informational(&mut response).await;
    assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</a.css>; rel=preload".parse().unwrap()));
    assert!(!hints.headers().contains_key("x-hop") && !hints.headers().contains_key("connection"), "{hints:?}");
    let response = timeout(PATIENCE, response).await.expect("a head in time").expect("a head");
    assert_eq!(response.status(), 200);
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_is_told_to_go_on_when_its_body_is_wanted() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |request| async move {
        let body = http_body_util::BodyExt::collect(request.into_body()).await.expect("a body").to_bytes();
        http::Response::new(Fed::whole(body))
    })
    .await;
    let mut configuration = lab.configuration(&[address]);
    let rule = "SecRule ARGS:bad 1 \"id:1,phase:1,deny,status:403\"";
    configuration.policy = format!("mode: prevention, rules: [builtin, {{ inline: '{rule}' }}]");
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let mut client = plain(&lab, &gateway).await;
    let waiting = |target: &str| bare("PUT", target).header("expect", "100-continue").body(()).expect("a request");
    let (mut response, mut body) = client.send_request(waiting("/"), false).expect("sent");
    assert_eq!(informational(&mut response).await.status(), 100);
    body.send_data("hello".into(), true).expect("sent");
    let response = timeout(PATIENCE, response).await.expect("a head in time").expect("a head");
    let (mut told, mut echoed) = (response.into_body(), Vec::new());
    while let Some(bytes) = timeout(PATIENCE, told.data()).await.expect("in time") {
        echoed.extend_from_slice(&bytes.expect("data"));
    }
    assert_eq!(String::from_utf8_lossy(&echoed), "hello");
    // Phase 1 refuses it: nobody wants the body.
    let (mut response, _body) = client.send_request(waiting("/?bad=1"), false).expect("sent");
    let early = timeout(PATIENCE, poll_fn(|cx| response.poll_informational(cx))).await.expect("in time");
    assert!(early.is_none(), "{early:?}");
    assert_eq!(timeout(PATIENCE, response).await.expect("in time").expect("a head").status(), 403);
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_a_certificate_of_its_own_wants_a_connection_of_its_own() {
    let lab = Lab::new();
    let authority = portcullis::certificate::authority::Authority::new(
        "Another root",
        portcullis::certificate::authority::Validity::days(30),
    );
    let other = authority.and_then(|authority| authority.server(&["other.example"])).expect("a certificate");
    other.write(lab.directory.path(), "other").expect("new files");
    let address = backend::hyper(&lab, |_| async { http::Response::new(Fed::whole("fine")) }).await;
    let text = lab.configuration(&[address]).text();
    let both = "{ certificate: edge.pem, key: edge.key }\n        - { certificate: other.pem, key: other.key }";
    let text = text.replace("{ certificate: edge.pem, key: edge.key }", both);
    let ask = async |gateway: &Gateway, host: &str| {
        let mut client = http2(&lab, gateway.address()).await;
        let mut request = request("GET", "/", Fed::whole(""));
        *request.uri_mut() = format!("https://{host}/").parse().expect("a target");
        collect(client.send_request(request).await.expect("a head")).await
    };
    // A site for every host: only a host that has another certificate here is sent away.
    let mut gateway = Gateway::start(&lab, &text);
    assert_eq!(ask(&gateway, EDGE).await.0, 200);
    assert_eq!(ask(&gateway, "EDGE.example:443").await.0, 200);
    assert_eq!(ask(&gateway, "anything.example").await.0, 200);
    let (status, body) = ask(&gateway, "other.example").await;
    assert!(status == 421 && body.contains("connection of its own"), "{status} {body}");
    assert_eq!(gateway.records(4)[3]["fault"]["kind"], "misdirected");
    gateway.assert_sound();
    drop(gateway);
    std::fs::remove_file(lab.path("access.log")).expect("a log");
    // A site for one host: another one may be served elsewhere, the one that was asked for in the handshake is not.
    let text = text.replace("    policy: lab\n    routes", "    hosts: [edge.example]\n    policy: lab\n    routes");
    let mut gateway = Gateway::start(&lab, &text);
    assert_eq!(ask(&gateway, EDGE).await.0, 200);
    assert_eq!(ask(&gateway, "anything.example").await.0, 421);
    let answer = crate::client::exchange(
        &lab,
        gateway.address(),
        "GET / HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    gateway.assert_sound();
}

/// `(grpc-status, grpc-message)` of an answer without a body or trailers.
async fn call(lab: &Lab, gateway: &Gateway, target: &str) -> (String, String) {
    let mut client = plain(lab, gateway).await;
    let call = bare("POST", target).header("content-type", "application/grpc+proto").header("te", "trailers");
    let (response, _) = client.send_request(call.body(()).expect("a request"), true).expect("sent");
    let response = timeout(PATIENCE, response).await.expect("a head in time").expect("a head");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(response.body().is_end_stream(), "more than a head: {response:?}");
    let text = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
    (text("grpc-status"), text("grpc-message"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_client_is_told_what_went_wrong_in_its_own_words() {
    let lab = Lab::new();
    let silent = backend::hyper(&lab, |_| std::future::pending()).await;
    let mut configuration = lab.configuration(&[silent]);
    configuration.pool = "    http2: true\n    timeouts: { response: 300ms }".to_owned();
    configuration.policy = "mode: prevention, rules: [builtin]".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let (code, message) = call(&lab, &gateway, "/lab.Echo/Once").await;
    assert!(code == "4" && message.contains("did not answer within"), "{code} {message}");
    let (code, message) = call(&lab, &gateway, "/lab.Echo/Once?id=1%27%20UNION%20SELECT%20a%20FROM%20b--%20").await;
    assert!(code == "7" && message.contains("security rule"), "{code} {message}");
    let records = gateway.records(2);
    assert_eq!(
        (&records[0]["status"], &records[0]["fault"]["kind"]),
        (&200.into(), &"upstream_response_timeout".into())
    );
    assert_eq!((&records[1]["status"], &records[1]["action"]), (&200.into(), &"deny".into()));
    gateway.assert_sound();
    drop(gateway);
    configuration.backends = vec![closed_port().to_string()];
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let (code, message) = call(&lab, &gateway, "/lab.Echo/Once").await;
    assert!(code == "14" && message.to_lowercase().contains("refused"), "{code} {message}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_opens_no_window_meets_the_write_deadline_and_others_go_on() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |_| async { http::Response::new(Fed::whole(vec![b'x'; 4_000_000])) }).await;
    let mut configuration = lab.configuration(&[address]);
    configuration.listener = "    timeouts: { write: 500ms }".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let mut frames = Frames::connect(&lab, gateway.address()).await;
    let started = Instant::now();
    assert!(frames.send(&frame(HEADERS, END_HEADERS | 1, 1, &get("/slow"))).await);
    let heard = frames.hear(|heard: &Heard| heard.has(RST_STREAM)).await;
    assert!(started.elapsed() > Duration::from_millis(450), "{:?}", started.elapsed());
    let sent: usize = heard.frames.iter().filter(|(kind, ..)| *kind == DATA).map(|(.., data)| data.len()).sum();
    assert_eq!(sent, 65_535, "as much as the first window");
    let record = &gateway.records(1)[0];
    assert_eq!(record["fault"]["kind"], "client_write_timeout", "{record}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_ends_at_the_backend_too_and_leaves_its_line() {
    let lab = Lab::new();
    let silent = backend::hyper(&lab, |_| std::future::pending()).await;
    let mut gateway = Gateway::start(&lab, &lab.configuration(&[silent]).text());
    let mut client = plain(&lab, &gateway).await;
    let (response, mut stream) =
        client.send_request(bare("POST", "/").body(()).expect("a request"), false).expect("sent");
    wait_for("the backend", || gateway.metric("portcullis_upstream_requests_running", "") == 1.0).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    wait_for("the end", || gateway.metric("portcullis_upstream_requests_running", "") == 0.0).await;
    let record = &gateway.records(1)[0];
    assert_eq!((&record["fault"]["kind"], &record["status"]), (&"client_closed".into(), &499.into()), "{record}");
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_a_time_and_rest_between_them() {
    let lab = Lab::new();
    let address =
        backend::hyper(&lab, |request| async move { http::Response::new(Fed::whole(request.uri().path().to_owned())) })
            .await;
    let mut configuration = lab.configuration(&[address]);
    configuration.listener = "    timeouts: { idle: 4s }".to_owned();
    let mut gateway = Gateway::start(&lab, &configuration.text());
    let client = http2(&lab, gateway.address()).await;
    for round in 0..3 {
        let mut running = tokio::task::JoinSet::new();
        for number in 0..100 {
            let mut client = client.clone();
            running.spawn(async move {
                let path = format!("/{round}/{number}");
                let response = client.send_request(request("GET", &path, Fed::whole(""))).await.expect("a head");
                assert_eq!(collect(response).await, (200, path));
            });
        }
        while let Some(ended) = running.join_next().await {
            ended.expect("an answer");
        }
        // Longer than a connection keeps what its streams used, shorter than it stays open.
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    assert_eq!(gateway.metric("portcullis_connections_total", "edge"), 1.0);
    wait_for("the idle connection to end", || gateway.metric("portcullis_connections_open", "edge") == 0.0).await;
    gateway.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_phase_5_come_before_those_of_the_next_request() {
    let lab = Lab::new();
    let address = backend::hyper(&lab, |request| async move {
        let size = if request.uri().path() == "/large" { 300_000 } else { 5 };
        http::Response::new(Fed::whole("x".repeat(size)))
    })
    .await;
    let mut configuration = lab.configuration(&[address]);
    configuration.policy = "mode: prevention, rules: [talk.conf]".to_owned();
    lab.write(
        "talk.conf",
        "SecRuleEngine On\nSecRule ARGS:n \"@rx .\" \"id:1,phase:1,pass,msg:'1 %{ARGS.n}'\"\n\
         SecRule ARGS:deny \"@rx .\" \"id:2,phase:2,deny,status:405,nolog\"\n\
         SecAction \"id:5,phase:5,pass,msg:'5 %{ARGS.n} %{RESPONSE_STATUS}'\"\n",
    );
    let logs = "firewall: firewall.log";
    let text = configuration.text().replace(logs, &format!("{logs}, rule_messages: rules.log"));
    let mut gateway = Gateway::start(&lab, &text);
    // Two workers; one request at a time, each on another connection than the one before.
    let mut clients = [
        http2(&lab, gateway.address()).await,
        http2(&lab, gateway.address()).await,
        http2(&lab, gateway.address()).await,
    ];
    let mut wanted = Vec::new();
    for number in 0..150 {
        let client = &mut clients[number % 3];
        let (path, status) = [("/", 200), ("/large", 200), ("/?deny=1", 405), ("/", 200)][number % 4];
        let target = format!("{path}{}n={number}", if path.contains('?') { '&' } else { '?' });
        client.ready().await.expect("room for a stream");
        let (found, _) =
            collect(client.send_request(request("GET", &target, Fed::whole(""))).await.expect("a head")).await;
        assert_eq!(found, status);
        wanted.extend([format!("1 {number}"), format!("5 {number} {status}")]);
    }
    let messages = || {
        let text = std::fs::read_to_string(lab.path("rules.log")).unwrap_or_default();
        let message = |line: &str| Some(line.split_once("[msg \"")?.1.split_once('"')?.0.to_owned());
        text.lines().filter_map(message).collect::<Vec<_>>()
    };
    wait_for("messages", || messages().len() >= wanted.len()).await;
    assert_eq!(messages(), wanted);
    gateway.assert_sound();
}
