//! portcullis: the guarded gate in front of an API.
//!
//! # Life of a request
//!
//! ```text
//! accept → TLS (SNI, ALPN, client certificate) → HTTP head → who is it (certificate, token) → WAF phase 1
//!       → body, inspected window → WAF phase 2 → route → pick backend → re-encrypt, send
//!       ← WAF phase 3 ← response head          ← WAF phase 4 ← body, inspected window
//! record once: WAF phase 5 (before the last byte), then access log, firewall log, metrics
//! ```
//!
//! Each step is one file in `gateway/`, named in the order of flow.
//!
//! # Layers
//!
//! A room uses only rooms of lower layers (and its own); `tests/architecture.rs` holds the tree to it.
//!
//! | layer | rooms |
//! |---|---|
//! | 0 | `diagnostics` `limits` `octets` `yaml` |
//! | 1 | `seclang` `http` |
//! | 2 | `waf` `route` `config::model`, the pure halves of `identity` and `upstream` |
//! | 3 | `authoring` `config` `certificate` `tls` `dns` `telemetry` |
//! | 4 | `upstream` |
//! | 5 | `gateway` `admin` |
//! | 6 | `runtime` |
//! | 7 | `cli` |
//!
//! Rooms that do no input or output compile without the feature `gateway`.

pub mod diagnostics;
pub mod limits;
mod octets;
pub mod yaml;

pub mod http;
pub mod seclang;

pub mod route;
pub mod waf;

pub mod authoring;
#[cfg(feature = "gateway")]
pub mod certificate;
pub mod config;
#[cfg(feature = "gateway")]
pub mod dns;
pub mod identity;
#[cfg(feature = "gateway")]
pub mod telemetry;
#[cfg(feature = "gateway")]
pub mod tls;

pub mod upstream;

#[cfg(feature = "gateway")]
pub mod admin;
#[cfg(feature = "gateway")]
pub mod gateway;

#[cfg(feature = "gateway")]
pub mod runtime;

#[cfg(feature = "gateway")]
pub mod cli;
