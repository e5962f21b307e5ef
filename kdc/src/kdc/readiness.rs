//! Whether a KDC is in step with its database, and has room.

use std::sync::atomic::Ordering;

use super::Kdc;

impl Kdc {
    /// For how long the directory may have missed changes, in milliseconds.
    #[must_use]
    pub fn staleness_ms(&self) -> u64 {
        self.running_ms().saturating_sub(self.in_step_at.load(Ordering::Relaxed))
    }

    /// What keeps this KDC from being ready, if anything does. It goes on giving tickets by what it knows.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if self.superseded() {
            return Some(SUPERSEDED.to_owned());
        }
        if let Some(lacking) = self.ledger.keyring().lacking() {
            return Some(lacking.to_string());
        }
        let why = if self.follower.waits() {
            "what a version of the master key kept from being read is being read"
        } else if self.staleness_ms() > STALE_MS {
            "the database has not answered for a while; changes may not be in force here"
        } else if self.disk_free.load(Ordering::Relaxed) < self.config.load().limits.disk_free_bytes {
            "less than limits.disk_free_bytes is free where the database is: make room"
        } else {
            return None;
        };
        Some(why.to_owned())
    }

    /// Whether another identity has taken the place of the one that this process began with: nobody is served any more.
    #[must_use]
    pub fn superseded(&self) -> bool {
        let settings = self.directory.settings();
        let primary = settings.identities.primary();
        // The primary signs the audit log.
        primary.is_some_and(|primary| primary.signing_key != self.ledger.journal().key().signer())
    }

    /// For how long this process runs, by a clock that nobody sets.
    pub(super) fn running_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What a KDC says that began before the cell recovered.
pub const SUPERSEDED: &str = "the cell has recovered on another identity: restart this KDC";

/// A revocation is to hold within a second; past this the KDC says that it may not.
const STALE_MS: u64 = 5_000;
