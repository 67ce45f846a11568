//! Names of backends to addresses.
//!
//! `upstream::dial` asks for addresses and gets the last known ones at once; a background task
//! ([`Resolver::run`], part of the probes' task) renews them when their time to live is over. A name that stops
//! resolving keeps its last good addresses: a DNS outage must not become an outage of backends that still answer.
//! Address literals never reach the resolver.
//!
//! [`BlockListCache`] answers `@rbl` from memory and asks name servers in the background.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod block_list;
mod cache;
mod resolver;

pub use block_list::BlockListCache;
pub use cache::{Host, Name};
pub use resolver::{DnsFailure, Resolver};
