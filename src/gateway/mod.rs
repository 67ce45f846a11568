//! The path of a request, in order of flow: `accept connection request inspect identify forward relay upgrade reply
//! record`, with `fault` for what goes wrong, `aside` for what takes long, and `http2`, `lanes` and `stream` for clients that speak HTTP/2.
//!
//! `runtime` starts one [`serve`] per listener and worker. One task drives a connection, both sides of it: a request
//! costs no task of its own and no channel.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod accept;
mod aside;
mod backend;
mod channel;
mod connection;
mod drain;
mod fault;
mod forward;
mod gather;
mod grpc;
mod http2;
mod identify;
mod inspect;
mod lanes;
mod record;
mod relay;
mod reply;
mod request;
mod snapshot;
mod stream;
mod upgrade;
mod wire;

pub use accept::serve;
pub use aside::Aside;
pub use drain::Drain;
pub use snapshot::{Shared, Snapshot, Worker};

/// The path that panics on purpose, for a test to set; debug builds only.
#[cfg(debug_assertions)]
#[doc(hidden)]
pub static PANIC_ON: std::sync::OnceLock<&'static str> = std::sync::OnceLock::new();

#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "what a test asks for")]
fn deliberate_panic(head: &crate::http::RequestHead) {
    if PANIC_ON.get().is_some_and(|path| path.as_bytes() == head.path_and_query()) {
        panic!("on purpose");
    }
}
