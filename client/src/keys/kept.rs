//! Turning and rotating keys, for an agent that keeps its key file up.

use keycell_protocol::{
    Epoch, Generation, LongTermKey, Name, RatchetError, RatchetPeriod, RatchetedKey, RotationKeys,
    TrustedSigners, UnixMillis, UnixSeconds,
};

use super::{Keys, Retiring};
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
            staged: self.next().map(|staged| staged.key().clone()),
            retiring: retiring
                .map(|old| {
                    let Retiring { key, until, erased } = old;
                    RetiringKey { key: key.key().clone(), until: *until, erased: *erased }
                })
                .collect(),
            author: None,
            signers: Vec::new(),
            trusted: TrustedSigners::none(),
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
            && let Some(at) =
                self.retiring.iter().position(|old| !old.erased && old.key.generation() == asker)
        {
            self.active = self.retiring.remove(at).key;
            self.speak_again();
        }
        self.staged = Some(RatchetedKey::new(key));
    }

    /// The KDC knows this key only, and gave it to the holder of another proof than a key: it has erased every one from before.
    /// Those open messages `until` then at the latest, and are good for nothing else; what is held of this generation or
    /// later the KDC has never heard of.
    pub(crate) fn board(&mut self, key: LongTermKey, until: UnixSeconds) {
        self.staged = None;
        self.retiring.retain(|old| old.key.generation() < key.generation());
        self.replace(RatchetedKey::new(key), until);
        for old in &mut self.retiring {
            old.until = old.until.min(until);
            old.erased = true;
        }
    }

    /// As [`board`](Self::board), where the KDC has another key of this party's, which is not held here: it uses the new one
    /// once that is committed, and this party at once.
    pub(crate) fn board_staged(&mut self, key: LongTermKey, until: UnixSeconds) {
        self.board(key.clone(), until);
        self.staged = Some(RatchetedKey::new(key));
    }

    /// The key that is staged, unless it is in use already.
    fn next(&self) -> Option<&RatchetedKey> {
        self.staged.as_ref().filter(|staged| staged.generation() > self.active.generation())
    }

    /// Whether the KDC may still know the key of this generation, so that what comes under it may be the KDC's.
    pub(crate) fn is_living(&self, generation: Generation) -> bool {
        !self.retiring.iter().any(|old| old.erased && old.key.generation() == generation)
    }

    /// The KDC uses the staged key. Whether it is that generation.
    pub(crate) fn activate(&mut self, generation: Generation, until: UnixSeconds) -> bool {
        match self.staged.take_if(|staged| staged.generation() == generation) {
            Some(staged) => {
                if generation > self.active.generation() {
                    self.replace(staged, until);
                }
                self.speak_again();
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
        let generations = self.speakers();
        let next = generations.iter().cycle().skip_while(|held| **held != generation).nth(1);
        self.speaker = next.copied().unwrap_or(generation);
        self.refused += 1;
        if self.refused < generations.len() {
            return true;
        }
        self.speak_again();
        false
    }

    /// Which keys requests may be signed with, in the order in which they are tried.
    fn speakers(&self) -> Vec<Generation> {
        let old = self.retiring.iter().filter(|old| !old.erased).map(|old| &old.key);
        let keys = core::iter::once(&self.active).chain(self.next()).chain(old);
        keys.map(RatchetedKey::generation).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(100 * 86_400);
    const END: UnixSeconds = UnixSeconds(101 * 86_400);

    fn key(generation: u32) -> LongTermKey {
        LongTermKey::new(Generation(generation), Epoch(100), [generation as u8; 32])
    }

    fn keys(generation: u32) -> Keys {
        Keys::new(key(generation), RatchetPeriod::DEFAULT)
    }

    fn generations(keys: &mut Keys) -> Vec<u32> {
        keys.all().map(|key| key.generation().0).collect()
    }

    #[test]
    fn what_is_erased_opens_until_its_end_and_asks_nothing() {
        let mut keys = keys(2);
        keys.add(key(1));
        keys.stage(Generation(2), key(3));
        keys.board(key(4), END);
        // What was staged by the KDC that erased it is gone: it was never used.
        assert_eq!(generations(&mut keys), [4, 2, 1]);
        assert!(keys.is_living(Generation(4)) && !keys.is_living(Generation(2)));
        assert!(keys.named(NOW.millis(), Generation(1), Epoch(100)).is_ok());
        for _ in 0..3 {
            assert!(!keys.refused(Generation(4)), "there is no other to ask with");
            assert_eq!(keys.speaker(), Generation(4));
        }
        for erased in [1, 2] {
            assert!(!keys.accepted(Generation(erased), END, END.plus(86_400)));
        }
        keys.remove(Generation(4));
        assert_eq!(keys.active(), Generation(4), "no erased key takes its place");
        // Both, though the first was to be kept for ever.
        assert_eq!(keys.next_expiry(), Some(END));
        assert!(keys.expire(END));
        assert_eq!(generations(&mut keys), [4]);
    }

    #[test]
    fn a_key_that_is_to_be_committed_is_used_alone_and_stored_as_the_only_one() {
        let mut keys = keys(2);
        keys.board_staged(key(4), END);
        assert!(!keys.is_living(Generation(2)) && keys.has_staged());
        assert_eq!((keys.active(), keys.speakers()), (Generation(4), vec![Generation(4)]));
        assert!(!keys.refused(Generation(4)), "there is no other to ask with");
        let kdc = KdcAddress { urls: Vec::new(), tls_roots: String::new() };
        let file = keys.to_file("a@z".parse().unwrap(), kdc);
        assert!(file.staged.is_none() && file.key.generation() == Generation(4));
        // By the answer to a commit, or to a request that was signed with it.
        assert!(keys.activate(Generation(4), END));
        assert!(!keys.has_staged() && !keys.is_living(Generation(2)));
        assert_eq!(keys.active(), Generation(4));
    }

    #[test]
    fn whatever_was_asked_with_an_erased_key_does_not_bring_it_back() {
        let mut keys = keys(2);
        keys.board(key(4), END);
        keys.stage(Generation(2), key(3));
        assert_eq!((keys.active(), keys.has_staged()), (Generation(4), true));
        // Of one that lives it does: the KDC was restored.
        let mut keys = self::keys(2);
        keys.replace(RatchetedKey::new(key(4)), END);
        keys.stage(Generation(2), key(3));
        assert_eq!((keys.active(), keys.has_staged()), (Generation(2), true));
    }
}
