//! What goes on beside the requests: probes and name lookups of the snapshot in force. Runs on the thread that controls
//! the process, never on a worker.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::telemetry::log;
use crate::upstream::Upstreams;

/// Probes of one snapshot; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Background {
    probes: JoinHandle<()>,
}

impl Background {
    /// Starts them on the current runtime.
    #[expect(clippy::disallowed_methods, reason = "runtime starts the tasks")]
    pub(super) fn start(upstreams: &Arc<Upstreams>) -> Self {
        let probes = Arc::clone(upstreams).run_probes(std::future::pending(), |change| {
            if change.report.outcome.is_ok() {
                log::info("probe", format_args!("{change}"));
            } else {
                log::warning("probe", format_args!("{change}"));
            }
        });
        Self { probes: tokio::spawn(probes) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.probes.abort();
    }
}
