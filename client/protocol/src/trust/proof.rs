//! What has to be known before an offer's key is given out: to whom it is, and by whom.

use super::{SealedTrustOffer, TrustOfferError};
use crate::bundle::{Bundle, BundleFingerprint, IdentityName};
use crate::name::Zone;
use crate::xwing::IdentitySecret;

/// Who takes an offer: a KDC, and the identity that it works with.
#[derive(Debug, Clone, Copy)]
pub struct OfferedTo<'a> {
    /// Its zone.
    pub zone: &'a Zone,
    /// The identity that it works with.
    pub identity: IdentityName,
    /// The secret of that identity.
    pub secret: &'a IdentitySecret,
}

/// By what it is known who offers. A signature alone tells nothing: anybody can make a bundle, and sign by it.
#[derive(Debug, Clone, Copy)]
pub enum OfferingZone<'a> {
    /// By the fingerprint of its identities, which its administrator told by another way.
    Fingerprint(BundleFingerprint),
    /// By a bundle that is trusted: of a trust that there is already, or given by an administrator.
    Known(&'a Bundle),
}

impl OfferingZone<'_> {
    /// Whether the bundle in the offer is the zone's. The signature by its first identity holds.
    pub(super) fn check(self, sealed: &SealedTrustOffer) -> Result<(), TrustOfferError> {
        let offered = &sealed.claims().bundle;
        match self {
            Self::Fingerprint(told) => {
                let fingerprint = offered.fingerprint();
                if fingerprint == told { Ok(()) } else { Err(TrustOfferError::Fingerprint(fingerprint)) }
            }
            Self::Known(known) => {
                known.accepts(offered)?;
                if known.identities.iter().any(|identity| sealed.verify(&identity.signing_key).is_ok()) {
                    Ok(())
                } else {
                    Err(TrustOfferError::UnknownSigner(known.zone.clone()))
                }
            }
        }
    }
}
