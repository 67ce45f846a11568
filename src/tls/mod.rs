//! TLS on both sides: one server configuration per listener, one client configuration per pool.
//!
//! | file | what |
//! |---|---|
//! | [`server`] | certificates by SNI, ALPN, client certificates |
//! | [`client`] | roots, name, ALPN, client certificate towards one pool |
//! | [`ticket`] | the process-wide ticket keys, one set for each client-certificate policy |
//! | [`socket`] | the TCP connection underneath |
//! | [`verify`] | failed handshakes, named: chain, name, expired, other |
//!
//! rustls with aws-lc-rs, TLS 1.2 and 1.3, X25519MLKEM768 first, no early data (it is replayable, and rules would run on
//! replays). Configurations are built when a snapshot is and never change; a changed certificate file takes effect with
//! the next snapshot.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod client;
pub mod server;
pub mod socket;
pub mod ticket;
pub mod verify;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one cryptography provider of the process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    // The feature `prefer-post-quantum` puts X25519MLKEM768 first in the default list; a test holds it to that.
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_post_quantum_group_comes_first() {
        let first = super::provider().kx_groups.first().map(|group| group.name());
        assert_eq!(first, Some(rustls::NamedGroup::X25519MLKEM768));
    }
}
