//! Which bundle may take the place of another (docs/protocol.md §10.5).

use super::{Bundle, IdentityName, KdcIdentity};

impl Bundle {
    /// Whether a host that knows this bundle may take `later` in its place: one that came in the sealed answer of its first
    /// identity, or from an administrator. Equal ones may.
    ///
    /// Who has stolen the identity that the KDC works with can seal such an answer, and must not be able to keep hosts from the
    /// identity that will replace it, nor to add one of its own:
    ///
    /// - `later` does not begin with an identity before the first of this one;
    /// - what both have is by the very same keys, and each identity of this one that comes after the first of `later` is in
    ///   `later` too;
    /// - what this one does not have comes after the first of `later`, or is the first, and is taken from an identity after the
    ///   first of this one only: when that takes over, it brings along its own successor.
    ///
    /// The URLs, roots and trusted zones of `later` are taken as they are.
    ///
    /// # Errors
    /// [`SuccessionError`].
    pub fn accepts(&self, later: &Self) -> Result<(), SuccessionError> {
        if later.zone != self.zone {
            return Err(SuccessionError::Zone);
        }
        let of =
            |bundle: &Self, name| bundle.identities.iter().find(|identity| identity.name == name).cloned();
        let first = |bundle: &Self| bundle.identities.first().map(|identity| identity.name);
        let changed = |known: &&KdcIdentity| of(later, known.name).is_some_and(|theirs| theirs != **known);
        if let Some(known) = self.identities.iter().find(changed) {
            return Err(SuccessionError::OtherKeys(known.name));
        }
        let (Some(known), Some(by)) = (first(self), first(later)) else {
            // Neither is without identities when it was read.
            return Err(SuccessionError::Zone);
        };
        if by < known {
            return Err(SuccessionError::Earlier { known, by });
        }
        let is_missing = |known: &&KdcIdentity| known.name > by && of(later, known.name).is_none();
        if let Some(missing) = self.identities.iter().find(is_missing) {
            return Err(SuccessionError::Missing(missing.name));
        }
        let is_new = |theirs: &&KdcIdentity| of(self, theirs.name).is_none();
        let is_strange = |theirs: &&KdcIdentity| is_new(theirs) && (by == known || theirs.name < by);
        match later.identities.iter().find(is_strange) {
            Some(stranger) => Err(SuccessionError::Stranger(stranger.name)),
            None => Ok(()),
        }
    }
}

/// Why a bundle does not take the place of the one that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// It is of another zone.
    #[error("it is of another zone")]
    Zone,
    /// An identity is in both, and not by the same keys.
    #[error("it has other keys of {0}")]
    OtherKeys(IdentityName),
    /// It begins with an identity that has been replaced.
    #[error("it begins with {by}, and the one that is known with {known}, which comes later")]
    Earlier {
        /// The first of the one that is known.
        known: IdentityName,
        /// Its first.
        by: IdentityName,
    },
    /// It leaves out an identity that may replace its first one.
    #[error("it leaves out {0}, which the one that is known has")]
    Missing(IdentityName),
    /// It has an identity that its first one may not add.
    #[error("it adds {0}, which only a later identity may")]
    Stranger(IdentityName),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::IdentityEncryptionKey;
    use crate::signer::SignerKey;

    /// Of identities, each a number and which keys it has.
    fn bundle(identities: &[(u32, u8)]) -> Bundle {
        let identity = |&(number, key): &(u32, u8)| KdcIdentity {
            name: IdentityName::new(number).unwrap(),
            signing_key: SignerKey::new([key; 32]),
            encryption_key: IdentityEncryptionKey([key; IdentityEncryptionKey::SIZE]),
        };
        Bundle {
            zone: "z".parse().unwrap(),
            urls: vec!["https://kdc.example".into()],
            tls_roots: String::new(),
            identities: identities.iter().map(identity).collect(),
            trusted: Vec::new(),
        }
    }

    fn name(number: u32) -> IdentityName {
        IdentityName::new(number).unwrap()
    }

    #[test]
    fn what_a_kdc_comes_to_is_taken() {
        let known = bundle(&[(1, 1), (2, 2)]);
        let moved = Bundle { urls: vec!["https://other.example".into()], ..known.clone() };
        for later in [known.clone(), moved, bundle(&[(2, 2), (3, 3)]), bundle(&[(3, 3), (4, 4)])] {
            assert_eq!(known.accepts(&later), Ok(()), "{later:?}");
        }
        // Two recoveries, one after the other.
        assert_eq!(bundle(&[(2, 2), (3, 3)]).accepts(&bundle(&[(3, 3), (4, 4)])), Ok(()));
        // One that is gone over is not missed.
        assert_eq!(bundle(&[(1, 1), (2, 2), (3, 3)]).accepts(&bundle(&[(3, 3), (4, 4)])), Ok(()));
    }

    #[test]
    fn a_thief_of_the_first_identity_changes_none() {
        let known = bundle(&[(1, 1), (2, 2)]);
        for (later, why) in [
            (bundle(&[(1, 1)]), SuccessionError::Missing(name(2))),
            (bundle(&[(1, 1), (99_999, 9)]), SuccessionError::Missing(name(2))),
            (bundle(&[(1, 1), (2, 9)]), SuccessionError::OtherKeys(name(2))),
            (bundle(&[(1, 1), (2, 2), (3, 3)]), SuccessionError::Stranger(name(3))),
            (bundle(&[(1, 9), (2, 2)]), SuccessionError::OtherKeys(name(1))),
        ] {
            assert_eq!(known.accepts(&later), Err(why), "{later:?}");
        }
        let mut elsewhere = known.clone();
        elsewhere.zone = "y".parse().unwrap();
        assert_eq!(known.accepts(&elsewhere), Err(SuccessionError::Zone));
    }

    #[test]
    fn either_key_counts() {
        let known = bundle(&[(1, 1), (2, 2)]);
        let mut signing = known.clone();
        signing.identities[1].signing_key = SignerKey::new([9; 32]);
        let mut encryption = known.clone();
        encryption.identities[1].encryption_key.0[1215] ^= 1;
        for later in [signing, encryption] {
            assert_eq!(known.accepts(&later), Err(SuccessionError::OtherKeys(name(2))));
        }
    }

    #[test]
    fn nothing_leads_back() {
        let known = bundle(&[(2, 2), (3, 3)]);
        let back = bundle(&[(1, 1), (2, 2)]);
        assert_eq!(known.accepts(&back), Err(SuccessionError::Earlier { known: name(2), by: name(1) }));
        // Of another KDC altogether.
        assert_eq!(known.accepts(&bundle(&[(1, 1), (2, 9)])), Err(SuccessionError::OtherKeys(name(2))));
        // The third says what the first was.
        let added = bundle(&[(3, 3), (1, 9), (4, 4)]);
        assert_eq!(known.accepts(&added), Err(SuccessionError::Stranger(name(1))));
    }
}
