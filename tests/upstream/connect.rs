//! Connections: the layer that fails is named, good ones are used again, dead ones are not.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use portcullis::config::model::{ClientCertificatePolicy, Ejection, Pool, PoolId};
use portcullis::upstream::{
    BackendConnection, BackendIndex, ConnectFailure, ConnectLayer, FailureKind, IdleConnections, NoBackend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::lab::{self, Lab, Manner, backend, build, deadline, ok, pool, serve};

async fn connect(pool: Pool, idle: &IdleConnections) -> Result<BackendConnection, ConnectFailure> {
    let upstreams = build(vec![pool]);
    let pool = upstreams.pool(PoolId(0));
    let lease = pool.pick(0, &[]).expect("a backend");
    pool.connection(idle, &lease, deadline()).await
}

async fn failure(pool: Pool) -> ConnectFailure {
    connect(pool, &IdleConnections::new()).await.expect_err("a failure")
}

async fn exchange(connection: &mut BackendConnection) -> Vec<u8> {
    let BackendConnection::Http1(connection) = connection else { panic!("HTTP/1 expected") };
    connection.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
    connection.stream.flush().await.expect("flushed");
    let mut answer = vec![0; ok().len()];
    connection.stream.read_exact(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn mutual_tls_is_accepted_and_the_connection_used_again() {
    let lab = Lab::new();
    let acceptor =
        lab.acceptor(lab.server("backend", &["backend.example"]), ClientCertificatePolicy::Required(lab.root()), false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    let mut tls = lab.pool_tls();
    tls.client_certificate = Some(lab.client("client"));
    let upstreams = build(vec![pool("api", vec![backend(server.address)], Some(tls))]);
    let pool = upstreams.pool(PoolId(0));
    let idle = IdleConnections::new();
    for round in 0..5 {
        let lease = pool.pick(0, &[]).expect("a backend");
        assert_eq!(pool.running(), 1);
        let mut connection = pool.connection(&idle, &lease, deadline()).await.expect("a connection");
        assert_eq!(connection.is_reused(), round > 0);
        assert_eq!(connection.connect_duration().is_some(), round == 0);
        assert_eq!(exchange(&mut connection).await, ok());
        let BackendConnection::Http1(http1) = &connection else { panic!("HTTP/1 expected") };
        let (version, _) = http1.stream.tls().expect("TLS");
        assert_eq!(version, rustls::ProtocolVersion::TLSv1_3);
        lease.succeeded();
        idle.put(connection);
    }
    assert_eq!(pool.running(), 0);
    assert_eq!(server.connections(), 1);
    let counters = pool.backends()[0].counters();
    assert_eq!((counters.requests, counters.connects, counters.reuses), (5, 1, 4));
}

#[tokio::test]
async fn a_missing_client_certificate_is_named() {
    let lab = Lab::new();
    let certificate = lab.server("backend", &["backend.example"]);
    let acceptor = lab.acceptor(certificate, ClientCertificatePolicy::Required(lab.root()), false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    // In TLS 1.3 our side of the handshake is complete before the backend refuses: the first read says so.
    let connected =
        connect(pool("api", vec![backend(server.address)], Some(lab.pool_tls())), &IdleConnections::new()).await;
    let failure = match connected {
        Err(failure) => failure,
        Ok(BackendConnection::Http1(mut connection)) => {
            let error = connection.stream.read_u8().await.expect_err("refused");
            ConnectFailure::of_stream(&error)
        }
        Ok(other) => panic!("{other:?}"),
    };
    assert_eq!(failure.layer, ConnectLayer::TlsOther);
    assert!(failure.message.contains("demands a client certificate"), "{failure}");
}

#[tokio::test]
async fn a_wrong_name_is_named_with_the_expected_and_the_presented_ones() {
    let lab = Lab::new();
    let certificate = lab.server("other", &["other.example", "*.wild.example"]);
    let server =
        serve(Some(lab.acceptor(certificate, ClientCertificatePolicy::None, false)), Manner::Answer(ok())).await;
    let failure = failure(pool("api", vec![backend(server.address)], Some(lab.pool_tls()))).await;
    assert_eq!(failure.layer, ConnectLayer::TlsName);
    assert_eq!(failure.message, "the certificate is for `other.example`, `*.wild.example`; expected `backend.example`");
}

#[tokio::test]
async fn without_a_server_name_the_backends_host_is_verified() {
    let lab = Lab::new();
    let certificate = lab.server("address", &["127.0.0.1"]);
    let acceptor = lab.acceptor(certificate, ClientCertificatePolicy::None, false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    let mut tls = lab.pool_tls();
    tls.server_name = None;
    let mut connection = connect(pool("api", vec![backend(server.address)], Some(tls)), &IdleConnections::new())
        .await
        .expect("verified");
    assert_eq!(exchange(&mut connection).await, ok());
}

#[tokio::test]
async fn a_foreign_root_is_a_broken_chain() {
    let lab = Lab::new();
    let certificate = lab.server("backend", &["backend.example"]);
    let server =
        serve(Some(lab.acceptor(certificate, ClientCertificatePolicy::None, false)), Manner::Answer(ok())).await;
    let mut tls = lab.pool_tls();
    tls.roots = Some(lab.foreign_root());
    let failure = failure(pool("api", vec![backend(server.address)], Some(tls))).await;
    assert_eq!(failure.layer, ConnectLayer::TlsChain, "{failure}");
}

#[tokio::test]
async fn an_expired_certificate_is_named_with_its_age() {
    let lab = Lab::new();
    let certificate = lab.expired("old", &["backend.example"]);
    let server =
        serve(Some(lab.acceptor(certificate, ClientCertificatePolicy::None, false)), Manner::Answer(ok())).await;
    let failure = failure(pool("api", vec![backend(server.address)], Some(lab.pool_tls()))).await;
    assert_eq!(failure.layer, ConnectLayer::TlsExpired);
    assert_eq!(failure.message, "the certificate expired 3 days ago");
}

#[tokio::test]
async fn verification_is_off_only_when_told() {
    let lab = Lab::new();
    let certificate = lab.expired("old", &["other.example"]);
    let server =
        serve(Some(lab.acceptor(certificate, ClientCertificatePolicy::None, false)), Manner::Answer(ok())).await;
    let mut tls = lab.pool_tls();
    tls.verify = false;
    let mut connection =
        connect(pool("api", vec![backend(server.address)], Some(tls)), &IdleConnections::new()).await.expect("taken");
    assert_eq!(exchange(&mut connection).await, ok());
}

#[tokio::test]
async fn refused_unresolvable_silent_closing_and_clear_text_backends_are_told_apart() {
    let lab = Lab::new();
    let refused = lab::closed_port().await;
    let failed = failure(pool("api", vec![backend(refused)], None)).await;
    assert_eq!(failed.layer, ConnectLayer::Refused);
    assert!(failed.message.contains(&refused.to_string()), "{failed}");

    let mut unknown = backend(refused);
    unknown.host = format!("{}.invalid", "x".repeat(64));
    let failed = failure(pool("api", vec![unknown], None)).await;
    assert_eq!(failed.layer, ConnectLayer::Dns, "{failed}");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut impatient = pool("api", vec![backend(silent.local_addr().unwrap())], Some(lab.pool_tls()));
    impatient.timeouts.connect = Duration::from_millis(100);
    let failed = failure(impatient).await;
    assert_eq!(failed.layer, ConnectLayer::Timeout);
    assert!(failed.message.starts_with("no TLS handshake with 127.0.0.1:"), "{failed}");
    assert!(failed.message.ends_with("within 100 ms"), "{failed}");

    let closing = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closing.local_addr().unwrap();
    lab::spawn(async move {
        while let Ok((mut stream, _)) = closing.accept().await {
            drop(stream.read_u8().await);
        }
    });
    let failed = failure(pool("api", vec![backend(address)], Some(lab.pool_tls()))).await;
    assert_eq!(failed.layer, ConnectLayer::Closed, "{failed}");

    let clear = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = clear.local_addr().unwrap();
    lab::spawn(async move {
        while let Ok((mut stream, _)) = clear.accept().await {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
    });
    let failed = failure(pool("api", vec![backend(address)], Some(lab.pool_tls()))).await;
    assert_eq!(failed.layer, ConnectLayer::TlsOther);
    assert!(failed.message.contains("does not speak TLS"), "{failed}");
}

#[tokio::test]
async fn a_name_with_several_addresses_is_tried_until_one_connects() {
    let server = serve(None, Manner::Answer(ok())).await;
    let mut local = backend(server.address);
    // localhost is 127.0.0.1 and ::1; the server listens on one of them.
    local.host = "localhost".to_owned();
    let mut connection = connect(pool("api", vec![local], None), &IdleConnections::new()).await.expect("connected");
    assert_eq!(exchange(&mut connection).await, ok());
}

#[tokio::test]
async fn connections_that_the_backend_closed_or_spoke_on_are_not_used_again() {
    let lab = Lab::new();
    for with_tls in [false, true] {
        for manner in [Manner::AnswerAndClose(ok()), Manner::AnswerAndBabble(ok())] {
            let certificate = lab.authority.server(&["backend.example"]).expect("a certificate");
            let directory = tempfile::tempdir().expect("a directory");
            let files = certificate.write(directory.path(), "backend").expect("files");
            let acceptor = with_tls.then(|| lab.acceptor(files, ClientCertificatePolicy::None, false));
            let server = serve(acceptor, manner.clone()).await;
            let tls = with_tls.then(|| lab.pool_tls());
            let upstreams = build(vec![pool("api", vec![backend(server.address)], tls)]);
            let pool = upstreams.pool(PoolId(0));
            let idle = IdleConnections::new();
            let lease = pool.pick(0, &[]).expect("a backend");
            let mut connection = pool.connection(&idle, &lease, deadline()).await.expect("a connection");
            assert_eq!(exchange(&mut connection).await, ok());
            let BackendConnection::Http1(http1) = &connection else { panic!("HTTP/1 expected") };
            if matches!(manner, Manner::AnswerAndClose(_)) {
                // Stray bytes came with the answer; the close comes after it.
                http1.stream.tcp().readable().await.expect("the close has arrived");
            }
            idle.put(connection);
            assert_eq!(idle.counts(), (1, 0));
            assert!(pool.idle_connection(&idle, &lease).is_none(), "tls: {with_tls}, {manner:?}");
            assert_eq!(idle.counts(), (0, 0));
        }
    }
}

#[tokio::test]
async fn leftover_bytes_a_full_stack_and_age_drop_connections() {
    let server = serve(None, Manner::Answer(ok())).await;
    let mut settings = pool("api", vec![backend(server.address)], None);
    settings.idle_connections = 2;
    settings.timeouts.idle = Duration::from_millis(50);
    let upstreams = build(vec![settings]);
    let pool = upstreams.pool(PoolId(0));
    let idle = IdleConnections::new();
    let lease = pool.pick(0, &[]).expect("a backend");
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(pool.fresh_connection(&idle, &lease, deadline()).await.expect("a connection"));
    }
    if let BackendConnection::Http1(connection) = &mut connections[0] {
        connection.read_buffer.extend_from_slice(b"x");
    }
    for connection in connections {
        idle.put(connection);
    }
    assert_eq!(idle.counts(), (2, 0));
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(pool.idle_connection(&idle, &lease).is_none());
    assert_eq!(idle.counts(), (0, 0));
}

#[tokio::test]
async fn http2_is_negotiated_and_shared_and_upgrades_get_http1() {
    let lab = Lab::new();
    let acceptor = lab.acceptor(lab.server("backend", &["backend.example"]), ClientCertificatePolicy::None, true);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().unwrap();
    let protocols = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = protocols.clone();
    lab::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            lab::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                seen.lock().unwrap().push(protocol);
                let service = hyper::service::service_fn(|_| async {
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(Empty::<bytes::Bytes>::new()))
                });
                let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
                drop(builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await);
            });
        }
    });
    let mut settings = pool("grpc", vec![backend(address)], Some(lab.pool_tls()));
    settings.http2 = true;
    let upstreams = build(vec![settings]);
    let pool = upstreams.pool(PoolId(0));
    let idle = IdleConnections::new();
    for round in 0..3 {
        let lease = pool.pick(0, &[]).expect("a backend");
        let connection = pool.connection(&idle, &lease, deadline()).await.expect("a connection");
        assert_eq!(connection.is_reused(), round > 0);
        let BackendConnection::Http2(mut connection) = connection else { panic!("HTTP/2 expected") };
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = hyper::Request::get("https://backend.example/").body(body).expect("a request");
        let response = connection.sender.send_request(request).await.expect("a response");
        assert_eq!(response.status(), 200);
    }
    assert_eq!(idle.counts(), (0, 1));
    let lease = pool.pick(0, &[]).expect("a backend");
    let connection = pool.http1_connection(&idle, &lease, deadline()).await.expect("a connection");
    assert!(matches!(connection, BackendConnection::Http1(_)));
    lab::until("both handshakes", || protocols.lock().unwrap().len() == 2).await;
    assert_eq!(*protocols.lock().unwrap(), [Some(b"h2".to_vec()), Some(b"http/1.1".to_vec())]);
}

