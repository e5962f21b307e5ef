//! Whose vouchers hold: the signing keys of this zone's KDC, and of those of the zones that it trusts
//! (docs/protocol.md §10, §12).

use keycell_protocol::{SignerKey, TrustedSigners, Zone};

use super::Agent;
use crate::opener::Opener;

/// The signers of other zones.
#[derive(Debug, Default)]
pub(crate) struct Abroad {
    /// As the KDC told them.
    told: TrustedSigners,
    /// The zones for which the host decides.
    by_hand: Vec<Zone>,
}

/// Which answer says whose vouchers hold: that to the latest request. An earlier one may come after it.
#[derive(Debug, Default)]
pub(super) struct Order {
    asked: u64,
    heard: u64,
}

impl Order {
    /// Of a request that is made now.
    pub(super) const fn next(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    /// Whether no later request was answered before.
    const fn hear(&mut self, place: u64) -> bool {
        let counts = place > self.heard;
        if counts {
            self.heard = place;
        }
        counts
    }
}

impl Abroad {
    /// As the key file has them.
    pub(super) fn new(told: TrustedSigners, opener: &mut Opener) -> Self {
        let mut abroad = Self::default();
        abroad.learn(told, opener);
        abroad
    }

    pub(super) const fn told(&self) -> &TrustedSigners {
        &self.told
    }

    /// These zones, and no others. Whether they are others than before.
    fn learn(&mut self, told: TrustedSigners, opener: &mut Opener) -> bool {
        if self.told == told {
            return false;
        }
        let before = core::mem::replace(&mut self.told, told);
        for known in before.iter().chain(self.told.iter()) {
            if !self.by_hand.contains(&known.zone) {
                // None, where the zone is trusted no longer.
                opener.trust_signers(&known.zone, self.told.of(known.zone.as_str()));
            }
        }
        true
    }
}

impl Agent {
    /// Believes what is vouched for by these keys of a zone's KDCs, and by no others, of parties of that zone: as a bundle
    /// has them.
    ///
    /// An agent does without: those of its own zone, and of the zones that this trusts, it has from its key file, and hears of
    /// from its KDC. What is said here of its own zone holds until the KDC says otherwise; what is said of another zone holds
    /// whatever the KDC says, and is not kept in the key file.
    pub fn trust_signers(&mut self, zone: &Zone, keys: &[SignerKey]) {
        if zone.as_str() != self.me.zone() && !self.abroad.by_hand.contains(zone) {
            self.abroad.by_hand.push(zone.clone());
        }
        self.opener.trust_signers(zone, keys);
    }

    /// As a sealed answer of the KDC to the request in this place has them, of its own zone and of those that this trusts: they
    /// go into the key file.
    pub(super) fn learn_signers(&mut self, place: u64, keys: &[SignerKey], trusted: TrustedSigners) {
        if !self.order.hear(place) {
            return;
        }
        let own = self.zone().is_some_and(|zone| self.opener.trust_signers(&zone, keys));
        if self.abroad.learn(trusted, &mut self.opener) || own {
            self.keys_changed();
        }
    }

    pub(super) fn zone(&self) -> Option<Zone> {
        self.me.zone().parse().ok()
    }
}
