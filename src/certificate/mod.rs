//! Certificates and keys: read from files, looked at, and made.
//!
//! `tls` builds its configurations from what [`load`] returns; `cli` and the demo make an authority with
//! [`authority`]. A problem is a [`CertificateError`] that names the file and what to do; [`load`] turns all of them
//! into diagnostics at once.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod authority;
pub mod load;

mod error;
mod leaf;

pub use error::CertificateError;
pub use leaf::Leaf;
