//! Probes: every layer that can fail is named, thresholds rule, the traffic follows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::config::model::{ClientCertificatePolicy, Pool, PoolId};
use portcullis::upstream::{HealthChange, NoBackend, ProbeFailure, Upstreams};
use tokio::sync::oneshot;

use crate::lab::{self, Lab, Manner, backend, build, ok, pool, probe, serve, until};

/// Probes running until dropped, and what they told.
struct Probing {
    told: Arc<Mutex<Vec<String>>>,
    _stop: oneshot::Sender<()>,
}

fn start(upstreams: &Arc<Upstreams>) -> Probing {
    let (stop, stopped) = oneshot::channel::<()>();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = told.clone();
    let tell = move |change: HealthChange| list.lock().unwrap().push(change.to_string());
    let upstreams = upstreams.clone();
    lab::spawn(async move {
        upstreams.run_probes(async { drop(stopped.await) }, tell).await;
    });
    Probing { told, _stop: stop }
}

/// The failure of the first probe.
async fn first_failure(settings: Pool) -> ProbeFailure {
    let upstreams = build(vec![settings]);
    let probing = start(&upstreams);
    let backend = &upstreams.pool(PoolId(0)).backends()[0];
    until("three probes", || backend.counters().probes >= 3).await;
    assert!(!backend.is_available());
    let report = backend.last_probe().unwrap();
    let failure = report.outcome.clone().expect_err("a failed probe");
    let told = probing.told.lock().unwrap().clone();
    assert_eq!(told, [format!("backend {} of pool api is unhealthy ({failure})", backend.name())], "said once");
    failure
}

fn probed(address: std::net::SocketAddr) -> Pool {
    let mut settings = pool("api", vec![backend(address)], None);
    settings.probe = Some(probe());
    settings
}

#[tokio::test]
async fn a_pool_takes_traffic_after_the_first_success_and_not_before() {
    let lab = Lab::new();
    let certificate = lab.server("backend", &["backend.example"]);
    let acceptor = lab.acceptor(certificate, ClientCertificatePolicy::Required(lab.root()), false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    let mut tls = lab.pool_tls();
    tls.client_certificate = Some(lab.client("client"));
    let mut settings = pool("api", vec![backend(server.address)], Some(tls));
    settings.probe = Some(probe());
    let upstreams = build(vec![settings]);
    let pool = upstreams.pool(PoolId(0));
    let none = pool.pick(0, &[]).unwrap_err();
    assert_eq!(none.to_string(), format!("no backend is healthy: {}: not probed yet", server.address));
    let probing = start(&upstreams);
    until("health", || pool.pick(0, &[]).is_ok()).await;
    assert_eq!(pool.backends()[0].last_probe().unwrap().outcome, Ok(200));
    let told = probing.told.lock().unwrap().clone();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with(&format!("backend {} of pool api is healthy (status 200 in ", server.address)));
}

#[tokio::test]
async fn probes_over_http2_when_the_backend_speaks_it() {
    let lab = Lab::new();
    let acceptor = lab.acceptor(lab.server("backend", &["backend.example"]), ClientCertificatePolicy::None, true);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().unwrap();
    lab::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                assert_eq!(request.uri().to_string(), "https://api.example/health");
                let body = http_body_util::Full::new(bytes::Bytes::from_static(b"all is well"));
                Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
            });
            let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            lab::spawn(async move {
                drop(builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await);
            });
        }
    });
    let mut settings = pool("grpc", vec![backend(address)], Some(lab.pool_tls()));
    settings.http2 = true;
    let mut expecting = probe();
    expecting.host = Some("api.example".to_owned());
    expecting.expected_body = Some("well".to_owned());
    settings.probe = Some(expecting);
    let upstreams = build(vec![settings]);
    let _probing = start(&upstreams);
    until("health", || upstreams.pool(PoolId(0)).pick(0, &[]).is_ok()).await;
}