#[tokio::test]
async fn picks_take_turns_skip_excluded_ones_and_name_why_there_is_none() {
    let empty = build(vec![pool("none", Vec::new(), None)]);
    assert_eq!(empty.pool(PoolId(0)).pick(0, &[]).unwrap_err(), NoBackend::EmptyPool);

    let backends = (1..=3).map(|port| backend(([127, 0, 0, 1], port).into())).collect();
    let upstreams = build(vec![pool("api", backends, None)]);
    let pool = upstreams.pool(PoolId(0));
    let picked: Vec<u16> = (0..6).map(|_| pool.pick(0, &[]).expect("a backend").index().0).collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
    let tried = [BackendIndex(0), BackendIndex(2)];
    assert_eq!(pool.pick(0, &tried).expect("the third").index(), BackendIndex(1));
    let all = [BackendIndex(0), BackendIndex(1), BackendIndex(2)];
    assert_eq!(pool.pick(0, &all).unwrap_err(), NoBackend::AllTried);
}

#[tokio::test]
async fn failing_backends_are_ejected_and_come_back() {
    let backends = (1..=2).map(|port| backend(([127, 0, 0, 1], port).into())).collect();
    let mut settings = pool("api", backends, None);
    settings.ejection =
        Some(Ejection { consecutive_failures: 3, base_duration: Duration::from_millis(100), maximum_percent: 100 });
    let upstreams = build(vec![settings]);
    let pool = upstreams.pool(PoolId(0));
    let one = [BackendIndex(1)];
    for _ in 0..3 {
        pool.pick(0, &one).expect("the first").failed(FailureKind::Status(503));
    }
    assert!(pool.backends()[0].is_ejected());
    for _ in 0..4 {
        assert_eq!(pool.pick(0, &[]).expect("the second").index(), BackendIndex(1));
    }
    for _ in 0..3 {
        pool.pick(0, &[]).expect("the second").failed(FailureKind::Reset);
    }
    let none = pool.pick(0, &[]).unwrap_err();
    assert!(matches!(&none, NoBackend::AllEjected(backends) if backends.len() == 2), "{none}");
    assert!(none.to_string().contains("127.0.0.1:1: ejected for another "), "{none}");
    lab::until("the ejections to end", || pool.pick(0, &[]).is_ok()).await;
    lab::until("the second too", || pool.pick(0, &[BackendIndex(0)]).is_ok()).await;
    let counters = pool.backends()[0].counters();
    assert_eq!((counters.failures, counters.ejections), (3, 1));
}

#[tokio::test]
async fn a_refused_connection_counts_as_a_failure_once() {
    let address = lab::closed_port().await;
    let upstreams = build(vec![pool("api", vec![backend(address)], None)]);
    let pool = upstreams.pool(PoolId(0));
    let lease = pool.pick(0, &[]).expect("a backend");
    pool.connection(&IdleConnections::new(), &lease, deadline()).await.expect_err("refused");
    lease.failed(FailureKind::Connect);
    let counters = pool.backends()[0].counters();
    assert_eq!((counters.failures, counters.connect_failures), (1, 1));
}
