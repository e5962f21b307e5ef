//! Trust offers: the key by which one zone's KDC asks another's, on its way from administrator to administrator
//! (docs/protocol.md §12.4).
//!
//! ```text
//! -----BEGIN KEYCELL TRUST OFFER-----
//! base64({"version": 1, "metadata": M, "encapsulated": base64url(1120), "sealed": base64url(48), "signature": base64url(64)})
//! -----END KEYCELL TRUST OFFER-----
//!
//! M = base64url({"zone", "to", "identity", "bundle", "generation", "epoch", "ratchet_period", "state", "made_at", "expires_at"})
//! HPKE (RFC 9180), base mode: X-Wing, HKDF-SHA256, ChaCha20-Poly1305; aad is M, the plaintext is K
//! info      = "keycell/1 trust offer\0" || zone || 0 || to || 0 || identity
//! signature = Ed25519(zone, info || 0 || encapsulated || sealed || M)
//! ```
//!
//! HPKE tells the zone that offers that nobody but the other zone's KDC learns the key, and the signature tells that KDC who
//! offers: whoever has the keys of the bundle inside, which an administrator compares or which are known.

mod error;
mod proof;
mod sealed;
mod text;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, IdentityName};
use crate::key::{Epoch, Generation};
use crate::name::{Name, Zone};
use crate::time::{RatchetPeriod, UnixSeconds};

pub use error::TrustOfferError;
pub use proof::{OfferedTo, OfferingZone};
pub use sealed::SealedTrustOffer;
#[cfg(test)]
pub(crate) use sealed::TRUST_OFFER;

/// What a zone offers to another: to take tickets for its parties by a key that comes along, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustOffer {
    /// The zone that offers: whom tickets will be for.
    pub zone: Zone,
    /// The zone that it is offered to: who will ask for tickets.
    pub to: Zone,
    /// To which identity of that zone the key is sealed.
    pub identity: IdentityName,
    /// What everybody may know of the zone that offers.
    pub bundle: Bundle,
    /// The generation of the key.
    pub generation: Generation,
    /// The epoch of the key.
    pub epoch: Epoch,
    /// How long an epoch lasts in the zone that offers.
    pub ratchet_period: RatchetPeriod,
    /// What the key is good for.
    pub state: OfferState,
    /// When it was made.
    pub made_at: UnixSeconds,
    /// From when on it is refused.
    pub expires_at: UnixSeconds,
}

impl TrustOffer {
    /// The longest time in seconds that an offer is good for: 7 days.
    pub const MAX_LIFETIME: u64 = 7 * 86_400;
    /// How far in seconds the clock of the zone that offers may be ahead.
    pub const MAX_AHEAD: u64 = 300;

    /// The principal that the key is of.
    #[must_use]
    pub fn principal(&self) -> Name {
        Name::of_zone(&self.to, &self.zone)
    }

    /// Whether its parts fit together.
    fn is_consistent(&self) -> bool {
        let lifetime = self.expires_at.0.checked_sub(self.made_at.0);
        self.zone == self.bundle.zone
            && self.zone != self.to
            && self.generation >= Generation::FIRST
            && lifetime.is_some_and(|lifetime| (1..=Self::MAX_LIFETIME).contains(&lifetime))
    }
}

/// What the key of an offer is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfferState {
    /// It is the only one, and used from now on.
    Active,
    /// The zone has a key that lives, which stays until this one is used for the first time: to commit a rotation
    /// (docs/protocol.md §4.4).
    Staged,
}