#[tokio::test]
async fn a_probe_that_fails_names_the_layer() {
    let lab = Lab::new();
    let refused = first_failure(probed(lab::closed_port().await)).await;
    assert_eq!(refused.layer(), "refused", "{refused}");

    let mut unknown = probed(lab::closed_port().await);
    unknown.backends[0].host = format!("{}.invalid", "x".repeat(64));
    let dns = first_failure(unknown).await;
    assert_eq!(dns.layer(), "dns", "{dns}");

    let unavailable = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
    let server = serve(None, Manner::Answer(unavailable)).await;
    let status = first_failure(probed(server.address)).await;
    assert_eq!(status.to_string(), "status: received 503, expected 200-399");

    let server = serve(None, Manner::Answer(ok())).await;
    let mut settings = probed(server.address);
    settings.probe.as_mut().unwrap().expected_body = Some("goodbye".to_owned());
    let body = first_failure(settings).await;
    assert_eq!(body.to_string(), "body: `goodbye` is not in the first 4096 bytes");

    let server = serve(None, Manner::Silence).await;
    let mut settings = probed(server.address);
    settings.probe.as_mut().unwrap().timeout = Duration::from_millis(80);
    let timeout = first_failure(settings).await;
    assert_eq!(timeout.to_string(), "timeout: no response within 80 ms");

    let server = serve(None, Manner::AnswerAndClose(b"HTTP/1.1 2".to_vec())).await;
    let closed = first_failure(probed(server.address)).await;
    assert_eq!(closed.layer(), "closed", "{closed}");

    let server = serve(None, Manner::Answer(b"220 smtp.example ESMTP\r\n\r\n".to_vec())).await;
    let http = first_failure(probed(server.address)).await;
    assert_eq!(http.layer(), "http", "{http}");

    let certificate = lab.server("backend", &["backend.example"]);
    let acceptor = lab.acceptor(certificate, ClientCertificatePolicy::Required(lab.root()), false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    let mut settings = probed(server.address);
    settings.tls = Some(lab.pool_tls());
    let refused = first_failure(settings.clone()).await;
    assert_eq!(refused.layer(), "tls_other");
    assert!(refused.to_string().contains("demands a client certificate"), "{refused}");

    let mut tls = lab.pool_tls();
    tls.client_certificate = Some(lab.client("client"));
    tls.server_name = Some("elsewhere.example".to_owned());
    settings.tls = Some(tls.clone());
    let name = first_failure(settings.clone()).await;
    assert_eq!(name.layer(), "tls_name", "{name}");

    tls.server_name = None;
    settings.tls = Some(tls.clone());
    settings.probe.as_mut().unwrap().host = Some("unknown.example:8443".to_owned());
    let name = first_failure(settings.clone()).await;
    assert!(name.to_string().ends_with("expected `unknown.example`"), "the probe's host is verified: {name}");

    tls.server_name = Some("backend.example".to_owned());
    tls.roots = Some(lab.foreign_root());
    settings.tls = Some(tls);
    let chain = first_failure(settings).await;
    assert_eq!(chain.layer(), "tls_chain", "{chain}");

    let certificate = lab.expired("old", &["backend.example"]);
    let acceptor = lab.acceptor(certificate, ClientCertificatePolicy::None, false);
    let server = serve(Some(acceptor), Manner::Answer(ok())).await;
    let mut settings = probed(server.address);
    settings.tls = Some(lab.pool_tls());
    let expired = first_failure(settings).await;
    assert_eq!(expired.to_string(), "tls_expired: the certificate expired 3 days ago");
}

#[tokio::test]
async fn a_backend_that_dies_is_taken_out_and_the_other_carries_on() {
    let good = serve(None, Manner::Answer(ok())).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let dying = listener.local_addr().unwrap();
    let (kill, killed) = oneshot::channel::<()>();
    lab::spawn(async move {
        tokio::select! {
            _ = killed => {}
            () = async {
                while let Ok((mut stream, _)) = listener.accept().await {
                    use tokio::io::{AsyncReadExt, AsyncWriteExt};
                    let mut chunk = [0; 2048];
                    drop(stream.read(&mut chunk).await);
                    drop(stream.write_all(&ok()).await);
                }
            } => {}
        }
    });
    let mut settings = pool("api", vec![backend(good.address), backend(dying)], None);
    settings.probe = Some(probe());
    let upstreams = build(vec![settings]);
    let pool = upstreams.pool(PoolId(0));
    let probing = start(&upstreams);
    until("both", || pool.backends().iter().all(portcullis::upstream::Backend::is_available)).await;
    kill.send(()).expect("still running");
    until("the dead one to be out", || !pool.backends()[1].is_available()).await;
    for _ in 0..4 {
        assert_eq!(pool.pick(0, &[]).expect("the good one").index().0, 0);
    }
    let told = probing.told.lock().unwrap().clone();
    let last = told.last().expect("told");
    assert!(last.starts_with(&format!("backend {dying} of pool api is unhealthy (refused: ")), "{last}");
    let none = pool.pick(0, &[portcullis::upstream::BackendIndex(0)]).unwrap_err();
    assert_eq!(none, NoBackend::AllTried);
}
