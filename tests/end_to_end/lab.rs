//! A directory with an authority, and gateways that run in it as processes of their own.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portcullis::certificate::authority::{Authority, Validity};
use portcullis::config::model::{ClientCertificatePolicy, KeyPair, ListenerTls};
use portcullis::tls::server::ServerTls;
use portcullis::tls::ticket::Tickets;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Nothing on loopback takes this long; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The name that the gateway's certificate has.
pub(crate) const EDGE: &str = "edge.example";

/// The name that the backends' certificates have.
pub(crate) const INNER: &str = "backend.example";

/// Files: `root.pem`, and a certificate with its key for `edge`, `backend` and `client`.
pub(crate) struct Lab {
    pub(crate) directory: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::new("Lab root", Validity::days(30)).expect("an authority");
        let lab = Self { directory };
        lab.write("root.pem", authority.certificate_pem());
        let server = |names: &[&str]| authority.server(names).expect("a certificate");
        for (name, issued) in [
            ("edge", server(&[EDGE, "localhost", "127.0.0.1"])),
            ("backend", server(&[INNER])),
            ("client", authority.client("gateway").expect("a certificate")),
        ] {
            issued.write(lab.directory.path(), name).expect("new files");
        }
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file in the temporary directory");
        path
    }

    /// For backends that demand a certificate of the lab's authority.
    pub(crate) fn acceptor(&self, http2: bool) -> TlsAcceptor {
        let certificate = KeyPair { certificate: self.path("backend.pem"), key: self.path("backend.key") };
        let client_certificate = ClientCertificatePolicy::Required(self.path("root.pem"));
        let settings = ListenerTls { certificates: vec![certificate], tls12: true, client_certificate };
        let tls = ServerTls::build(&settings, http2, &Tickets::new(), "lab").expect("a server configuration");
        TlsAcceptor::from(tls.config)
    }

    /// For clients that trust the lab's authority.
    pub(crate) fn connector(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        for root in portcullis::certificate::load::certificates(&self.path("root.pem")).expect("a root") {
            roots.add(root).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    /// A configuration: one listener with TLS, one site, one pool that re-encrypts.
    pub(crate) fn configuration(&self, backends: &[SocketAddr]) -> Configuration {
        Configuration {
            backends: backends.iter().map(SocketAddr::to_string).collect(),
            listener: String::new(),
            pool: String::new(),
            policy: "mode: off".to_owned(),
            runtime: "workers: 2".to_owned(),
        }
    }
}

/// The parts of a configuration in which tests differ; each is flow YAML or lines at the right depth.
#[derive(Clone)]
pub(crate) struct Configuration {
    pub(crate) backends: Vec<String>,
    /// Further keys of the listener, four blanks deep.
    pub(crate) listener: String,
    /// Further keys of the pool, four blanks deep.
    pub(crate) pool: String,
    /// Keys of the policy, within braces.
    pub(crate) policy: String,
    /// Keys of the runtime, within braces.
    pub(crate) runtime: String,
}

impl Configuration {
    pub(crate) fn text(&self) -> String {
        let quoted: Vec<String> = self.backends.iter().map(|backend| format!("\"{backend}\"")).collect();
        format!(
            "listeners:\n  - name: edge\n    address: 127.0.0.1:0\n    tls:\n      certificates:\n        \
             - {{ certificate: edge.pem, key: edge.key }}\n{}\n\
             sites:\n  - name: lab\n    policy: lab\n    routes:\n      - {{ path: /, pool: lab }}\n\
             pools:\n  - name: lab\n    backends: [{}]\n    tls:\n      roots: root.pem\n      server_name: {INNER}\n      \
             client_certificate: {{ certificate: client.pem, key: client.key }}\n{}\n\
             policies:\n  - {{ name: lab, {} }}\n\
             admin: {{ address: \"127.0.0.1:0\" }}\n\
             logs: {{ access: access.log, firewall: firewall.log }}\nruntime: {{ {} }}\n",
            self.listener,
            quoted.join(", "),
            self.pool,
            self.policy,
            self.runtime,
        )
    }
}

/// The gateway's binary.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("PORTCULLIS_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_portcullis").into(), PathBuf::from)
}

/// Is everything to run at full length?
pub(crate) fn is_slow() -> bool {
    std::env::var_os("PORTCULLIS_SLOW").is_some_and(|value| value == "1")
}

/// A child process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Is a peer there? If not, says so.
pub(crate) fn is_installed(program: &str, argument: &str) -> bool {
    let found = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) addresses: HashMap<String, SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) directory: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts it, and waits until it serves. Listening on port 0, it says in its log where.
    pub(crate) fn start(lab: &Lab, text: &str) -> Self {
        let file = lab.write("gateway.yaml", text);
        let mut command = Command::new(binary());
        command.args(["run", "--config"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let stderr = process.0.stderr.take().expect("a pipe");
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = kept.lock().expect("nobody panicked with it");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut gateway = Self {
            process,
            addresses: HashMap::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            directory: lab.directory.path().to_owned(),
            log,
        };
        gateway.wait_for_log("start: admin on http://");
        for line in gateway.log().lines() {
            if let Some((_, rest)) = line.split_once("start: listener ") {
                let (name, address) = rest.split_once(" on ").expect("a name and an address");
                gateway.addresses.insert(name.to_owned(), address.parse().expect("an address"));
            }
            if let Some((_, address)) = line.split_once("start: admin on http://") {
                gateway.admin = address.parse().expect("an address");
            }
        }
        gateway
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses["edge"]
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panicked with it").clone()
    }

    pub(crate) fn wait_for_log(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            let ended = self.process.0.try_wait().expect("a process");
            assert!(ended.is_none(), "the gateway ended: {ended:?}\n{}", self.log());
            assert!(Instant::now() < deadline, "no `{text}` in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks the admin listener; the whole response.
    pub(crate) fn ask(&self, method: &str, path: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.admin).expect("the admin listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// The sum of all samples of a metric whose labels contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.ask("GET", "/metrics");
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (found, value) = rest.rsplit_once(' ')?;
            let is_it = (found.is_empty() || found.starts_with('{')) && found.contains(labels);
            is_it.then(|| value.parse::<f64>().ok()).flatten()
        });
        samples.sum()
    }

    /// Lines of the access log, once there are as many.
    pub(crate) fn records(&self, count: usize) -> Vec<serde_json::Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(self.directory.join("access.log")).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines: Vec<_> = whole.lines().collect();
            if lines.len() >= count {
                return lines.iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
            }
            assert!(Instant::now() < deadline, "{} of {count} lines in the access log", lines.len());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until `count` backends take traffic.
    pub(crate) fn wait_for_backends(&self, count: usize) {
        wait_until("backends", || self.metric("portcullis_upstream_healthy", "") as usize == count);
    }

    /// A field of `/proc/PID/status`, in kB.
    pub(crate) fn memory_kb(&self, field: &str) -> u64 {
        self.status(field)
    }

    /// A number of the process as the kernel tells it.
    pub(crate) fn status(&self, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).expect("a process");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("a field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// It still runs, and nothing in it panicked.
    pub(crate) fn assert_sound(&mut self) {
        let ended = self.process.0.try_wait().expect("a process");
        assert!(ended.is_none(), "the gateway ended: {ended:?}\n{}", self.log());
        assert_eq!(self.metric("portcullis_panics_total", ""), 0.0, "{}", self.log());
        assert!(!self.log().contains("panic"), "{}", self.log());
    }
}

/// Waits until `done` says so.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same in a test that runs peers of its own.
pub(crate) async fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(future)
}

/// A port that nothing listens on.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}
