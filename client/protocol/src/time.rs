//! Instants and spans as the protocol counts them. Nothing here asks a clock: the time is always an argument.

use core::fmt;
use core::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::key::Epoch;

/// An instant in whole seconds since 1970-01-01 UTC: how expiry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// This instant, `seconds` later; it stops at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The same instant in milliseconds.
    #[must_use]
    pub const fn millis(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(1000))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An instant in milliseconds since 1970-01-01 UTC: how clocks are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The second this instant lies in.
    #[must_use]
    pub const fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// This instant, `millis` later.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This instant, `millis` earlier; it stops at 1970.
    #[must_use]
    pub const fn minus(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }

    /// How far apart two instants are, in milliseconds, whichever comes first.
    #[must_use]
    pub const fn distance(self, other: Self) -> u64 {
        self.0.abs_diff(other.0)
    }

    /// This instant moved by a signed number of milliseconds, as a clock correction does.
    #[must_use]
    pub const fn shifted(self, millis: i64) -> Self {
        Self(self.0.saturating_add_signed(millis))
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long an epoch of the key ratchet lasts, in seconds: a setting of the zone, one day unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RatchetPeriod(NonZeroU32);

impl RatchetPeriod {
    /// One day.
    pub const DEFAULT: Self = Self(NonZeroU32::new(86_400).expect("not zero"));

    /// A period of `seconds`; `None` for zero.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Option<Self> {
        match NonZeroU32::new(seconds) {
            Some(seconds) => Some(Self(seconds)),
            None => None,
        }
    }

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0.get()
    }

    /// The epoch that `now` lies in: Unix time divided by the period (docs/protocol.md §4.3).
    #[must_use]
    pub fn epoch(self, now: UnixSeconds) -> Epoch {
        Epoch(u32::try_from(now.0 / u64::from(self.0.get())).unwrap_or(u32::MAX))
    }

    /// The first instant after `epoch`.
    #[must_use]
    pub fn end(self, epoch: Epoch) -> UnixSeconds {
        UnixSeconds((u64::from(epoch.0) + 1).saturating_mul(u64::from(self.0.get())))
    }
}

impl Default for RatchetPeriod {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_change_at_the_period() {
        let day = RatchetPeriod::DEFAULT;
        assert_eq!(day.epoch(UnixSeconds(86_399)), Epoch(0));
        assert_eq!(day.epoch(UnixSeconds(86_400)), Epoch(1));
        assert_eq!(day.epoch(UnixSeconds(u64::MAX)), Epoch(u32::MAX));
        assert_eq!(day.end(Epoch(0)), UnixSeconds(86_400));
        assert_eq!(RatchetPeriod::from_seconds(0), None);
    }

    #[test]
    fn instants_do_not_wrap() {
        assert_eq!(UnixSeconds(u64::MAX).plus(1), UnixSeconds(u64::MAX));
        assert_eq!(UnixSeconds(u64::MAX).millis(), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(5).minus(6), UnixMillis(0));
        assert_eq!(UnixMillis(5).shifted(-6), UnixMillis(0));
        assert_eq!(UnixMillis(5).distance(UnixMillis(9)), 4);
    }
}
