//! Why a trust offer is not taken, or cannot be made.

use crate::bundle::{BundleFingerprint, IdentityName, SuccessionError};
use crate::name::Zone;
use crate::time::UnixSeconds;

/// Why a trust offer is not taken, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustOfferError {
    /// It is longer than [`SealedTrustOffer::MAX`](super::SealedTrustOffer::MAX).
    #[error("a trust offer has at most 1 MiB: pass on only the text from BEGIN to END")]
    TooLong,
    /// It does not have the form of one.
    #[error(
        "this is no trust offer: copy all of the text, from -----BEGIN KEYCELL TRUST OFFER----- to its END line"
    )]
    Malformed,
    /// There is more than one in it.
    #[error("there is more than one trust offer in this: accept one at a time")]
    Several,
    /// It is of another version.
    #[error("the trust offer is of version {0}, and this program reads version 1")]
    Version(u32),
    /// Its parts do not fit together.
    #[error(
        "a trust offer is by the zone of its bundle and for another one, of a key that was made with it, and good for at most 7 \
         days: ask for another one"
    )]
    Inconsistent,
    /// It is for another zone.
    #[error("the trust offer is for the zone {0}: accept it there")]
    Zone(Zone),
    /// It is sealed to another identity than the one that the KDC works with.
    #[error(
        "the trust offer is sealed to {to}, and this zone works with {ours}: send the other zone the present bundle and ask for another offer"
    )]
    Identity {
        /// The one that it is sealed to.
        to: IdentityName,
        /// The one that the KDC works with.
        ours: IdentityName,
    },
    /// It was made later than now.
    #[error(
        "the trust offer was made at {0} (Unix time), which is yet to come: set the clocks of both zones right"
    )]
    Early(UnixSeconds),
    /// It is too late to take it.
    #[error("the trust offer expired at {0} (Unix time): ask for another one")]
    Expired(UnixSeconds),
    /// The first identity of the bundle in it did not sign it.
    #[error("the trust offer's signature does not hold: it was changed on its way, so get it again")]
    Forged,
    /// It is by other keys than those that were compared.
    #[error(
        "the trust offer is by the identities {0}: that is not the fingerprint given, so ask the other zone's administrator for theirs"
    )]
    Fingerprint(BundleFingerprint),
    /// No identity that is known of the zone signed it.
    #[error(
        "no known identity of {0} signed the trust offer: compare the fingerprint with that zone's administrator"
    )]
    UnknownSigner(Zone),
    /// The bundle in it does not follow the one that is known.
    #[error("the bundle in the trust offer does not follow the one that is known: {0}")]
    Succession(#[from] SuccessionError),
    /// Its key is sealed to others' keys.
    #[error(
        "the trust offer is sealed to other keys than this zone's: send the other zone the present bundle and ask for another offer"
    )]
    AnotherKey,
    /// Nothing can be sealed to the identity.
    #[error("the identity's encryption key cannot be used: get the bundle again from where you trust it")]
    EncryptionKey,
    /// What signs is not the first identity of the bundle.
    #[error("the first identity of the bundle is not the one that signs: get the bundle again")]
    Signer,
}
