//! The versions of the master key, and the ratchet of keys at rest.

use keycell_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

/// The master key as this KDC sees it; never the key itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MasterKeyView {
    /// The version that wraps.
    pub active: u32,
    /// Where this KDC reads its master key.
    pub source: String,
    /// Every version that is held here or that a row needs, the lowest first.
    pub versions: Vec<MasterKeyVersion>,
    /// Rows under earlier versions than the active one.
    pub remaining: u64,
    /// Those among them that do not open: the log has their names.
    pub damaged: u64,
    /// Whether nothing is left to be wrapped anew but what is damaged.
    pub rewrapped: bool,
}

/// One version of the master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKeyVersion {
    /// Which.
    pub version: u32,
    /// How many rows are wrapped under it.
    pub rows: u64,
    /// Whether this KDC holds it.
    pub held: bool,
}

/// How far keys at rest are turned.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RatchetView {
    /// The KDC's clock.
    pub server_time: UnixMillis,
    /// The epoch by that clock.
    pub epoch: u32,
    /// The epoch that keys at rest were last turned to.
    pub turned_to: u32,
    /// When that epoch began.
    pub turned_until: UnixMillis,
    /// The length of an epoch.
    pub period_seconds: u32,
    /// Whether the clock is believed: if not, nothing turns until somebody confirms it.
    pub believed: bool,
}

/// What is confirmed: the epoch that the KDC's clock shows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatchetConfirmation {
    /// The epoch.
    pub epoch: u32,
}
