//! The admin listener: health, readiness, metrics, backends, reload. A thread and a runtime of its own, so that it
//! answers whatever the workers are doing. No authentication: it stays on loopback unless told otherwise.
//!
//! | path | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 while it serves; 503 before and while draining |
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /backends` | JSON: health of every backend, with the last probe's message |
//! | `POST /reload` | reads the configuration again; 200 with what changed, or 422 with every problem |

mod answer;
mod backends;
mod server;

pub use server::{Admin, AdminError, AdminState, Readiness, ReloadRequest, State};
