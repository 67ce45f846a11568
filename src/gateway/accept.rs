//! Accepts connections and starts one task for each.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::connection::serve_connection;
use super::{Drain, Worker};

/// Serves one listener until draining starts. Connections that are open then go on; [`Drain::finished`] waits for
/// them.
pub async fn serve(listener: TcpListener, listener_index: usize, worker: Arc<Worker>, drain: Drain) {
    while let Some(accepted) = accept(&listener, &drain).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors or memory: others may give some back. A connection that broke in the
                // queue is nothing.
                if !is_of_connection(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let snapshot = worker.shared.snapshot.load();
        let limit = snapshot.listener(listener_index).map_or(0, |listener| listener.limits.connections);
        let metrics = snapshot.handles.shared_listener(listener_index);
        drop(snapshot);
        if usize::try_from(metrics.open_connections.value()).unwrap_or_default() >= limit {
            metrics.refused_connections.increment();
            continue;
        }
        metrics.connections.increment();
        let (worker, drain) = (Arc::clone(&worker), drain.clone());
        #[expect(clippy::disallowed_methods, reason = "one task per connection, counted by `drain`")]
        tokio::spawn(async move {
            let _open = Open::new(&metrics);
            let _registered = drain.register().await;
            let metrics = Arc::clone(&metrics);
            serve_connection(stream, peer, listener_index, worker, drain, metrics).await;
        });
    }
}

/// The next connection; `None` when draining has started.
async fn accept(listener: &TcpListener, drain: &Drain) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|cx| {
        if drain.poll_started(cx).is_ready() {
            return Poll::Ready(None);
        }
        listener.poll_accept(cx).map(Some)
    })
    .await
}

/// Counts a connection as open while it lives, however it ends.
struct Open<'a>(&'a crate::telemetry::ListenerMetrics);

impl<'a> Open<'a> {
    fn new(metrics: &'a crate::telemetry::ListenerMetrics) -> Self {
        metrics.open_connections.increment();
        Self(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open_connections.decrement();
    }
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// How long accepting pauses when the system is out of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
