//! Groups: their keys, and how members come by them (docs/protocol.md §11).
//!
//! ```text
//! C[g+1] = HKDF-Expand(C[g], "keycell/1 group chain", 32)      the KDC's, one step a lifetime
//! GK[g]  = HKDF-Expand(C[g], "keycell/1 group key", 32)        the members'
//!
//! {"key": {"name", "generation", "epoch"}, "metadata": M, "signature": base64url(HMAC(sub(K, "keycell/1 group request"), M))}
//! M  = base64url({"source", "groups": [..], "timestamp", "nonce", "instance"})
//!
//! {"metadata": M', "sealed": base64url(nonce 24 || XChaCha20-Poly1305(sub(K, "keycell/1 group reply"), nonce, M', GKs))}
//! M' = base64url({"source", "nonce", "server_time", "rotate", "signers": [..], "groups": [..]})
//! ```
//!
//! A member is given the key that seals tickets now, those before it that still open, and the next one: so it never has to
//! ask because a message came.

use core::fmt;

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::derive::{Label, subkey};
use crate::key::{Epoch, Generation, RatchetError, TicketKey};
use crate::time::UnixSeconds;

mod reply;
mod request;

pub use reply::{GroupKeysReply, GroupKeysWriter, GroupOutcome, HeldGroup, SealedGroupKeys};
pub use request::{GroupKeysRequest, SignedGroupRequest};

/// The secret from which the KDC makes a group's keys, at one generation. It never leaves the KDC.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct GroupChain {
    #[zeroize(skip)]
    generation: Generation,
    secret: [u8; 32],
}

impl GroupChain {
    /// The length of its secret in bytes.
    pub const SIZE: usize = 32;

    /// The most generations that it is stepped at once: at the shortest lifetime, two years.
    pub const MAX_STEPS: u32 = 1 << 20;

    /// A fresh one, which begins at `generation`.
    pub fn generate(generation: Generation, rng: &mut impl CryptoRng) -> Self {
        let mut secret = [0; Self::SIZE];
        rng.fill_bytes(&mut secret);
        Self { generation, secret }
    }

    /// A chain as it was stored.
    #[must_use]
    pub const fn new(generation: Generation, secret: [u8; Self::SIZE]) -> Self {
        Self { generation, secret }
    }

    /// Where it stands.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Its secret, to be wrapped and stored.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; Self::SIZE] {
        &self.secret
    }

    /// The chain at a later generation. Nobody steps back.
    ///
    /// # Errors
    /// [`RatchetError::Backwards`] and [`RatchetError::TooFar`].
    pub fn advance(self, generation: Generation) -> Result<Self, RatchetError> {
        let steps = generation.0.checked_sub(self.generation.0).ok_or(RatchetError::Backwards)?;
        if steps > Self::MAX_STEPS {
            return Err(RatchetError::TooFar);
        }
        let mut chain = self;
        for _ in 0..steps {
            chain.secret = subkey(&chain.secret, Label::GroupChain);
        }
        chain.generation = generation;
        Ok(chain)
    }

    /// The group's key of this generation.
    #[must_use]
    pub fn key(&self) -> GroupKey {
        GroupKey { generation: self.generation, secret: subkey(&self.secret, Label::GroupKey) }
    }
}

impl fmt::Debug for GroupChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, secret: _ } = self;
        f.debug_struct("GroupChain").field("generation", generation).finish_non_exhaustive()
    }
}

/// A group's key of one generation: what its members hold.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct GroupKey {
    #[zeroize(skip)]
    generation: Generation,
    secret: [u8; 32],
}

impl GroupKey {
    /// Its length in bytes.
    pub const SIZE: usize = 32;

    /// Every ticket under a group's key names this epoch: such a key lives too short to be turned.
    pub const EPOCH: Epoch = Epoch(0);

    /// A key as it was given.
    #[must_use]
    pub const fn new(generation: Generation, secret: [u8; Self::SIZE]) -> Self {
        Self { generation, secret }
    }

    /// Its generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// What seals the group's tickets, and opens them.
    #[must_use]
    pub fn ticket_key(&self) -> TicketKey {
        TicketKey::from_bytes(subkey(&self.secret, Label::Ticket))
    }

    pub(crate) const fn secret(&self) -> &[u8; Self::SIZE] {
        &self.secret
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, secret: _ } = self;
        f.debug_struct("GroupKey").field("generation", generation).finish_non_exhaustive()
    }
}

/// A group's key, and when it is good.
#[derive(Debug, Clone)]
pub struct HeldKey {
    /// The key.
    pub key: GroupKey,
    /// From when on it seals tickets.
    pub begins: UnixSeconds,
    /// Until when it opens them: no ticket under it ends later.
    pub ends: UnixSeconds,
}

#[cfg(test)]
mod tests;
