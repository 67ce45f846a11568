//! Pools against real servers on loopback: every layer at which a connection can fail, reuse, probes, reloads.
#![cfg(feature = "gateway")]

#[path = "upstream/lab.rs"]
mod lab;

#[path = "upstream/connect.rs"]
mod connect;
#[path = "upstream/peers.rs"]
mod peers;
#[path = "upstream/probes.rs"]
mod probes;
#[path = "upstream/reloads.rs"]
mod reloads;
#[path = "upstream/server_tls.rs"]
mod server_tls;
