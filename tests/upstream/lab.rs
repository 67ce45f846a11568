//! Backends and pools on loopback: a certificate authority, servers that misbehave in chosen ways, short settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis::certificate::authority::{Authority, Issued, Usage, Validity};
use portcullis::certificate::load;
use portcullis::config::model::{
    Backend, Balance, ClientCertificatePolicy, Configuration, Flavour, KeyPair, ListenerTls, LogSink, Logs, Pool,
    PoolTimeouts, PoolTls, Probe, Retry, Runtime,
};
use portcullis::tls::server::ServerTls;
use portcullis::tls::ticket::Tickets;
use portcullis::upstream::Upstreams;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// Nothing on loopback takes this long; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// A directory with an authority; files are removed with it.
pub(crate) struct Lab {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) authority: Authority,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::new("Lab root", Validity::days(30)).expect("an authority");
        let lab = Self { directory, authority };
        lab.write("root.pem", lab.authority.certificate_pem());
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root.pem")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file in the temporary directory");
        path
    }

    pub(crate) fn files(&self, name: &str, issued: &Issued) -> KeyPair {
        issued.write(self.directory.path(), name).expect("new files")
    }

    pub(crate) fn server(&self, file: &str, names: &[&str]) -> KeyPair {
        self.files(file, &self.authority.server(names).expect("a certificate"))
    }

    pub(crate) fn expired(&self, file: &str, names: &[&str]) -> KeyPair {
        let now = std::time::SystemTime::now();
        let day = Duration::from_secs(86_400);
        let validity = Validity { from: now - 10 * day, until: now - 3 * day };
        self.files(file, &self.authority.issue("expired", names, Usage::Server, validity).expect("a certificate"))
    }

    pub(crate) fn client(&self, file: &str) -> KeyPair {
        self.files(file, &self.authority.client("gateway").expect("a certificate"))
    }

    pub(crate) fn listener_tls(&self, certificate: KeyPair, client: ClientCertificatePolicy) -> ListenerTls {
        ListenerTls { certificates: vec![certificate], tls12: true, client_certificate: client }
    }

    pub(crate) fn acceptor(&self, certificate: KeyPair, client: ClientCertificatePolicy, http2: bool) -> TlsAcceptor {
        let settings = self.listener_tls(certificate, client);
        let tls = ServerTls::build(&settings, http2, &Tickets::new(), "test").expect("a server configuration");
        TlsAcceptor::from(tls.config)
    }

    pub(crate) fn pool_tls(&self) -> PoolTls {
        PoolTls {
            roots: Some(self.root()),
            server_name: Some("backend.example".to_owned()),
            client_certificate: None,
            verify: true,
        }
    }

    /// Roots that have nothing to do with the lab's authority.
    pub(crate) fn foreign_root(&self) -> PathBuf {
        let foreign = Authority::new("Foreign root", Validity::days(30)).expect("an authority");
        let path = self.write("foreign.pem", foreign.certificate_pem());
        assert_eq!(load::certificates(&path).expect("a root").len(), 1);
        path
    }
}

/// What a server does with a connection after the handshake.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Answers every request with this, keeping the connection.
    Answer(Vec<u8>),
    /// Answers one request, then closes.
    AnswerAndClose(Vec<u8>),
    /// Answers, and says something nobody asked for.
    AnswerAndBabble(Vec<u8>),
    /// Takes a request and says nothing.
    Silence,
}

pub(crate) fn ok() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()
}

/// A running server; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) closed: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) async fn serve(acceptor: Option<TlsAcceptor>, manner: Manner) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = Server {
        address: listener.local_addr().expect("an address"),
        connections: Arc::default(),
        requests: Arc::default(),
        closed: Arc::default(),
    };
    let (connections, requests, closed) = (server.connections.clone(), server.requests.clone(), server.closed.clone());
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, manner, requests, closed) =
                (acceptor.clone(), manner.clone(), requests.clone(), closed.clone());
            spawn(async move {
                match acceptor {
                    None => converse(stream, manner, &requests).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            converse(stream, manner, &requests).await;
                        }
                    }
                }
                closed.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    server
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner, requests: &AtomicUsize) {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while !seen.ends_with(b"\r\n\r\n") {
            match stream.read(&mut chunk).await {
                Ok(count) if count > 0 => seen.extend_from_slice(&chunk[..count]),
                _ => return,
            }
        }
        seen.clear();
        requests.fetch_add(1, Ordering::SeqCst);
        let (answer, stays) = match &manner {
            Manner::Answer(answer) => (answer.clone(), true),
            Manner::AnswerAndClose(answer) => (answer.clone(), false),
            Manner::AnswerAndBabble(answer) => ([answer.as_slice(), b"HTTP/1.1 200 OK\r\n\r\n"].concat(), true),
            Manner::Silence => {
                std::future::pending::<()>().await;
                return;
            }
        };
        if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if !stays {
            drop(stream.shutdown().await);
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "servers of a test run beside it")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(future);
}

/// A port that nothing listens on.
pub(crate) async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

pub(crate) fn backend(address: SocketAddr) -> Backend {
    Backend { host: address.ip().to_string(), port: address.port(), weight: 1 }
}

pub(crate) fn pool(name: &str, backends: Vec<Backend>, tls: Option<PoolTls>) -> Pool {
    Pool {
        name: name.to_owned(),
        backends,
        balance: Balance::RoundRobin,
        tls,
        http2: false,
        probe: None,
        ejection: None,
        timeouts: PoolTimeouts {
            connect: Duration::from_secs(10),
            response: PATIENCE,
            read: PATIENCE,
            idle: Duration::from_secs(60),
        },
        retry: Retry { attempts: 1, budget_percent: 20, buffer_bytes: 65_536 },
        idle_connections: 8,
    }
}

pub(crate) fn probe() -> Probe {
    Probe {
        path: "/health".to_owned(),
        host: None,
        interval: Duration::from_millis(30),
        timeout: Duration::from_secs(5),
        healthy_threshold: 2,
        unhealthy_threshold: 2,
        expected_status: vec![(200, 399)],
        expected_body: None,
        jitter_percent: 20,
    }
}

pub(crate) fn configuration(pools: Vec<Pool>) -> Configuration {
    Configuration {
        listeners: Vec::new(),
        sites: Vec::new(),
        pools,
        policies: Vec::new(),
        admin: None,
        logs: Logs { access: LogSink::Off, firewall: LogSink::Off, rule_messages: LogSink::Off, queue: 1 },
        runtime: Runtime { workers: 1, flavour: Flavour::PerCore, drain: Duration::from_secs(1) },
    }
}

pub(crate) fn build(pools: Vec<Pool>) -> Arc<Upstreams> {
    Upstreams::build(&configuration(pools), None).expect("pools that can be built")
}

/// Waits until `done` says so.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = deadline();
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
