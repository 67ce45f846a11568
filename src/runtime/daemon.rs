//! The daemon: a [`Gateway`] with its admin thread, signals, systemd and reloads.
//!
//! | signal | effect |
//! |---|---|
//! | SIGHUP | reload, and open the logs again |
//! | SIGUSR1 | open the logs again |
//! | SIGTERM, SIGINT | drain, then end; a second one ends at once |

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::gateway::{Gateway, StartError};
use super::{clock, notify, system};
use crate::admin::{Admin, AdminError, AdminState, Readiness, ReloadRequest};
use crate::config::{self, Environment, Loaded, RuleCache};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::telemetry::log;

/// Where the configuration comes from; a reload reads it again.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// What is built in.
    Embedded,
}

impl Origin {
    /// Reads it.
    pub fn load(&self, environment: &Environment<'_>, previous: &RuleCache) -> Result<Loaded, Diagnostics> {
        match self {
            Self::File(path) => config::load(path, environment, previous),
            Self::Embedded => config::load_source(config::embedded(), environment, previous),
        }
    }

    /// Reads as much of it as can be read, with everything that is wrong. `Err`: there is nothing to read.
    pub fn survey(&self, environment: &Environment<'_>) -> Result<(Loaded, Diagnostics), Diagnostics> {
        let source = match self {
            Self::File(path) => config::source(path)?,
            Self::Embedded => config::embedded(),
        };
        Ok(config::survey(source, environment, &super::no_rules()))
    }
}

/// How to run.
#[derive(Debug, Clone)]
pub struct DaemonOptions {
    /// The configuration.
    pub origin: Origin,
    /// Where the process id is written while it runs.
    pub pid_file: Option<PathBuf>,
}

