//! Long-term keys, their generations and epochs, and the subkeys made from them (docs/protocol.md §4).

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::derive::{Label, subkey};

/// Which of a party's keys: counts up from 1 with every new key, never down. What Kerberos calls a kvno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation of a party's first key.
    pub const FIRST: Self = Self(1);

    /// The generation after this one; `None` when 2³² keys have been used up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many times the ratchet has turned: Unix time divided by the zone's ratchet period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// This epoch, the one before and the one after: the ones that clocks on both sides of a turn may mean.
    #[must_use]
    pub const fn neighbours(self) -> [Self; 3] {
        [Self(self.0.saturating_sub(1)), self, Self(self.0.saturating_add(1))]
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A long-term key: 32 secret bytes of one generation at one epoch.
///
/// Erased when dropped. It has no equality and prints no secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LongTermKey {
    #[zeroize(skip)]
    generation: Generation,
    #[zeroize(skip)]
    epoch: Epoch,
    secret: [u8; 32],
}

impl LongTermKey {
    /// The secret's length in bytes.
    pub const SIZE: usize = 32;

    /// The most epochs that [`advance`](Self::advance) steps in one call: 179 years of days, 7 years of hours, in
    /// about 30 ms.
    pub const MAX_STEPS: u32 = 65_536;

    /// A key made of bytes that are already uniformly random.
    #[must_use]
    pub const fn new(generation: Generation, epoch: Epoch, secret: [u8; Self::SIZE]) -> Self {
        Self { generation, epoch, secret }
    }

    /// A fresh key.
    pub fn generate(generation: Generation, epoch: Epoch, rng: &mut impl CryptoRng) -> Self {
        let mut secret = [0; Self::SIZE];
        rng.fill_bytes(&mut secret);
        Self { generation, epoch, secret }
    }

    /// Its generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Its epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The secret itself, for whoever wraps or stores it.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; Self::SIZE] {
        &self.secret
    }

    /// Turns the ratchet once: `key[e+1] = HKDF-Expand(key[e], "keycell/1 ratchet", 32)`; the old secret is gone.
    ///
    /// # Errors
    /// [`RatchetError::EndOfTime`] at the last epoch there is.
    pub fn ratchet(self) -> Result<Self, RatchetError> {
        let epoch = self.epoch.0.checked_add(1).ok_or(RatchetError::EndOfTime)?;
        Ok(Self {
            generation: self.generation,
            epoch: Epoch(epoch),
            secret: subkey(&self.secret, Label::Ratchet),
        })
    }

    /// Turns the ratchet until `epoch`.
    ///
    /// # Errors
    /// [`RatchetError::Backwards`] for an earlier epoch: nobody can step back. [`RatchetError::TooFar`] past
    /// [`MAX_STEPS`](Self::MAX_STEPS), so that an epoch named by a stranger cannot keep a machine busy.
    pub fn advance(self, epoch: Epoch) -> Result<Self, RatchetError> {
        let steps = epoch.0.checked_sub(self.epoch.0).ok_or(RatchetError::Backwards)?;
        if steps > Self::MAX_STEPS {
            return Err(RatchetError::TooFar);
        }
        (0..steps).try_fold(self, |key, _| key.ratchet())
    }

    /// The subkeys of this generation and epoch.
    #[must_use]
    pub fn subkeys(&self) -> Subkeys {
        Subkeys {
            generation: self.generation,
            epoch: self.epoch,
            request: RequestKey(subkey(&self.secret, Label::Request)),
            reply: ReplyKey(subkey(&self.secret, Label::Reply)),
            ticket: TicketKey(subkey(&self.secret, Label::Ticket)),
        }
    }
}

impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, epoch, secret: _ } = self;
        f.debug_struct("LongTermKey")
            .field("generation", generation)
            .field("epoch", epoch)
            .finish_non_exhaustive()
    }
}

