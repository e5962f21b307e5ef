//! What systemd is told, where it asked to be (sd_notify(3)). Elsewhere nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service is up: it listens, and can answer.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] says when that is over.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd is not told of the reload: there is no clock"),
    }
}

/// The service stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The service is alive. Without this for the time of [`watchdog`], systemd ends it and starts it again.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear that the service is alive, at least.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told how the KDC is");
    }
}
