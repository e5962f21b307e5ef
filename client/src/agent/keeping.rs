//! Keeping the key file up: what is to be in it, and when.

use keycell_protocol::{Epoch, Generation, Ticket, UnixMillis, UnixSeconds};
use rand_core::CryptoRng;

use super::Agent;
use crate::config::AgentConfig;
use crate::kept::{Kept, Unsaved};
use crate::keyfile::AgentKey;
use crate::opened::{Opened, Origin};

impl Agent {
    /// An agent that keeps its key file up: its keys turn as the days pass, and it rotates them when the KDC asks.
    ///
    /// Whoever drives it stores what [`unsaved`](Self::unsaved) gives, for instance in a
    /// [`KeyStore`](crate::KeyStore). Until that is done, everything else goes on as before.
    #[must_use]
    pub fn keeping(
        key: AgentKey,
        config: &AgentConfig,
        now: UnixMillis,
        rng: impl CryptoRng + Send + 'static,
    ) -> Self {
        let kept = Kept::new(key.kdc.clone());
        Self { kept: Some(Box::new(kept)), ..Self::new(key, config, now, rng) }
    }

    /// What is to be stored now, if anything. Look after each call of [`take_reply`](Self::take_reply),
    /// [`open`](Self::open) and [`wants`](Self::wants).
    ///
    /// The same is given until [`saved`](Self::saved) says that it is done.
    #[must_use]
    pub fn unsaved(&self) -> Option<Unsaved> {
        let kept = self.kept.as_ref()?;
        let change = kept.unsaved()?;
        let mut key = self.keys.to_file(self.me.clone(), kept.kdc.clone());
        key.author = self.author.key().cloned();
        key.signers = self.zone().map(|zone| self.opener.signers(&zone)).unwrap_or_default();
        key.trusted = self.abroad.told().clone();
        let reenrolled = self.reenrolling.as_ref();
        let reenrolled = reenrolled.filter(|own| own.bundle.is_some_and(|change| !kept.has_saved(change)));
        Some(Unsaved { key, bundle: reenrolled.map(|own| own.bundle().clone()), change })
    }

    /// Whether [`unsaved`](Self::unsaved) gives something, and which change it is.
    #[cfg(feature = "https")]
    pub(crate) fn unsaved_change(&self) -> Option<u64> {
        self.kept.as_ref()?.unsaved()
    }

    /// It is stored, and will be there after a crash.
    ///
    /// Said too early of a new key, it may lock this party out: the KDC drops the old key on this word.
    pub fn saved(&mut self, unsaved: &Unsaved) {
        self.stats.key_saves += 1;
        if let Some(kept) = &mut self.kept {
            kept.saved(unsaved.change);
        }
    }

    /// It cannot be stored at the moment. It is counted, and given again.
    pub const fn save_failed(&mut self) {
        self.stats.key_save_failures += 1;
    }

    /// Rotates this party's key as soon as can be. `false` for an agent that does not [keep](Self::keeping) it.
    pub fn rotate(&mut self) -> bool {
        match &mut self.kept {
            Some(kept) => {
                kept.host_wants = true;
                true
            }
            None => false,
        }
    }

    /// Which of the party's keys is active.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.keys.active()
    }

    /// A ticket that opened proves the epoch in which the KDC sealed it. So the keys of a party that only receives turn
    /// too. One under a key that the KDC has erased proves nothing: a thief of that key may have sealed it.
    pub(super) fn prove_by(&mut self, now: UnixMillis, opened: &Opened) {
        if self.kept.is_some()
            && let Origin::Message(ticket) = &opened.origin
            && let Ok(ticket) = Ticket::parse(ticket)
            && self.keys.is_living(ticket.generation())
        {
            self.prove(now, ticket.epoch());
        }
    }

    /// A KDC proved that it was in this epoch.
    pub(super) fn prove(&mut self, now: UnixMillis, epoch: Epoch) {
        if let Some(kept) = &mut self.kept
            && self.keys.turn(epoch, self.keys.period().epoch(now.seconds()))
        {
            kept.changed();
        }
    }

    /// A KDC answered a request that was signed with the key of this generation.
    pub(super) fn accepted(&mut self, now: UnixMillis, generation: Generation, rotate: bool) {
        let now = self.correction.apply(now).seconds();
        if self.keys.is_staged(generation) {
            // A staged key is accepted for its commit only, so this one is active: the answer to the commit was lost.
            self.activated(generation, now);
        }
        if let Some(reenrolling) = &mut self.reenrolling {
            reenrolling.accepted();
        }
        let changed = self.keys.accepted(generation, now, self.end_of_tickets(now));
        if let Some(kept) = &mut self.kept {
            // What was said to the key before is past.
            if generation == self.keys.speaker() {
                kept.kdc_wants = rotate;
            }
            if changed {
                kept.changed();
            }
        }
    }

    /// The KDC uses the staged key.
    pub(super) fn activated(&mut self, generation: Generation, now: UnixSeconds) {
        if self.keys.activate(generation, self.end_of_tickets(now))
            && let Some(kept) = &mut self.kept
        {
            kept.done();
            self.stats.rotations += 1;
        }
    }

    pub(super) fn keys_changed(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.changed();
        }
    }

    /// When no ticket is alive any more that a KDC seals now. Another KDC of the zone may hear of a new key a moment later.
    pub(super) const fn end_of_tickets(&self, now: UnixSeconds) -> UnixSeconds {
        now.plus(self.max_lifetime).plus(LATE)
    }
}

/// Seconds.
const LATE: u64 = 300;