/// What one generation of a long-term key is used through, at one epoch. A subkey has one job, and no way back.
#[derive(Debug, Clone)]
pub struct Subkeys {
    /// The generation of the long-term key.
    pub generation: Generation,
    /// The epoch of the long-term key.
    pub epoch: Epoch,
    /// Authenticates requests to the KDC.
    pub request: RequestKey,
    /// Seals the KDC's replies.
    pub reply: ReplyKey,
    /// Seals tickets for the holder.
    pub ticket: TicketKey,
}

/// Authenticates requests with HMAC-SHA256.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RequestKey([u8; 32]);

impl RequestKey {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        mac(&self.0, &[message]).finalize().into_bytes().into()
    }

    /// Whether `signature` belongs to `message`; takes the same time whichever byte is wrong.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 32]) -> bool {
        mac(&self.0, &[message]).verify(signature.into()).is_ok()
    }
}

/// Seals the KDC's replies with XChaCha20-Poly1305.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ReplyKey([u8; 32]);

impl ReplyKey {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Seals tickets with XChaCha20-Poly1305.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

macro_rules! redacted {
    ($($key:ident),*) => {$(
        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(_) = self;
                f.write_str(concat!(stringify!($key), "(..)"))
            }
        }
    )*};
}
redacted!(RequestKey, ReplyKey, TicketKey);

/// Why a ratchet does not reach an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RatchetError {
    /// The epoch is before the key's.
    #[error("the key is already past that epoch, and a ratchet never turns back")]
    Backwards,
    /// The epoch is more than [`LongTermKey::MAX_STEPS`] ahead.
    #[error("that epoch is too far ahead of the key; is the clock right?")]
    TooFar,
    /// There are no epochs left.
    #[error("the last epoch is reached")]
    EndOfTime,
}

/// HMAC-SHA256 under a 32-byte key over the parts, one after the other.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
pub(crate) fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u32) -> LongTermKey {
        LongTermKey::new(Generation(3), Epoch(epoch), [9; 32])
    }

    #[test]
    fn advancing_is_stepping() {
        let twice = key(5).ratchet().unwrap().ratchet().unwrap();
        let at_once = key(5).advance(Epoch(7)).unwrap();
        assert_eq!(twice.expose_secret(), at_once.expose_secret());
        assert_eq!((twice.epoch(), twice.generation()), (Epoch(7), Generation(3)));
        assert_ne!(at_once.expose_secret(), key(5).expose_secret());
    }

    #[test]
    fn nobody_steps_back_or_without_end() {
        assert_eq!(key(5).advance(Epoch(4)).unwrap_err(), RatchetError::Backwards);
        assert_eq!(key(0).advance(Epoch(LongTermKey::MAX_STEPS + 1)).unwrap_err(), RatchetError::TooFar);
        assert_eq!(key(u32::MAX).ratchet().unwrap_err(), RatchetError::EndOfTime);
        assert!(key(0).advance(Epoch(LongTermKey::MAX_STEPS)).is_ok());
    }

    #[test]
    fn subkeys_differ_from_each_other_and_by_epoch() {
        let now = key(5).subkeys();
        let next = key(5).ratchet().unwrap().subkeys();
        assert_ne!(now.request.0, now.reply.0);
        assert_ne!(now.reply.0, now.ticket.0);
        assert_ne!(now.ticket.0, next.ticket.0);
    }

    #[test]
    fn a_signature_holds_for_its_message_only() {
        let subkeys = key(1).subkeys();
        let mut signature = subkeys.request.sign(b"message");
        assert!(subkeys.request.verify(b"message", &signature));
        assert!(!subkeys.request.verify(b"Message", &signature));
        signature[31] ^= 1;
        assert!(!subkeys.request.verify(b"message", &signature));
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", key(1)), "LongTermKey { generation: Generation(3), epoch: Epoch(1), .. }");
        let printed = format!("{:?}", key(1).subkeys());
        assert!(printed.contains("RequestKey(..)") && !printed.contains('9'), "{printed}");
    }
}
