//! Backends with TLS that demand the gateway's client certificate: hyper with a service of the test's own, a recorder
//! of raw bytes, nginx.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use crate::client::Fed;
use crate::lab::{Lab, Process, closed_port, is_installed, spawn, wait_until};

/// Serves every connection with `serve`, for as long as the test's runtime lives; `open` counts the running ones.
async fn accept<F, R>(lab: &Lab, http2: bool, open: Arc<AtomicUsize>, serve: F) -> SocketAddr
where
    F: Fn(TlsStream<TcpStream>) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = lab.acceptor(http2);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream.set_nodelay(true));
            let (acceptor, serve, open) = (acceptor.clone(), serve.clone(), Arc::clone(&open));
            open.fetch_add(1, Ordering::SeqCst);
            spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    address
}

/// hyper, in the version that the gateway asks for.
pub(crate) async fn hyper<F, R>(lab: &Lab, service: F) -> SocketAddr
where
    F: Fn(http::Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = http::Response<Fed>> + Send + 'static,
{
    accept(lab, true, Arc::default(), move |stream| {
        let service = service.clone();
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let service = service_fn(move |request| {
            let answer = service(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        async move {
            let io = TokioIo::new(stream);
            if is_http2 {
                drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
            } else {
                drop(http1::Builder::new().serve_connection(io, service).with_upgrades().await);
            }
        }
    })
    .await
}

/// A backend that offers HTTP/2 and does with each connection what the test wants.
pub(crate) async fn raw<F, R>(lab: &Lab, serve: F) -> SocketAddr
where
    F: Fn(TlsStream<TcpStream>) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    accept(lab, true, Arc::default(), serve).await
}

/// What reached a recorder: the bytes of each connection.
#[derive(Clone, Default)]
pub(crate) struct Recorded {
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    open: Arc<AtomicUsize>,
}

impl Recorded {
    /// All bytes, connection by connection.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.seen.lock().expect("nobody panicked with it"))
    }

    /// Has a connection with this text ended, and is none open?
    pub(crate) fn is_settled_after(&self, text: &str) -> bool {
        let seen = self.seen.lock().expect("nobody panicked with it");
        let has = |bytes: &Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.open.load(Ordering::SeqCst) == 0 && seen.iter().any(has)
    }

    fn push(&self, bytes: Vec<u8>) {
        self.seen.lock().expect("nobody panicked with it").push(bytes);
    }
}

/// Answers each connection's first request after its head with `answer`, records everything that comes until the
/// gateway closes, or half a second without a byte.
pub(crate) async fn recorder(lab: &Lab, answer: &'static str) -> (SocketAddr, Recorded) {
    let recorded = Recorded::default();
    let kept = recorded.clone();
    let address = accept(lab, false, Arc::clone(&recorded.open), move |mut stream| {
        let kept = kept.clone();
        async move {
            let mut seen = Vec::new();
            let mut is_answered = false;
            loop {
                let read = tokio::time::timeout(std::time::Duration::from_millis(500), stream.read_buf(&mut seen));
                if !matches!(read.await, Ok(Ok(1..))) {
                    break;
                }
                if !is_answered && seen.windows(4).any(|window| window == b"\r\n\r\n") {
                    is_answered = true;
                    drop(stream.write_all(answer.as_bytes()).await);
                    drop(stream.flush().await);
                }
            }
            kept.push(seen);
            drop(stream.shutdown().await);
        }
    })
    .await;
    (address, recorded)
}

/// nginx as a process that demands a client certificate. `None`: it is not installed.
pub(crate) fn nginx(lab: &Lab, name: &str, address: Option<SocketAddr>) -> Option<(SocketAddr, Process)> {
    if !is_installed("nginx", "-v") {
        return None;
    }
    let address = address.unwrap_or_else(closed_port);
    let directory = lab.directory.path().display();
    let text = format!(
        "daemon off; master_process off; pid {directory}/{name}.pid; error_log {directory}/{name}.error.log;\n\
         events {{ worker_connections 2048; }}\n\
         http {{ access_log off; client_body_temp_path {directory}/{name}.body; proxy_temp_path {directory}/{name}.p;\n\
         fastcgi_temp_path {directory}/{name}.f; uwsgi_temp_path {directory}/{name}.u; scgi_temp_path {directory}/{name}.s;\n\
         client_max_body_size 0; keepalive_requests 1000000;\n\
         server {{ listen {address} ssl; ssl_certificate {directory}/backend.pem;\n\
         ssl_certificate_key {directory}/backend.key;\n\
         ssl_client_certificate {directory}/root.pem; ssl_verify_client on;\n\
         location /files/ {{ alias {directory}/files/; }}\n\
         location / {{ return 200 \"{name} saw $ssl_client_verify $ssl_client_s_dn $request_method $host\\n\"; }} }} }}\n",
    );
    let path = lab.write(&format!("{name}.conf"), &text);
    let mut command = Command::new("nginx");
    command.arg("-e").arg(lab.path(&format!("{name}.error.log"))).arg("-c").arg(path).stderr(Stdio::null());
    let process = Process::spawn(&mut command);
    wait_until("nginx to listen", || std::net::TcpStream::connect(address).is_ok());
    Some((address, process))
}
