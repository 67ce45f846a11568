//! A backend of the demo: HTTPS, demands a client certificate, says who answered, and can be stopped for a while.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::model::{ClientCertificatePolicy, KeyPair, ListenerTls};
use crate::diagnostics::Diagnostics;
use crate::telemetry::log;
use crate::tls::server::ServerTls;
use crate::tls::ticket::Tickets;

/// A stopped backend comes back after this.
pub(super) const PAUSE: Duration = Duration::from_secs(20);

/// Runs on a thread of its own until it is dropped.
#[derive(Debug)]
pub(super) struct DemoBackend {
    end: Arc<Notify>,
}

#[derive(Debug)]
struct Settings {
    name: &'static str,
    port: u16,
    stop: Notify,
}

impl DemoBackend {
    pub(super) fn start(name: &'static str, port: u16, pair: &KeyPair, roots: &Path) -> Result<Self, Diagnostics> {
        let settings = ListenerTls {
            certificates: vec![pair.clone()],
            tls12: true,
            client_certificate: ClientCertificatePolicy::Required(roots.to_owned()),
        };
        let tls = ServerTls::build(&settings, false, &Tickets::new(), &format!("demo backend {name}"))?;
        let acceptor = TlsAcceptor::from(tls.config);
        let end = Arc::new(Notify::new());
        let ended = Arc::clone(&end);
        let settings = Arc::new(Settings { name, port, stop: Notify::new() });
        let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    () = live(settings, acceptor) => {}
                    () = ended.notified() => {}
                }
            }),
            Err(error) => log::error("demo", format_args!("backend {name}: cannot start: {error}")),
        };
        if let Err(error) = std::thread::Builder::new().name(format!("backend-{name}")).spawn(run) {
            log::error("demo", format_args!("backend {name}: cannot start a thread: {error}"));
        }
        Ok(Self { end })
    }
}

impl Drop for DemoBackend {
    fn drop(&mut self) {
        self.end.notify_one();
    }
}

/// Serves, is stopped, comes back.
async fn live(settings: Arc<Settings>, acceptor: TlsAcceptor) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let mut connections = JoinSet::new();
                tokio::select! {
                    () = accept(&listener, &settings, &acceptor, &mut connections) => {}
                    () = settings.stop.notified() => {}
                }
                // The answer to the one who stopped it still has to go out.
                tokio::time::sleep(Duration::from_millis(100)).await;
                drop(listener);
                connections.abort_all();
                log::info("demo", format_args!("backend {} stopped for {} s", settings.name, PAUSE.as_secs()));
            }
            Err(error) => log::error("demo", format_args!("backend {}: cannot listen: {error}", settings.name)),
        }
        tokio::time::sleep(PAUSE).await;
        log::info("demo", format_args!("backend {} comes back", settings.name));
    }
}

async fn accept(
    listener: &TcpListener,
    settings: &Arc<Settings>,
    acceptor: &TlsAcceptor,
    connections: &mut JoinSet<()>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, Arc::clone(settings), acceptor.clone()));
                // Those that have ended are forgotten.
                while connections.try_join_next().is_some() {}
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, settings: Arc<Settings>, acceptor: TlsAcceptor) {
    // A client without the certificate ends here.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| {
        let answer = answer(&request, &settings);
        async move { Ok::<_, Infallible>(answer) }
    });
    // How a connection ends is of no interest to a demo.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

fn answer(request: &Request<Incoming>, settings: &Settings) -> Response<Full<Bytes>> {
    let port = format!(":{}", settings.port);
    let is_direct = request.headers().get(HOST).is_some_and(|host| host.as_bytes().ends_with(port.as_bytes()));
    let (status, body) = match (request.method(), request.uri().path()) {
        (_, "/healthz") => (StatusCode::OK, json!({ "status": "healthy" })),
        // Not through the gateway, which passes the client's Host header on.
        (&Method::POST, "/stop") if is_direct => {
            settings.stop.notify_one();
            (StatusCode::OK, json!({ "backend": settings.name, "stopped_for_seconds": PAUSE.as_secs() }))
        }
        (method, _) => (
            StatusCode::OK,
            json!({
                "backend": settings.name,
                "method": method.as_str(),
                "target": request.uri().to_string(),
                "host": request.headers().get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
            }),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
