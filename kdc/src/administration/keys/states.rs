//! What may become of a party's keys, as changes to its record (docs/protocol.md §4.4). Nothing here reads or writes the
//! database: each of these is one step of [`Keys`](super::Keys), which is done whole or not at all.

use std::time::Duration;

use keycell_protocol::{AuthorPublicKey, Epoch, Generation, LongTermKey, UnixMillis};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::administration::AdminError;
use crate::directory::LONGEST_END_MS;
use crate::keyring::{Keyring, KeyringError, Life, Standing};
use crate::store::{KeyRecord, KeyState, PartyRecord};

/// What a step depends on besides the record.
#[derive(Clone, Copy)]
pub struct States<'a> {
    /// What wraps the keys.
    pub keyring: &'a Keyring,
    /// The KDC's clock.
    pub now: UnixMillis,
    /// The epoch of a key that is made now.
    pub epoch: Epoch,
    /// For how long a key that was replaced is still accepted.
    pub retire_ms: u64,
    /// By how much clocks may differ.
    pub skew_ms: u64,
}

/// Why a step is not taken.
#[derive(Debug)]
pub enum Refused {
    /// The party has no such key, or one that is good for less.
    Unknown,
    /// A newer key is active already.
    Superseded,
    /// The next key was made in another way, by a host that enrolled again or in the offer of a trust: that one is not for
    /// whoever holds the key before.
    Apart(Duration),
    /// The key before is still accepted: not before it has ended.
    TooSoon(Duration),
    /// All generations are used up.
    Exhausted,
    /// The keyring.
    Keyring(KeyringError),
}

impl From<KeyringError> for Refused {
    fn from(error: KeyringError) -> Self {
        Self::Keyring(error)
    }
}

/// A party's next key.
#[derive(Debug)]
pub struct Next {
    /// It.
    pub key: LongTermKey,
    /// Whether it was made by this step; else it was there.
    pub fresh: bool,
    /// The staged keys that it takes the place of.
    pub erased: Vec<Generation>,
}

/// What a commit did.
#[derive(Debug, PartialEq, Eq)]
pub enum Activated {
    /// It was done before.
    Already,
    /// It replaces this one, if there was one.
    Now {
        /// That one.
        before: Option<Generation>,
    },
}

