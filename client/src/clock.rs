//! The one place that asks the host for the time.

use std::time::{SystemTime, UNIX_EPOCH};

use keycell_protocol::UnixMillis;

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> UnixMillis;
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the place; everything else takes the time as an argument"
    )]
    fn now(&self) -> UnixMillis {
        // A clock before 1970 is no clock: a KDC's time corrects it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
