//! The process: threads, sockets, snapshots, signals. What is above the path and below the command line.
//!
//! ```text
//! load (config) → build (snapshot) → bind (socket, slots) → serve (workers) ⟲ reload → drain
//! ```
//!
//! [`Gateway`] is a running gateway without signals: the demo and tests hold one. [`run`] is the daemon around it.

mod background;
pub mod clock;
mod daemon;
mod gateway;
mod notify;
mod slots;
mod snapshot;
mod socket;
pub mod system;
mod workers;

pub use daemon::{DaemonOptions, Origin, RunError, run};
pub use gateway::{Gateway, StartError};
pub use snapshot::check;

/// What the first configuration of a process starts from: nothing compiled, and name servers for `@rbl`.
pub fn no_rules() -> crate::config::RuleCache {
    crate::config::RuleCache::with_block_list(std::sync::Arc::<crate::dns::BlockListCache>::clone(
        crate::dns::BlockListCache::shared(),
    ))
}
