//! The thread that serves the admin listener.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answer::answer;
use crate::telemetry::{Recorder, log};
use crate::upstream::Upstreams;

/// Connections at a time; a scraper and a few probes need no more.
const CONNECTIONS: usize = 64;

/// Time for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The admin listener cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be had.
    #[error("the admin listener cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Does the gateway serve?
#[derive(Debug, Default)]
pub struct Readiness {
    state: AtomicU8,
}

/// What `/readyz` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not yet.
    Starting,
    /// Yes.
    Ready,
    /// Not any more.
    Draining,
}

impl Readiness {
    /// Changes it.
    pub fn set(&self, state: State) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// What it is.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            0 => State::Starting,
            1 => State::Ready,
            _ => State::Draining,
        }
    }
}

/// Somebody asks for a reload; the answer is what changed, or every problem.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Where the outcome goes.
    pub answer: oneshot::Sender<Result<Vec<String>, String>>,
}

/// What the admin listener tells of.
pub struct AdminState {
    /// Metrics.
    pub recorder: Recorder,
    /// Readiness.
    pub readiness: Arc<Readiness>,
    /// The pools in force.
    pub upstreams: Box<dyn Fn() -> Arc<Upstreams> + Send + Sync>,
    /// Takes reloads; `None` where there is nothing to reload (the demo).
    pub reloads: Option<mpsc::Sender<ReloadRequest>>,
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminState").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

/// A running admin listener; it ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Admin {
    /// Binds and starts the thread.
    pub fn start(address: SocketAddr, state: AdminState) -> Result<Self, AdminError> {
        let listen = || {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let bound = listener.local_addr()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (stop, stopped) = oneshot::channel();
            let run = move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(listener, Arc::new(state)) => {}
                        _ = stopped => {}
                    }
                });
            };
            std::thread::Builder::new().name("admin".into()).spawn(run)?;
            Ok(Self { address: bound, _stop: stop })
        };
        listen().map_err(|source| AdminError::Listen { address, source })
    }

    /// As bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[expect(clippy::disallowed_methods, reason = "the admin thread has a runtime of its own")]
async fn serve(listener: std::net::TcpListener, state: Arc<AdminState>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error("admin", format_args!("cannot serve: {error}")),
    };
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: give others time to close theirs.
                log::warning("admin", format_args!("cannot accept: {error}"));
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(answer(request, &state).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                log::debug("admin", format_args!("connection ended: {error}"));
            }
            drop(permit);
        });
    }
}
