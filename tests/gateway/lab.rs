//! A gateway in this process, in clear text, in front of backends that are closures over a socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use portcullis::config::model::*;
use portcullis::diagnostics::Source;
use portcullis::gateway::{Aside, Drain, Shared, Snapshot, Worker, serve};
use portcullis::route::Router;
use portcullis::seclang::source::MemoryLoader;
use portcullis::telemetry::{Metrics, Recorder};
use portcullis::upstream::Upstreams;
use portcullis::waf::{CollectionStore, EngineOptions, MemoryStore, Program};

/// Longest any test waits for bytes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A backend; it goes on until the test process ends.
pub(crate) struct BackendServer {
    pub(crate) address: SocketAddr,
    /// Everything that was ever received, over all connections.
    pub(crate) received: Arc<Mutex<Vec<u8>>>,
}

impl BackendServer {
    pub(crate) fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }
}

/// One backend connection: reads are noted.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Arc<Mutex<Vec<u8>>>,
    pub(crate) buffer: Vec<u8>,
}

impl Peer {
    /// Reads on until `until` is in the buffer; takes the bytes up to its end. Empty: the gateway closed.
    pub(crate) fn read_until(&mut self, until: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buffer.windows(until.len()).position(|window| window == until) {
                return self.buffer.drain(..at + until.len()).collect();
            }
            let mut piece = [0; 65536];
            match self.stream.read(&mut piece) {
                Ok(0) | Err(_) => return Vec::new(),
                Ok(length) => {
                    self.received.lock().unwrap().extend_from_slice(&piece[..length]);
                    self.buffer.extend_from_slice(&piece[..length]);
                }
            }
        }
    }

    /// The next request head; empty when the gateway closed.
    pub(crate) fn head(&mut self) -> String {
        String::from_utf8_lossy(&self.read_until(b"\r\n\r\n")).into_owned()
    }

    /// The body that a head announces.
    pub(crate) fn body(&mut self, head: &str) -> Vec<u8> {
        let lower = head.to_lowercase();
        if lower.contains("transfer-encoding: chunked") {
            return if self.buffer.starts_with(b"0\r\n\r\n") {
                self.buffer.drain(..5).collect()
            } else {
                self.read_until(b"\r\n\r\n")
            };
        }
        let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.buffer.len() < length {
            let mut piece = vec![0; length - self.buffer.len()];
            self.stream.read_exact(&mut piece).unwrap();
            self.received.lock().unwrap().extend_from_slice(&piece);
            self.buffer.extend_from_slice(&piece);
        }
        self.buffer.drain(..length).collect()
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).ok();
    }
}

/// Starts a backend that gives each connection to the closure.
pub(crate) fn backend(serve: impl Fn(Peer) + Send + Sync + 'static) -> BackendServer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let received = Arc::<Mutex<Vec<u8>>>::default();
    let (serve, log) = (Arc::new(serve), Arc::clone(&received));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let (serve, received) = (Arc::clone(&serve), Arc::clone(&log));
            std::thread::spawn(move || serve(Peer { stream, received, buffer: Vec::new() }));
        }
    });
    BackendServer { address, received }
}

/// A backend that answers every request with the head it got, keeping the connection.
pub(crate) fn echo() -> BackendServer {
    backend(|mut peer| {
        loop {
            let head = peer.head();
            if head.is_empty() {
                return;
            }
            let body = peer.body(&head);
            let answer = if head.starts_with("HEAD") { String::new() } else { head.clone() };
            let length = head.len() + body.len();
            peer.write(format!("HTTP/1.1 200 OK\r\nX-Backend: yes\r\nContent-Length: {length}\r\n\r\n{answer}"));
            if !head.starts_with("HEAD") {
                peer.write(body);
            }
        }
    })
}

/// A backend that answers every request with these bytes and goes on.
pub(crate) fn canned(answer: &'static [u8]) -> BackendServer {
    backend(move |mut peer| {
        loop {
            let head = peer.head();
            if head.is_empty() {
                return;
            }
            peer.body(&head);
            peer.write(answer);
        }
    })
}

/// A running gateway.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    log: PathBuf,
    pub shared: Arc<Shared>,
    _directory: tempfile::TempDir,
}

/// Starts a gateway in front of backends.
pub(crate) fn gate(backends: &[SocketAddr], change: impl FnOnce(&mut Configuration)) -> Gate {
    gate_with(backends, portcullis::limits::INSPECTION_PATIENCE, change)
}

/// Starts one with so much patience with inspection.
pub(crate) fn gate_with(backends: &[SocketAddr], patience: Duration, change: impl FnOnce(&mut Configuration)) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.json");
    let mut configuration = configuration(backends, log.clone());
    change(&mut configuration);
    let metrics = Arc::new(Metrics::new());
    let snapshot = Snapshot {
        router: Router::new(&configuration),
        upstreams: Upstreams::build(&configuration, None).unwrap(),
        listeners: vec![None],
        handles: metrics.request_handles(&configuration),
        configuration: configuration.clone(),
    };
    let recorder = Recorder::start(&configuration.logs, metrics).unwrap();
    let collections: Arc<dyn CollectionStore> = Arc::new(MemoryStore::new());
    let shared = Arc::new(Shared {
        snapshot: arc_swap::ArcSwap::from_pointee(snapshot),
        recorder,
        aside: Aside::new(1, patience, &collections),
        collections,
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let drain = Drain::new();
    let (for_worker, for_serve) = (Arc::clone(&shared), drain.clone());
    static SEED: AtomicU64 = AtomicU64::new(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let worker = Worker::new(for_worker, SEED.fetch_add(1, Ordering::Relaxed));
            serve(listener, 0, Arc::new(worker), for_serve.clone()).await;
            for_serve.finished().await;
        });
    });
    Gate { address, drain, log, shared, _directory: directory }
}

