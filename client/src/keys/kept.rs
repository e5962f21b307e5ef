//! Turning and rotating keys, for an agent that keeps its key file up.

use keycell_protocol::{
    Epoch, Generation, LongTermKey, Name, RatchetError, RatchetPeriod, RatchetedKey, RotationKeys,
    UnixMillis, UnixSeconds,
};

use super::Keys;
use crate::keyfile::{AgentKey, KdcAddress, RetiringKey};

impl Keys {
    pub(crate) const fn period(&self) -> RatchetPeriod {
        self.period
    }

    pub(crate) const fn active(&self) -> Generation {
        self.active.generation()
    }

    /// Which generation requests are signed with.
    pub(crate) const fn speaker(&self) -> Generation {
        self.speaker
    }

    pub(crate) const fn has_staged(&self) -> bool {
        self.staged.is_some()
    }

    pub(crate) fn is_staged(&self, generation: Generation) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.generation() == generation)
    }

    /// What is to be in the key file of the long-term keys.
    pub(crate) fn to_file(&self, name: Name, kdc: KdcAddress) -> AgentKey {
        let retiring = self.retiring.iter();
        AgentKey {
            name,
            key: self.active.key().clone(),
            ratchet_period: self.period,
            kdc,
            staged: self.staged.as_ref().map(|staged| staged.key().clone()),
            retiring: retiring
                .map(|old| RetiringKey { key: old.key.key().clone(), until: old.until })
                .collect(),
            author: None,
            signers: Vec::new(),
        }
    }

    /// The KDC proved that it is in epoch `proven`: turns every key to the epoch before it. Whether one has turned.
    ///
    /// A KDC whose clock has jumped ahead would leave this party where no right clock ever finds it again. So a long
    /// jump holds only if this host's `clock`, unaided, has come as far; until then the keys stay where they are, and the
    /// way is gone anew each time.
    pub(crate) fn turn(&mut self, proven: Epoch, clock: Epoch) -> bool {
        let far = FAR_EPOCHS.max(FAR_SECONDS / self.period.seconds());
        let mut turned = false;
        for key in self.all() {
            let before = key.epoch();
            if proven.0 <= before.max(clock).0.saturating_add(far) {
                key.confirm(proven);
            }
            turned |= key.epoch() != before;
        }
        turned
    }

    /// The keys to ask for the next key with: those of the active one, or of what is tried in its place. Not of the
    /// staged one: if that is what counts, to commit it says so.
    pub(crate) fn staging(&self, now: UnixMillis) -> Result<RotationKeys, RatchetError> {
        let clock = self.period.epoch(now.seconds());
        let speaker = self.speaker;
        let old = self.retiring.iter().map(|old| &old.key).find(|key| key.generation() == speaker);
        let key = old.unwrap_or(&self.active);
        key.keys_for(clock.max(key.epoch()), clock)
    }

    /// The keys to say with that the staged key is stored.
    pub(crate) fn committing(&self, now: UnixMillis) -> Result<RotationKeys, RatchetError> {
        let clock = self.period.epoch(now.seconds());
        let key = self.staged.as_ref().ok_or(RatchetError::EndOfTime)?;
        key.keys_for(clock.max(key.epoch()), clock)
    }

    /// The KDC gave the next key to the holder of generation `asker`.
    ///
    /// That proves that the KDC has never heard of what is held of this generation or later: it was restored from a
    /// backup that did not have them. They are dropped, and the asker is the active key.
    pub(crate) fn stage(&mut self, asker: Generation, key: LongTermKey) {
        self.retiring.retain(|old| old.key.generation() < key.generation());
        if self.active.generation() >= key.generation()
            && let Some(at) = self.retiring.iter().position(|old| old.key.generation() == asker)
        {
            self.active = self.retiring.remove(at).key;
            self.speak_again();
        }
        self.staged = Some(RatchetedKey::new(key));
    }

    /// The KDC knows this key only, and gave it to the holder of another proof than a key. The active one before opens messages
    /// `until` then; what is held of this generation or later the KDC has never heard of.
    pub(crate) fn board(&mut self, key: LongTermKey, until: UnixSeconds) {
        self.staged = None;
        self.retiring.retain(|old| old.key.generation() < key.generation());
        self.replace(RatchetedKey::new(key), until);
    }

    /// The KDC uses the staged key. Whether it is that generation.
    pub(crate) fn activate(&mut self, generation: Generation, until: UnixSeconds) -> bool {
        match self.staged.take_if(|staged| staged.generation() == generation) {
            Some(staged) => {
                self.replace(staged, until);
                true
            }
            None => false,
        }
    }

    /// No KDC accepts requests that this generation signed: the next one is to be tried. `false` when all were.
    pub(crate) fn refused(&mut self, generation: Generation) -> bool {
        if generation != self.speaker {
            // Another one is being tried already.
            return true;
        }
        let generations: Vec<_> = self.all().map(|key| key.generation()).collect();
        let next = generations.iter().cycle().skip_while(|held| **held != generation).nth(1);
        self.speaker = next.copied().unwrap_or(generation);
        self.refused += 1;
        if self.refused < generations.len() {
            return true;
        }
        self.speak_again();
        false
    }

    /// A KDC accepts requests of a generation. If that was to be erased soon it is kept `until` then: it is the one that
    /// works. Whether that changes anything.
    pub(crate) fn accepted(&mut self, generation: Generation, now: UnixSeconds, until: UnixSeconds) -> bool {
        self.refused = 0;
        let soon = UnixSeconds(now.0.midpoint(until.0));
        let old = self.retiring.iter_mut().find(|old| old.key.generation() == generation);
        match old.filter(|old| old.until < soon && generation == self.speaker) {
            Some(old) => {
                old.until = until;
                true
            }
            None => false,
        }
    }

    /// Erases the keys that no message comes under any more. Whether there were any.
    pub(crate) fn expire(&mut self, now: UnixSeconds) -> bool {
        let (before, speaker) = (self.retiring.len(), self.speaker);
        self.retiring.retain(|old| old.until > now || old.key.generation() == speaker);
        self.retiring.len() != before
    }

    /// When there is something to [expire](Self::expire) next.
    pub(crate) fn next_expiry(&self) -> Option<UnixSeconds> {
        let retiring = self.retiring.iter().filter(|old| old.key.generation() != self.speaker);
        retiring.map(|old| old.until).min()
    }
}

/// A jump of the KDC's clock that is believed alone: as many epochs, or as many seconds if that is more.
const FAR_EPOCHS: u32 = 31;
const FAR_SECONDS: u32 = 31 * 86_400;
