//! The gateway as a process, from a file, between real peers: TLS on both sides, client certificates towards the
//! backends. What needs a program that is not installed says so and passes.
//!
//! `PORTCULLIS_BINARY` names another build of the gateway, `PORTCULLIS_SLOW=1` runs what takes minutes at full length.
#![cfg(feature = "gateway")]
#![expect(clippy::disallowed_methods, reason = "tests read the clock, and start peers that run beside them")]

#[path = "end_to_end/backend.rs"]
mod backend;
#[path = "end_to_end/client.rs"]
mod client;
#[path = "end_to_end/frames.rs"]
mod frames;
#[path = "end_to_end/lab.rs"]
mod lab;

#[path = "end_to_end/aside.rs"]
mod aside;
#[path = "end_to_end/examples.rs"]
mod examples;
#[path = "end_to_end/faults.rs"]
mod faults;
#[path = "end_to_end/hostile.rs"]
mod hostile;
#[path = "end_to_end/http2.rs"]
mod http2;
#[path = "end_to_end/life.rs"]
mod life;
#[path = "end_to_end/peers.rs"]
mod peers;
#[path = "end_to_end/smuggling.rs"]
mod smuggling;
#[path = "end_to_end/streams.rs"]
mod streams;
#[path = "end_to_end/transfers.rs"]
mod transfers;
