//! Tells systemd how we are (`Type=notify-reload`). Without `NOTIFY_SOCKET` all of it does nothing.

use sd_notify::NotifyState;

use crate::telemetry::log;

/// Serving.
pub(super) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => log::warning("systemd", format_args!("cannot read the clock: {error}")),
    }
}

/// Shutting down.
pub(super) fn stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warning("systemd", format_args!("cannot notify: {error}"));
    }
}
