//! The trusts in memory: what the path of a ticket reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use keycell_protocol::{KdcIdentity, Name, TrustedSigners, TrustedZone, Zone, ZoneSigners};

use super::{Direction, TrustRecord};
use crate::policy::Mode;

/// The trusts of this zone, also those that are disabled.
#[derive(Debug, Default)]
pub struct Trusts {
    incoming: BTreeMap<Zone, Arc<TrustRecord>>,
    outgoing: BTreeMap<Zone, Arc<TrustRecord>>,
}

impl Trusts {
    /// These.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = TrustRecord>) -> Self {
        let mut trusts = Self::default();
        for record in records {
            let of = match record.direction {
                Direction::Incoming => &mut trusts.incoming,
                Direction::Outgoing => &mut trusts.outgoing,
            };
            of.insert(record.zone.clone(), Arc::new(record));
        }
        trusts
    }

    /// The trust with a zone, enabled or not.
    #[must_use]
    pub fn get(&self, direction: Direction, zone: &str) -> Option<&Arc<TrustRecord>> {
        match direction {
            Direction::Incoming => self.incoming.get(zone),
            Direction::Outgoing => self.outgoing.get(zone),
        }
    }

    /// The trust by which that zone's parties may speak to ours, if it is enabled.
    #[must_use]
    pub fn incoming(&self, zone: &str) -> Option<&Arc<TrustRecord>> {
        self.incoming.get(zone).filter(|trust| trust.enabled)
    }

    /// The trust by which our parties may speak to those of that zone, if it is enabled.
    #[must_use]
    pub fn outgoing(&self, zone: &str) -> Option<&Arc<TrustRecord>> {
        self.outgoing.get(zone).filter(|trust| trust.enabled)
    }

    /// All of them, the incoming ones first, each in the order of their zones.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrustRecord>> {
        self.incoming.values().chain(self.outgoing.values())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.incoming.len() + self.outgoing.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The zones whose KDC vouches for the authors of what parties of this zone are sent: those of all trusts that are
    /// enabled, whichever way, for who is spoken to may answer.
    #[must_use]
    pub fn trusted(&self) -> Vec<TrustedZone> {
        let trusted = |(zone, identities): (&Zone, &Vec<_>)| TrustedZone {
            zone: zone.clone(),
            identities: identities.clone(),
        };
        self.enabled_zones().into_iter().map(trusted).collect()
    }

    /// Their signing keys, as parties of the zone `own` are told.
    #[must_use]
    pub fn signers(&self, own: &str) -> TrustedSigners {
        let signers = |(zone, identities): (&Zone, &Vec<KdcIdentity>)| ZoneSigners {
            zone: zone.clone(),
            signers: identities.iter().map(|identity| identity.signing_key).collect(),
        };
        // A trust is made of a bundle of another zone, which keeps to the same bounds.
        TrustedSigners::new(own, self.enabled_zones().into_iter().map(signers).collect()).unwrap_or_default()
    }

    /// The zones of which a trust is enabled, with the identities that are the latest of what is known of them: the two ways
    /// are renewed one after the other, and what the earlier of them still has may be stolen.
    fn enabled_zones(&self) -> BTreeMap<&Zone, &Vec<KdcIdentity>> {
        let enabled = self.iter().filter(|trust| trust.enabled);
        let mut zones: BTreeMap<_, _> = enabled.map(|trust| (&trust.zone, &trust.identities)).collect();
        let primary = |identities: &[KdcIdentity]| identities.first().map(|primary| primary.name);
        for trust in self.iter() {
            if let Some(known) = zones.get_mut(&trust.zone)
                && primary(known) < primary(&trust.identities)
            {
                *known = &trust.identities;
            }
        }
        zones
    }
}

/// What the lists of a trust say of two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// They may speak.
    Yes,
    /// They would not be let speak if the lists were in force.
    Monitored,
    /// They may not.
    No,
}

impl TrustRecord {
    /// What its lists say.
    #[must_use]
    pub fn lists(&self, source: &Name, destination: &Name) -> Listed {
        let source = self.sources.iter().any(|pattern| pattern.matches(source));
        let destination = self.destinations.iter().any(|pattern| pattern.matches(destination));
        match (source && destination, self.mode) {
            (true, _) => Listed::Yes,
            (false, Mode::Monitor) => Listed::Monitored,
            (false, Mode::Enforce) => Listed::No,
        }
    }

    /// How long a ticket by it may last, where the zone's own last `seconds`.
    #[must_use]
    pub fn lifetime(&self, seconds: u32) -> u32 {
        self.lifetime_seconds.map_or(seconds, |most| most.min(seconds))
    }
}

#[cfg(test)]
mod tests {
    use keycell_protocol::{IdentityEncryptionKey, IdentityName, SignerKey, UnixMillis};

    use super::*;
    use crate::trust::DEFAULT_RATE;

    /// A trust with `z2`, by identities of these numbers.
    fn trust(direction: Direction, enabled: bool, numbers: [u8; 2]) -> TrustRecord {
        let identity = |number: u8| KdcIdentity {
            name: IdentityName::new(number.into()).unwrap(),
            signing_key: SignerKey::new([number; 32]),
            encryption_key: IdentityEncryptionKey([number; IdentityEncryptionKey::SIZE]),
        };
        TrustRecord {
            direction,
            zone: "z2".parse().unwrap(),
            enabled,
            mode: Mode::Enforce,
            sources: Vec::new(),
            destinations: Vec::new(),
            lifetime_seconds: None,
            rate: DEFAULT_RATE,
            log_tickets: false,
            note: String::new(),
            identities: numbers.map(identity).to_vec(),
            peer: None,
            offered: None,
            created_at: UnixMillis(1),
            updated_at: UnixMillis(1),
            revision: 1,
        }
    }

    /// The other zone recovered from a theft, and one of the two trusts was renewed since.
    #[test]
    fn a_stolen_identity_vouches_for_nobody_once_one_trust_knows_its_successor() {
        use Direction::{Incoming, Outgoing};
        let signers = |trusts: Vec<TrustRecord>| {
            let of = Trusts::new(trusts).signers("z1").of("z2").to_vec();
            of.iter().map(|key| key.as_bytes()[0]).collect::<Vec<_>>()
        };
        for (later, earlier) in [(Incoming, Outgoing), (Outgoing, Incoming)] {
            for enabled in [(true, true), (true, false), (false, true)] {
                let both = vec![trust(later, enabled.0, [2, 3]), trust(earlier, enabled.1, [1, 2])];
                assert_eq!(signers(both), [2, 3], "{later} {enabled:?}");
            }
            assert_eq!(signers(vec![trust(earlier, true, [1, 2])]), [1, 2]);
            assert_eq!(signers(vec![trust(later, false, [2, 3])]), [0_u8; 0]);
        }
    }
}
