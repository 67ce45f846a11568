//! What the gateway says about itself: metrics, the access and firewall logs, rule messages, its own log.
//!
//! The path calls [`Recorder::record`] once per request, with an [`AccessRecord`] that borrows everything. Lines are
//! formatted on the worker into its own buffer and appended to a bounded queue; one writer thread owns the files, so
//! that a slow disk costs log lines (counted) and never requests. Metrics are plain atomics, one shard per worker,
//! found through handles that are resolved once per snapshot ([`Metrics::request_handles`]).

mod access_log;
mod audit;
mod firewall_log;
mod json;
pub mod log;
mod metrics;
mod queue;
mod record;
mod recorder;
mod registry;
mod rule_messages;
mod sink;

pub(crate) use audit::try_audit_log;
pub(crate) use json::JsonLine;
pub use metrics::{Counter, Gauge, Histogram};
pub use record::{AccessRecord, Action, ConnectionText, FaultRecord, TlsRecord, WafRecord, WafVerdict};
pub use recorder::{Recorder, RecorderError};
pub(crate) use registry::Exposition;
pub use registry::{ListenerMetrics, Metrics, PoolMetrics, RequestHandles, RequestMetrics};
pub use rule_messages::About;