/// Why the daemon did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(Diagnostics),
    /// The gateway could not be started.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The admin listener could not be started.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// The runtime, a signal handler or the file with the process id.
    #[error("cannot {doing}: {source}")]
    System {
        /// What.
        doing: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs until a signal ends it.
pub fn run(options: &DaemonOptions) -> Result<(), RunError> {
    let loaded = options.origin.load(&variable, &super::no_rules()).map_err(RunError::Configuration)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .map_err(|source| RunError::System { doing: "start the runtime", source })?;
    runtime.block_on(control(options, loaded))
}

/// The process's own environment.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn control(options: &DaemonOptions, loaded: Loaded) -> Result<(), RunError> {
    let failed = |doing| move |source| RunError::System { doing, source };
    let on = |kind| signal(kind).map_err(failed("handle signals"));
    // Before anything else, so that none of them ends the process half started.
    let mut signals = Signals {
        hangup: on(SignalKind::hangup())?,
        user: on(SignalKind::user_defined1())?,
        terminate: on(SignalKind::terminate())?,
        interrupt: on(SignalKind::interrupt())?,
    };
    let wanted: usize = loaded.configuration.listeners.iter().map(|listener| listener.limits.connections).sum();
    match system::raise_open_files() {
        Some(limit) if limit < wanted as u64 => {
            let advice = "raise LimitNOFILE or ulimit -n, or lower limits.connections";
            log::warning(
                "start",
                format_args!("{limit} open files allowed, {wanted} connections configured: {advice}"),
            );
        }
        _ => {}
    }
    let admin_address = loaded.configuration.admin;
    let drain = loaded.configuration.runtime.drain;
    let mut gateway = Gateway::start(loaded)?;
    count_panics(Arc::clone(gateway.shared().recorder.metrics()));
    let readiness = Arc::new(Readiness::default());
    let (reloads, mut reload_requests) = mpsc::channel::<ReloadRequest>(4);
    let admin = match admin_address {
        Some(address) => {
            let shared = Arc::clone(gateway.shared());
            let state = AdminState {
                recorder: gateway.shared().recorder.clone(),
                readiness: Arc::clone(&readiness),
                upstreams: Box::new(move || Arc::clone(&shared.snapshot.load().upstreams)),
                reloads: Some(reloads),
            };
            Some(Admin::start(address, state)?)
        }
        None => None,
    };
    let pid_file = options.pid_file.clone().map(PidFile::write).transpose();
    let _pid_file = pid_file.map_err(failed("write the file with the process id"))?;
    // Listeners accept by now; whoever reads the lines below may ask at once.
    readiness.set(crate::admin::State::Ready);
    for (name, address) in gateway.addresses() {
        log::info("start", format_args!("listener {name} on {address}"));
    }
    if let Some(admin) = &admin {
        log::info("start", format_args!("admin on http://{}", admin.address()));
    }
    notify::ready("serving");

    loop {
        tokio::select! {
            _ = signals.hangup.recv() => {
                gateway.shared().recorder.reopen();
                let _reported = reload(&mut gateway, &options.origin).await;
            }
            Some(request) = reload_requests.recv() => {
                let outcome = reload(&mut gateway, &options.origin).await;
                // Whoever asked may be gone.
                let _gone = request.answer.send(outcome);
            }
            _ = signals.user.recv() => gateway.shared().recorder.reopen(),
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    readiness.set(crate::admin::State::Draining);
    notify::stopping();
    let open = gateway.connections();
    log::info("stop", format_args!("draining {open} connections, at most {} s", drain.as_secs()));
    tokio::select! {
        is_clean = gateway.shutdown(drain) => {
            if !is_clean {
                log::warning("stop", format_args!("the time to drain is over; open connections were closed"));
            }
        }
        _ = signals.terminate.recv() => log::warning("stop", format_args!("a second signal: not waiting any longer")),
        _ = signals.interrupt.recv() => log::warning("stop", format_args!("a second signal: not waiting any longer")),
    }
    drop(admin);
    log::info("stop", format_args!("stopped"));
    Ok(())
}

#[derive(Debug)]
struct Signals {
    hangup: Signal,
    user: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Reads the configuration again and puts it in force, or leaves everything as it is. The heavy part runs on a thread of
/// its own, so that probes and signals go on.
async fn reload(gateway: &mut Gateway, origin: &Origin) -> Result<Vec<String>, String> {
    notify::reloading();
    let (running, rules, origin) = (gateway.running(), gateway.rules().clone(), origin.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let loaded = origin.load(&variable, &rules)?;
        running.prepare(loaded)
    });
    let outcome = match prepared.await {
        Ok(Ok(prepared)) => gateway.apply(prepared),
        Ok(Err(problems)) => Err(problems),
        Err(_) => {
            let mut problems = Diagnostics::new();
            problems.push(Diagnostic::error(None, "the reload panicked; this is a bug, the log has its place"));
            Err(problems)
        }
    };
    gateway.shared().recorder.metrics().reloaded(outcome.is_ok(), clock::unix_now());
    notify::ready(if outcome.is_ok() { "serving" } else { "serving; the last reload was refused" });
    match outcome {
        Ok(changes) if changes.is_empty() => {
            log::info("reload", format_args!("taken; nothing changed"));
            Ok(changes)
        }
        Ok(changes) => {
            log::info("reload", format_args!("taken: {}", changes.join(", ")));
            Ok(changes)
        }
        Err(problems) => {
            let text = problems.to_string();
            log::error("reload", format_args!("refused, the running configuration stays:\n{text}"));
            Err(text)
        }
    }
}

/// Every panic is counted and logged with its place, whichever task it ends.
fn count_panics(metrics: Arc<crate::telemetry::Metrics>) {
    std::panic::set_hook(Box::new(move |panic| {
        metrics.panicked();
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("a thread");
        log::error("panic", format_args!("at {place} in {thread}: {message}; this is a bug, please report it"));
    }));
}

/// Removed when dropped.
#[derive(Debug)]
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> std::io::Result<Self> {
        std::fs::write(&path, format!("{}\n", std::process::id()))?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::warning("stop", format_args!("cannot remove {}: {error}", self.0.display()));
        }
    }
}
