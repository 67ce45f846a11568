//! The side towards the backends: which one, over which connection, and is it well?
//!
//! | file | what | I/O |
//! |---|---|---|
//! | [`balance`] | the order in which backends are taken | none |
//! | [`health`] | the state machine behind an active probe | none |
//! | [`outlier`] | passive ejection after failures | none |
//! | [`retry`] | how many retries a pool can afford | none |
//! | `pool` | one backend pool: pick, lease, connection, outcome | |
//! | `upstreams` | all pools of one configuration; what survives a reload | |
//! | `dial` | TCP and TLS towards one backend; failures named by layer | |
//! | `exchange` | what a connection is: HTTP/1 stream or HTTP/2 handle | |
//! | `idle` | connections kept by one worker | |
//! | `probe` | active probes: a real request through the pool's TLS settings | |
//!
//! The gateway asks in this order, and none of the three steps allocates or takes a lock that workers share:
//!
//! ```text
//! let lease = pool.pick(random, &tried)?;                              // NoBackend names the cause of a 502
//! let connection = pool.connection(&worker.idle, &lease, deadline).await?; // ConnectFailure names the layer
//! … request and response …
//! lease.succeeded();  worker.idle.put(connection);                     // or lease.failed(kind), connection dropped
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod balance;
pub mod health;
pub mod outlier;
pub mod retry;

#[cfg(feature = "gateway")]
mod dial;
#[cfg(feature = "gateway")]
mod exchange;
#[cfg(feature = "gateway")]
mod idle;
#[cfg(feature = "gateway")]
mod pool;
#[cfg(feature = "gateway")]
mod probe;
#[cfg(feature = "gateway")]
mod upstreams;

#[cfg(all(test, feature = "gateway"))]
mod simulation;
#[cfg(test)]
mod tests_random;

pub use balance::BackendIndex;
#[cfg(feature = "gateway")]
pub use dial::{ConnectFailure, ConnectLayer};
#[cfg(feature = "gateway")]
pub use exchange::{BackendConnection, BackendStream, Http1Connection, Http2Connection, RequestBody};
#[cfg(feature = "gateway")]
pub use idle::IdleConnections;
#[cfg(feature = "gateway")]
pub use pool::{Backend, BackendCounters, FailureKind, Lease, NoBackend, Pool, UnavailableBackend};
#[cfg(feature = "gateway")]
pub use probe::{HealthChange, ProbeFailure, ProbeReport};
#[cfg(feature = "gateway")]
pub use upstreams::Upstreams;