impl States<'_> {
    /// Takes out the keys whose time is over. Returns their generations.
    pub fn expire(self, record: &mut PartyRecord) -> Vec<Generation> {
        let over = |key: &KeyRecord| key.ends_at.is_some_and(|end| end <= self.now);
        take_out(record, over)
    }

    /// Gives the holder of `signer`, which must be the active key, the party's next key. Asked again, it is the same one,
    /// so that a lost answer costs nothing; unless a key was made that an administrator wants replaced since. `last` is
    /// the highest generation that the party ever had, and `apart` the one that somebody was given who need not be the
    /// holder of `signer`.
    ///
    /// # Errors
    /// [`Refused`]; the record may be changed, and is not to be stored then.
    pub fn stage(
        self,
        record: &mut PartyRecord,
        signer: Generation,
        last: Generation,
        apart: Option<Generation>,
        rng: &mut impl CryptoRng,
    ) -> Result<Next, Refused> {
        match state(record, signer) {
            Some(KeyState::Active) => {}
            Some(KeyState::Retiring) => return Err(Refused::Superseded),
            Some(KeyState::Staged | KeyState::Dead) | None => return Err(Refused::Unknown),
        }
        let staged = record.keys.iter().find(|key| key.state == KeyState::Staged);
        let staged = staged.filter(|staged| !is_made_before(staged, record.rotate_after));
        if let Some(staged) = staged.filter(|staged| Some(staged.generation) == apart)
            && let Some(end) = staged.ends_at.filter(|end| end.0.saturating_sub(self.now.0) <= LONGEST_END_MS)
            && self.keyring.open_key(record, staged).is_ok()
        {
            return Err(Refused::Apart(Duration::from_millis(end.0.saturating_sub(self.now.0))));
        }
        if let Some(staged) = staged
            && let Ok(key) = self.keyring.open_key(record, staged)
        {
            return Ok(Next { key, fresh: false, erased: Vec::new() });
        }
        let retiring = record.keys.iter().filter(|key| key.state == KeyState::Retiring);
        let ends = retiring.filter_map(|key| key.ends_at);
        if let Some(end) = ends.filter(|end| end.0.saturating_sub(self.now.0) <= LONGEST_END_MS).max() {
            return Err(Refused::TooSoon(Duration::from_millis(end.0.saturating_sub(self.now.0))));
        }
        let generation = last.next().ok_or(Refused::Exhausted)?;
        let erased = take_out(record, |key| key.state == KeyState::Staged);
        let key = LongTermKey::generate(generation, self.epoch, rng);
        let ends_at = Some(self.now.plus(STAGED_MS));
        let life = Life { state: KeyState::Staged, created_at: self.made_at(record), ends_at };
        record.keys.push(self.keyring.seal_key(&record.name, Standing::of(record), &key, life, rng));
        Ok(Next { key, fresh: true, erased })
    }

    /// Uses the staged key `signer` from now on: its party has proved to hold it. The one before is accepted for a while
    /// yet.
    ///
    /// # Errors
    /// [`Refused`]; the record may be changed, and is not to be stored then.
    pub fn activate(
        self,
        record: &mut PartyRecord,
        signer: Generation,
        rng: &mut impl CryptoRng,
    ) -> Result<Activated, Refused> {
        match state(record, signer) {
            Some(KeyState::Staged) => {}
            Some(KeyState::Active) => return Ok(Activated::Already),
            Some(KeyState::Retiring) => return Err(Refused::Superseded),
            Some(KeyState::Dead) | None => return Err(Refused::Unknown),
        }
        let before = self.retire(record, rng);
        self.reseal(record, signer, KeyState::Active, None, rng)?;
        let row = record.keys.iter().find(|key| key.generation == signer);
        if row.is_some_and(|row| !is_made_before(row, record.rotate_after)) {
            record.rotate_after = None;
        }
        Ok(Activated::Now { before })
    }

    /// Gives the party a new key at once, which an administrator brings to it. The one before is accepted for a while
    /// yet, unless `erase` says that it, and every other, is dead from now on.
    pub(super) fn replace(
        self,
        record: &mut PartyRecord,
        secret: Option<&Zeroizing<[u8; LongTermKey::SIZE]>>,
        last: Generation,
        erase: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<Replaced, Refused> {
        let generation = last.next().ok_or(Refused::Exhausted)?;
        if !record.keys.iter().any(|key| self.keyring.open_key(record, key).is_ok()) {
            // No key is bound to it: nothing proves that the party registered it.
            self.keyring.alter(record, rng, |record| record.author_key = None)?;
        }
        let before = self.retire(record, rng);
        let erased = take_out(record, |key| erase || key.state == KeyState::Staged);
        let key = match secret {
            Some(secret) => LongTermKey::new(generation, self.epoch, **secret),
            None => LongTermKey::generate(generation, self.epoch, rng),
        };
        let life = Life::active(self.made_at(record));
        record.keys.push(self.keyring.seal_key(&record.name, Standing::of(record), &key, life, rng));
        record.rotate_after = None;
        Ok(Replaced { key, before, erased })
    }

    /// Takes in a key that a host made together with the KDC by enrolling: the first of a new party, or another one of a
    /// party that proved by its own key that it is the same. Where a key is active, that one stays until the new one is
    /// used for the first time; else the new one is active at once, and the host's own key is the one that it signs with
    /// as an author. How it came aboard is sealed after this.
    ///
    /// # Errors
    /// [`KeyringError`] where a key that lives does not open: somebody else than Keycell wrote what the party is.
    pub(crate) fn enroll(
        self,
        record: &mut PartyRecord,
        key: &LongTermKey,
        author_key: AuthorPublicKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Joined, KeyringError> {
        let mut erased = self.expire(record);
        let alive = |key: &&KeyRecord| key.state != KeyState::Dead;
        for row in record.keys.iter().filter(alive) {
            self.keyring.open_key(record, row)?;
        }
        if !record.keys.iter().any(|key| alive(&key)) {
            record.author_key = Some(author_key);
        }
        erased.extend(self.take_in(record, key, rng));
        let made = record.keys.last().map_or(KeyState::Staged, |key| key.state);
        Ok(Joined { state: made, erased })
    }

    /// Gives a zone a key that an administrator takes there: in use at once where none is, else from when it is used for the
    /// first time. A key that does not open is of no use to anybody, and goes. `last` is the highest generation that the
    /// zone ever had here.
    pub(crate) fn offer(
        self,
        record: &mut PartyRecord,
        last: Option<Generation>,
        rng: &mut impl CryptoRng,
    ) -> Result<Offered, AdminError> {
        let generation = match last {
            Some(last) => last.next().ok_or(Refused::Exhausted)?,
            None => Generation::FIRST,
        };
        let mut erased = self.expire(record);
        for row in record.keys.clone().iter().filter(|key| key.state != KeyState::Dead) {
            match self.keyring.open_key(record, row) {
                Ok(_) => {}
                Err(KeyringError::Damaged { .. }) => {
                    erased.extend(take_out(record, |key| key.generation == row.generation));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let key = LongTermKey::generate(generation, self.epoch, rng);
        erased.extend(self.take_in(record, &key, rng));
        let made = record.keys.last().map_or(KeyState::Staged, |key| key.state);
        Ok(Offered { key, state: made, erased })
    }

    /// Puts in a new key, the last of the record: where a key is active, that one stays until the new one is used for the
    /// first time; else the new one is active at once. Returns the generations that are gone.
    fn take_in(
        self,
        record: &mut PartyRecord,
        key: &LongTermKey,
        rng: &mut impl CryptoRng,
    ) -> Vec<Generation> {
        let mut erased = take_out(record, |key| key.state == KeyState::Staged);
        // Who enrolls again and again, and commits each time, does not pile keys up.
        let retiring = record.keys.iter().filter(|key| key.state == KeyState::Retiring);
        let last = retiring.map(|key| key.generation).max();
        erased
            .extend(take_out(record, |key| key.state == KeyState::Retiring && Some(key.generation) != last));
        let is_first = !record.keys.iter().any(|key| key.state == KeyState::Active);
        let created_at = self.made_at(record);
        let life = if is_first {
            record.rotate_after = None;
            Life::active(created_at)
        } else {
            Life { state: KeyState::Staged, created_at, ends_at: Some(self.now.plus(STAGED_MS)) }
        };
        record.keys.push(self.keyring.seal_key(&record.name, Standing::of(record), key, life, rng));
        erased
    }

    /// When a new key counts as made: not before somebody asked for it, wherever that clock was.
    fn made_at(self, record: &PartyRecord) -> UnixMillis {
        record.rotate_after.map_or(self.now, |asked| self.now.max(asked))
    }

    /// The active key is accepted for a while yet. One that does not open is of no use to anybody: it goes at once.
    fn retire(self, record: &mut PartyRecord, rng: &mut impl CryptoRng) -> Option<Generation> {
        let active = record.keys.iter().find(|key| key.state == KeyState::Active)?.generation;
        let end = self.now.plus(self.retire_ms);
        if let Err(error) = self.reseal(record, active, KeyState::Retiring, Some(end), rng) {
            tracing::error!(party = %record.name, generation = %active, %error, "a key does not unwrap: it is erased");
            take_out(record, |key| key.generation == active);
        }
        Some(active)
    }

    /// Gives a key another state, and binds it to it.
    fn reseal(
        self,
        record: &mut PartyRecord,
        generation: Generation,
        state: KeyState,
        ends_at: Option<UnixMillis>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyringError> {
        let Some(at) = record.keys.iter().position(|key| key.generation == generation) else { return Ok(()) };
        let Some(row) = record.keys.get(at) else { return Ok(()) };
        let key = self.keyring.open_key(record, row)?;
        let life = Life { state, created_at: row.created_at, ends_at };
        let sealed = self.keyring.seal_key(&record.name, Standing::of(record), &key, life, rng);
        if let Some(row) = record.keys.get_mut(at) {
            *row = sealed;
        }
        Ok(())
    }
}

/// What became of a key by enrolling.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Active, or staged.
    pub(crate) state: KeyState,
    /// The keys that are gone.
    pub(crate) erased: Vec<Generation>,
}

/// A key that is on its way to another zone.
#[derive(Debug)]
pub(crate) struct Offered {
    /// The key.
    pub(crate) key: LongTermKey,
    /// Active, or staged.
    pub(crate) state: KeyState,
    /// The keys that are gone.
    pub(crate) erased: Vec<Generation>,
}

/// What an administrator's new key did.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) key: LongTermKey,
    /// The key that was active.
    pub(super) before: Option<Generation>,
    /// The keys that are gone.
    pub(super) erased: Vec<Generation>,
}

/// Takes out the keys that `wanted` holds for, dead ones aside. Returns their generations.
pub(super) fn take_out(record: &mut PartyRecord, wanted: impl Fn(&KeyRecord) -> bool) -> Vec<Generation> {
    let mut taken = Vec::new();
    record.keys.retain(|key| {
        let take = wanted(key);
        if take && key.state != KeyState::Dead {
            taken.push(key.generation);
        }
        !take
    });
    taken
}

fn state(record: &PartyRecord, generation: Generation) -> Option<KeyState> {
    record.keys.iter().find(|key| key.generation == generation).map(|key| key.state)
}

fn is_made_before(key: &KeyRecord, moment: Option<UnixMillis>) -> bool {
    moment.is_some_and(|moment| key.created_at < moment)
}

/// For how long a staged key waits for its party.
pub(crate) const STAGED_MS: u64 = 86_400_000;
