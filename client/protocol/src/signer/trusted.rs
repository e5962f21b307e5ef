//! Who vouches for the authors of other zones (docs/protocol.md §12).

use serde::{Deserialize, Serialize};

use super::SignerKey;
use crate::name::Zone;

/// The signing keys of the KDCs of the zones that one zone trusts: each other zone once, with 1 to 8 keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TrustedSigners(Vec<ZoneSigners>);

/// By which signing keys the KDC of a zone is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSigners {
    /// The zone.
    pub zone: Zone,
    /// Whose vouchers hold for its names.
    pub signers: Vec<SignerKey>,
}

impl TrustedSigners {
    /// The most zones.
    pub const MAX_ZONES: usize = 256;
    /// The most keys of a zone.
    pub const MAX_SIGNERS: usize = 8;

    /// Those that the zone `own` trusts. Nobody but its own KDC says who vouches for its names.
    ///
    /// # Errors
    /// [`TrustedSignersError`].
    pub fn new(own: &str, zones: Vec<ZoneSigners>) -> Result<Self, TrustedSignersError> {
        if zones.len() > Self::MAX_ZONES {
            return Err(TrustedSignersError::TooMany);
        }
        if !zones.iter().all(|zone| (1..=Self::MAX_SIGNERS).contains(&zone.signers.len())) {
            return Err(TrustedSignersError::Signers);
        }
        let mut names: Vec<_> = zones.iter().map(|zone| zone.zone.as_str()).chain([own]).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() <= zones.len() {
            return Err(TrustedSignersError::Zones);
        }
        Ok(Self(zones))
    }

    /// No other zone is trusted.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Each zone with its keys.
    pub fn iter(&self) -> impl Iterator<Item = &ZoneSigners> {
        self.0.iter()
    }

    /// The keys of a zone; none if it is not trusted.
    #[must_use]
    pub fn of(&self, zone: &str) -> &[SignerKey] {
        let known = self.0.iter().find(|known| known.zone.as_str() == zone);
        known.map(|known| known.signers.as_slice()).unwrap_or_default()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why these are not the signers of the zones that a zone trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustedSignersError {
    /// There are too many zones.
    #[error("they are of more than 256 zones")]
    TooMany,
    /// A zone is there twice, or it is the own one.
    #[error("each zone is there once, and none of them is the own one")]
    Zones,
    /// A zone has no keys, or too many.
    #[error("each zone has 1 to 8 signers")]
    Signers,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, keys: u8) -> ZoneSigners {
        let signers = (0..keys).map(|byte| SignerKey::new([byte; 32])).collect();
        ZoneSigners { zone: name.parse().unwrap(), signers }
    }

    #[test]
    fn zones_are_told_apart() {
        let new = |zones: &[ZoneSigners]| TrustedSigners::new("own.example", zones.to_vec());
        let two = new(&[zone("a.example", 1), zone("b.example", 8)]).unwrap();
        assert_eq!((two.of("a.example").len(), two.of("b.example").len()), (1, 8));
        assert!(two.of("own.example").is_empty() && two.of("c.example").is_empty());
        assert!(new(&[]).unwrap().is_empty() && !two.is_empty());
        assert_eq!(new(&[zone("own.example", 1)]), Err(TrustedSignersError::Zones));
        assert_eq!(new(&[zone("a.example", 1), zone("a.example", 1)]), Err(TrustedSignersError::Zones));
        assert_eq!(new(&[zone("a.example", 0)]), Err(TrustedSignersError::Signers));
        assert_eq!(new(&[zone("a.example", 9)]), Err(TrustedSignersError::Signers));
        let many = |count: usize| -> Vec<_> { (0..count).map(|at| zone(&format!("z{at}"), 1)).collect() };
        assert!(new(&many(256)).is_ok());
        assert_eq!(new(&many(257)), Err(TrustedSignersError::TooMany));
    }
}
