//! One identity with its private halves.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian as _, Curve25519SeedBin};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use keycell_protocol::{IdentityName, IdentitySecret, KdcIdentity, SignerKey, Zone};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::audit::{AuditKey, AuditKeyError};

/// An identity with its private halves, as the seeds that they are made of.
///
/// ```text
/// 0   1  version = 1
/// 1   32 Ed25519 private key (RFC 8032)
/// 33  32 X-Wing decapsulation key
/// ```
pub struct Identity {
    name: IdentityName,
    signing: Zeroizing<[u8; SEED]>,
    encryption: IdentitySecret,
}

impl Identity {
    /// A new one.
    pub fn generate(name: IdentityName, rng: &mut impl CryptoRng) -> Self {
        let mut signing = Zeroizing::new([0; SEED]);
        rng.fill_bytes(&mut *signing);
        Self { name, signing, encryption: IdentitySecret::generate(rng) }
    }

    /// One that signs with the audit key that an older release made: what that signed holds on.
    ///
    /// # Errors
    /// [`IdentityError`] when it is no such key.
    pub fn with_audit_key(
        name: IdentityName,
        pkcs8: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, IdentityError> {
        let damaged = || IdentityError { name };
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| damaged())?;
        let seed: Curve25519SeedBin<'_> =
            pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| damaged())?;
        let seed = seed.as_ref().try_into().map_err(|_| damaged())?;
        Ok(Self { signing: Zeroizing::new(seed), ..Self::generate(name, rng) })
    }

    /// The one that [`to_secret`](Self::to_secret) gave.
    ///
    /// # Errors
    /// [`IdentityError`] when it is none.
    pub fn from_secret(name: IdentityName, secret: &[u8]) -> Result<Self, IdentityError> {
        let seeds = secret.strip_prefix(&[VERSION]).ok_or(IdentityError { name })?;
        match seeds.split_first_chunk::<SEED>() {
            Some((signing, encryption)) => Ok(Self {
                name,
                signing: Zeroizing::new(*signing),
                encryption: IdentitySecret::new(encryption.try_into().map_err(|_| IdentityError { name })?),
            }),
            None => Err(IdentityError { name }),
        }
    }

    /// The private halves, to be wrapped and kept.
    #[must_use]
    pub fn to_secret(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new(Vec::with_capacity(1 + 2 * SEED));
        secret.push(VERSION);
        secret.extend_from_slice(&*self.signing);
        secret.extend_from_slice(self.encryption.expose_secret());
        secret
    }

    /// Which one it is.
    #[must_use]
    pub const fn name(&self) -> IdentityName {
        self.name
    }

    /// What everybody may know of it.
    ///
    /// # Errors
    /// [`IdentityError`]: its seeds make no keys.
    pub fn public(&self) -> Result<KdcIdentity, IdentityError> {
        let damaged = || IdentityError { name: self.name };
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.signing).map_err(|_| damaged())?;
        let signing_key = pair.public_key().as_ref().try_into().map_err(|_| damaged())?;
        Ok(KdcIdentity {
            name: self.name,
            signing_key: SignerKey::new(signing_key),
            encryption_key: self.encryption.public(),
        })
    }

    /// What opens that which is written to it.
    #[must_use]
    pub const fn encryption(&self) -> &IdentitySecret {
        &self.encryption
    }

    /// Its signing key as the one that signs the audit log: what is signed says what it is (docs/decisions/0028).
    ///
    /// # Errors
    /// [`AuditKeyError`] when it is none.
    pub fn audit_key(&self, zone: &Zone) -> Result<AuditKey, AuditKeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.signing).map_err(|_| AuditKeyError)?;
        // As a release before had it: what the file of revocations is authenticated with is derived from these bytes.
        let pkcs8 = pair.to_pkcs8().map_err(|_| AuditKeyError)?;
        AuditKey::new(pkcs8.as_ref(), zone)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, signing: _, encryption: _ } = self;
        f.debug_struct("Identity").field("name", name).finish_non_exhaustive()
    }
}

/// The private half of an identity cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private half of the identity {name} cannot be used: restore a backup")]
pub struct IdentityError {
    /// Which.
    pub name: IdentityName,
}

const VERSION: u8 = 1;
const SEED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::SealKind;
    use keycell_protocol::UnixMillis;
    use proptest::prelude::*;

    #[test]
    fn an_identity_comes_back() {
        let identity = Identity::generate(IdentityName::PRIMARY, &mut crate::random::system());
        let secret = identity.to_secret();
        let back = Identity::from_secret(IdentityName::PRIMARY, &secret).unwrap();
        assert_eq!(back.public().unwrap(), identity.public().unwrap());
        assert_eq!(back.to_secret(), secret);
        assert_eq!(format!("{back:?}"), "Identity { name: IdentityName(1), .. }");
        for wrong in [&secret[1..], &secret[..64], &[&secret[..], &[0]].concat(), &[]] {
            assert!(Identity::from_secret(IdentityName::PRIMARY, wrong).is_err());
        }
        let mut other = secret.to_vec();
        other[0] = 2;
        assert!(Identity::from_secret(IdentityName::PRIMARY, &other).is_err());
    }

    proptest! {
        #[test]
        fn a_secret_is_65_bytes_of_version_1(
            version in 0..3_u8,
            seeds in prop_oneof![
                prop::collection::vec(any::<u8>(), 2 * SEED),
                prop::collection::vec(any::<u8>(), 0..80),
            ],
        ) {
            let secret = [&[version], &seeds[..]].concat();
            match Identity::from_secret(IdentityName::PRIMARY, &secret) {
                Ok(identity) => prop_assert_eq!(&identity.to_secret()[..], &secret[..]),
                Err(_) => prop_assert!(version != VERSION || seeds.len() != 2 * SEED),
            }
        }
    }

    #[test]
    fn an_audit_key_becomes_the_primary() {
        let zone: Zone = "z".parse().unwrap();
        let pkcs8 = AuditKey::generate().unwrap();
        let before = AuditKey::new(&pkcs8, &zone).unwrap();
        let primary =
            Identity::with_audit_key(IdentityName::PRIMARY, &pkcs8, &mut crate::random::system()).unwrap();
        let after = primary.audit_key(&zone).unwrap();
        assert_eq!(after.public(), before.public());
        assert_eq!(primary.public().unwrap().signing_key.as_bytes(), before.public());
        let seal = before.seal(SealKind::Head, crate::audit::Link::origin(&zone), UnixMillis(1), "");
        assert!(seal.holds(&zone, after.public()));
        // The file of revocations goes on as well.
        let tag = |key: &AuditKey| aws_lc_rs::hmac::sign(&key.watermark().mac(), b"line").as_ref().to_vec();
        assert_eq!(tag(&after), tag(&before));
        assert!(Identity::with_audit_key(IdentityName::PRIMARY, b"", &mut crate::random::system()).is_err());
    }
}
