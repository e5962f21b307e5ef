//! The keys that another zone is asked with, at hand.

use std::fmt;

use keycell_protocol::{Generation, KeysFor, LongTermKey, Purpose, RatchetPeriod, RatchetedKey, UnixMillis};

use crate::trust::{HeldKeys, is_same};

/// The keys of one outgoing trust. They turn at the other zone's period.
pub(super) struct Keys {
    active: Option<RatchetedKey>,
    staged: Option<RatchetedKey>,
    period: RatchetPeriod,
}

/// Which of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that is in use.
    Active,
    /// The next one.
    Staged,
}

impl Keys {
    /// Those that were unwrapped.
    pub(super) fn new(keys: HeldKeys, period: RatchetPeriod) -> Self {
        let HeldKeys { active, staged } = keys;
        let at_hand = |key: Option<LongTermKey>| key.map(RatchetedKey::new);
        Self { active: at_hand(active), staged: at_hand(staged), period }
    }

    /// None: they were erased, or cannot be unwrapped.
    pub(super) const fn none(period: RatchetPeriod) -> Self {
        Self { active: None, staged: None, period }
    }

    /// Which of them to ask with; `None` where there is none.
    pub(super) const fn first(&self) -> Option<Which> {
        match (&self.active, &self.staged) {
            (Some(_), _) => Some(Which::Active),
            (None, Some(_)) => Some(Which::Staged),
            (None, None) => None,
        }
    }

    /// The generation of one of them.
    pub(super) fn generation(&self, which: Which) -> Option<Generation> {
        self.key(which).map(RatchetedKey::generation)
    }

    /// The keys for one purpose at a moment of the other zone's clock. A clock behind the key itself is wrong.
    pub(super) fn of<P: Purpose>(&self, which: Which, now: UnixMillis) -> Option<KeysFor<P>> {
        let key = self.key(which)?;
        let now = self.period.epoch(now.seconds());
        key.keys_for(now.max(key.epoch()), now).ok()
    }

    /// What is to be wrapped of them once that moment of the other zone's clock is certain, if they are to turn.
    pub(super) fn turned(&self, certain: UnixMillis) -> Option<HeldKeys> {
        let [before, ..] = self.period.epoch(certain.seconds()).neighbours();
        let behind = |key: &RatchetedKey| key.epoch() < before;
        if ![&self.active, &self.staged].into_iter().flatten().any(behind) {
            return None;
        }
        let turn = |key: &RatchetedKey| match behind(key) {
            true => key.key().clone().advance(before).ok(),
            false => Some(key.key().clone()),
        };
        Some(HeldKeys {
            active: self.active.as_ref().and_then(turn),
            staged: self.staged.as_ref().and_then(turn),
        })
    }

    /// Whether the next key is this one, wherever each of them has turned to.
    pub(super) fn is_staged(&self, key: &LongTermKey) -> bool {
        self.staged.as_ref().is_some_and(|staged| is_same(staged.key(), key))
    }

    /// A copy of one of them, to be wrapped.
    pub(super) fn copy(&self, which: Which) -> Option<LongTermKey> {
        self.key(which).map(|key| key.key().clone())
    }

    const fn key(&self, which: Which) -> Option<&RatchetedKey> {
        match which {
            Which::Active => self.active.as_ref(),
            Which::Staged => self.staged.as_ref(),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { active: _, staged: _, period } = self;
        f.debug_struct("Keys").field("period", period).finish_non_exhaustive()
    }
}
