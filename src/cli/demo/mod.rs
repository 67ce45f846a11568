//! `portcullis demo`: everything in one process, nothing to prepare.
//!
//! An authority and certificates in a directory of its own, two HTTPS backends that demand a client certificate, the
//! gateway in front of them with the built-in rules in prevention, and lines to try. Every line printed works as printed.

mod backend;
mod text;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::backend::DemoBackend;
use super::output::{self, Colours};
use super::{Exit, variable};
use crate::admin::{Admin, AdminError, AdminState, Readiness, State};
use crate::certificate::authority::{Authority, AuthorityError, Validity};
use crate::config;
use crate::diagnostics::Diagnostics;
use crate::runtime::{Gateway, StartError, system};
use crate::telemetry::log;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Port of the gateway; another free one is taken when it is busy.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    port: u16,
    /// Port of the admin listener.
    #[arg(long, value_name = "PORT", default_value_t = 9180)]
    admin_port: u16,
    /// Port of the first backend; the second has the next one.
    #[arg(long, value_name = "PORT", default_value_t = 9451)]
    backend_port: u16,
    /// Where certificates, configuration and logs go; a new directory for temporary files when left out.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    #[error("{0}")]
    Configuration(Diagnostics),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Admin(#[from] AdminError),
    #[error("cannot {doing}: {source}")]
    System { doing: &'static str, source: io::Error },
}

impl DemoError {
    fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// The demo's backends answer to this name.
const BACKEND_NAME: &str = "backend.demo.test";

/// How long the backends may take to be found healthy.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn run(arguments: &Arguments) -> Exit {
    log::configure(log::Level::Info, log::Format::Human);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(demo(arguments)),
        Err(error) => Err(DemoError::system("start the runtime")(error)),
    };
    match outcome {
        Ok(()) => Exit::Success,
        Err(error) => {
            output::print_error(&format!("{error}\n"));
            Exit::Problems
        }
    }
}

async fn demo(arguments: &Arguments) -> Result<(), DemoError> {
    let on = |kind| signal(kind).map_err(DemoError::system("handle signals"));
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    // The terminal is closed: keys must not stay behind.
    let mut hangup = on(SignalKind::hangup())?;
    let mut user = on(SignalKind::user_defined1())?;
    let _limit = system::raise_open_files();
    let directory = Directory::make(arguments.directory.as_deref())?;
    let place = directory.path.as_path();

    let authority = Authority::new("portcullis demo CA", Validity::days(30))?;
    authority.as_issued().write(place, "ca")?;
    authority.server(&["localhost", "127.0.0.1", "::1"])?.write(place, "edge")?;
    let pair = authority.server(&[BACKEND_NAME, "localhost", "127.0.0.1"])?.write(place, "backend")?;
    authority.client("portcullis demo gateway")?.write(place, "client")?;

    let port_of = |wanted| free_port(wanted).map_err(DemoError::system("find a free port"));
    let first = port_of(arguments.backend_port)?;
    // 0 is any.
    let second = port_of(if arguments.backend_port == 0 { 0 } else { arguments.backend_port.saturating_add(1) })?;
    let start =
        |name, port| DemoBackend::start(name, port, &pair, &place.join("ca.pem")).map_err(DemoError::Configuration);
    // Held until the end: dropping one stops it.
    let _backends = (start("one", first)?, start("two", second)?);

    let (port, admin_port) = (port_of(arguments.port)?, port_of(arguments.admin_port)?);
    let configuration = text::configuration(port, admin_port, [first, second]);
    let file = place.join("gateway.yaml");
    std::fs::write(&file, configuration).map_err(DemoError::system("write the configuration"))?;
    let loaded = config::load(&file, &variable, &crate::runtime::no_rules()).map_err(DemoError::Configuration)?;
    let gateway = Gateway::start(loaded)?;
    let readiness = Arc::new(Readiness::default());
    let admin = start_admin(&gateway, &readiness, admin_port)?;
    wait_for_backends(&gateway).await;
    readiness.set(State::Ready);
    output::print(&text::lines(place, port, admin.address(), first, Colours::stdout()));

    loop {
        tokio::select! {
            _ = user.recv() => gateway.shared().recorder.reopen(),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => break,
        }
    }
    readiness.set(State::Draining);
    gateway.shutdown(Duration::from_secs(2)).await;
    drop(directory);
    Ok(())
}

fn start_admin(gateway: &Gateway, readiness: &Arc<Readiness>, port: u16) -> Result<Admin, AdminError> {
    let shared = Arc::clone(gateway.shared());
    let state = AdminState {
        recorder: gateway.shared().recorder.clone(),
        readiness: Arc::clone(readiness),
        upstreams: Box::new(move || Arc::clone(&shared.snapshot.load().upstreams)),
        reloads: None,
    };
    Admin::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), state)
}

/// Until both are healthy, so that the first line works at once. If they never are, the lines are printed all the same:
/// the log above them says why.
async fn wait_for_backends(gateway: &Gateway) {
    let wait = async {
        loop {
            let upstreams = Arc::clone(&gateway.shared().snapshot.load().upstreams);
            let mut backends = upstreams.pools().iter().flat_map(|pool| pool.backends());
            if backends.all(|backend| backend.is_available()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        log::error("demo", format_args!("the backends are not healthy after {} s", PATIENCE.as_secs()));
    }
}

/// The port wanted, or another when it is taken.
fn free_port(wanted: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted));
    let listener = listener.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

/// A directory that goes when the demo ends, unless the user named it.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    is_temporary: bool,
}

impl Directory {
    fn make(wanted: Option<&Path>) -> Result<Self, DemoError> {
        use std::os::unix::fs::DirBuilderExt as _;

        let path = match wanted {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("portcullis-demo-{}", std::process::id())),
        };
        let mut builder = std::fs::DirBuilder::new();
        // Keys lie in it.
        builder.mode(0o700).recursive(wanted.is_some());
        builder.create(&path).map_err(DemoError::system("make the directory of the demo"))?;
        let path = path.canonicalize().map_err(DemoError::system("find the directory of the demo"))?;
        Ok(Self { path, is_temporary: wanted.is_none() })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            log::warning("demo", format_args!("cannot remove {}: {error}", self.path.display()));
        }
    }
}