fn configuration(backends: &[SocketAddr], log: PathBuf) -> Configuration {
    let seconds = Duration::from_secs;
    let window = BodyWindow { inspect: false, bytes: 1024, beyond: Beyond::ProcessPartial };
    Configuration {
        listeners: vec![Listener {
            name: "main".into(),
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            http2: false,
            trust_request_id: false,
            timeouts: ClientTimeouts {
                handshake: seconds(5),
                head: seconds(5),
                body: seconds(5),
                write: seconds(5),
                idle: seconds(5),
            },
            limits: ClientLimits {
                head_bytes: 16 * 1024,
                headers: 100,
                body_bytes: u64::MAX,
                connections: 10_000,
                h2_streams: 100,
            },
        }],
        sites: vec![Site {
            name: "site".into(),
            listeners: vec![],
            hosts: vec!["*".into()],
            policy: PolicyId(0),
            routes: vec![Route {
                id: RouteId(0),
                name: "all".into(),
                path: PathMatch::Prefix("/".into()),
                policy: PolicyId(0),
                action: RouteAction::Forward { pool: PoolId(0), host: HostHeader::Preserve, rewrite_prefix: None },
            }],
        }],
        pools: vec![Pool {
            name: "pool".into(),
            backends: backends
                .iter()
                .map(|address| Backend { host: address.ip().to_string(), port: address.port(), weight: 1 })
                .collect(),
            balance: Balance::RoundRobin,
            tls: None,
            http2: false,
            probe: None,
            ejection: None,
            timeouts: PoolTimeouts { connect: seconds(2), response: seconds(5), read: seconds(5), idle: seconds(30) },
            retry: Retry { attempts: 2, budget_percent: 20, buffer_bytes: 65_536 },
            idle_connections: 8,
        }],
        policies: vec![Policy {
            name: "policy".into(),
            mode: Mode::Off,
            program: None,
            request_body: window,
            response_body: window,
            on_fault: OnFault::Deny,
        }],
        admin: None,
        logs: Logs { access: LogSink::File(log), firewall: LogSink::Off, rule_messages: LogSink::Off, queue: 4096 },
        runtime: Runtime { workers: 1, flavour: Flavour::PerCore, drain: seconds(5) },
    }
}

/// Turns inspection on with these rules.
pub(crate) fn with_rules(configuration: &mut Configuration, rules: &str) {
    let loader = MemoryLoader::new();
    let (ruleset, problems) = portcullis::seclang::parse(&Source::new("test.conf", rules.as_bytes()), &loader);
    assert!(!problems.has_errors(), "{problems}");
    let (program, _) = Program::compile(&ruleset, &loader, &EngineOptions::default()).unwrap();
    let policy = &mut configuration.policies[0];
    policy.mode = Mode::Prevention;
    policy.program = Some(Arc::new(program));
    policy.request_body.inspect = true;
    policy.response_body.inspect = true;
}

impl Gate {
    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// Puts an equal configuration in force; the one before, to see whether somebody has it still.
    pub(crate) fn reload(&self) -> Weak<Snapshot> {
        let old = self.shared.snapshot.load_full();
        let configuration = old.configuration.clone();
        let new = Snapshot {
            router: Router::new(&configuration),
            upstreams: Arc::clone(&old.upstreams),
            listeners: old.listeners.clone(),
            handles: self.shared.recorder.metrics().request_handles(&configuration),
            configuration,
        };
        self.shared.snapshot.store(Arc::new(new));
        Arc::downgrade(&old)
    }

    /// Sends bytes, reads to the end.
    pub(crate) fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.write(bytes);
        client.rest()
    }

    /// The access log, once it has so many lines: a record follows its response.
    pub(crate) fn records(&self, count: usize) -> Vec<serde_json::Value> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            self.shared.recorder.flush(PATIENCE);
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            if lines.len() >= count || std::time::Instant::now() > deadline {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A client connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn fill(&mut self) -> usize {
        let mut piece = [0; 65536];
        let length = self.stream.read(&mut piece).unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..length]);
        length
    }

    pub(crate) fn until(&mut self, until: &str) -> String {
        loop {
            let found = self.buffer.windows(until.len()).position(|window| window == until.as_bytes());
            if let Some(at) = found {
                return String::from_utf8_lossy(&self.buffer.drain(..at + until.len()).collect::<Vec<_>>()).into();
            }
            assert!(self.fill() > 0, "closed before {until:?}: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// One response with a Content-Length.
    pub(crate) fn response(&mut self) -> String {
        let head = self.until("\r\n\r\n");
        let length =
            head.to_lowercase().split("content-length: ").nth(1).map(|rest| rest.lines().next().unwrap().parse());
        let length: usize = length.map_or(0, Result::unwrap);
        while self.buffer.len() < length {
            assert!(self.fill() > 0, "closed within a body");
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        head + &String::from_utf8_lossy(&body)
    }

    /// Everything until the gateway closes.
    pub(crate) fn rest(&mut self) -> String {
        while self.fill() > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into()
    }
}
