//! The only place that reads the clocks. Everything pure takes `now` as an argument; this is where it comes from.
//!
//! Any room may use it: it depends on nothing (`tests/architecture.rs` counts it as layer 0).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time, for deadlines and durations.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Instant {
    Instant::now()
}

/// Time since the Unix epoch, for records; zero if the system's clock stands before it.
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
