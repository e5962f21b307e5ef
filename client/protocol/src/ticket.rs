//! Tickets: `Eb(SEK)`, which only the destination can open (docs/protocol.md §6).
//!
//! ```text
//! 0   1  version = 1
//! 1   1  kind: 1 party key, 2 group key
//! 2   4  generation of the key that seals it
//! 6   4  epoch of that key (0 for a group key)
//! 10 24  nonce, random
//! 34 48  XChaCha20-Poly1305(sub(K_B, "keycell/1 ticket"), nonce, aad = bytes 0..10, Rkey)
//! ```
//!
//! It carries neither names nor expiry: the derivation of the SEK binds them (§5).

use core::fmt;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::aead::{TAG, XNonce, xopen, xseal};
use crate::codec::{Reader, Truncated};
use crate::derive::Rkey;
use crate::group::GroupKey;
use crate::key::{Epoch, Generation, Subkeys, TicketKey};

/// The version of the protocol: first byte of every ticket.
const VERSION: u8 = 1;

/// A ticket as it travels: opaque to everyone but its destination.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket([u8; Self::SIZE]);

impl Ticket {
    /// Its length in bytes.
    pub const SIZE: usize = HEADER + XNonce::SIZE + SEALED;

    /// Seals `rkey` for the holder of `keys`, a party.
    pub fn seal_for_party(rkey: &Rkey, keys: &Subkeys, rng: &mut impl CryptoRng) -> Self {
        let under = (TicketKind::Party, keys.generation, keys.epoch);
        Self::seal(rkey, under, &keys.ticket, XNonce::generate(rng))
    }

    /// Seals `rkey` for the members of a group, who hold its key of that generation.
    pub fn seal_for_group(
        rkey: &Rkey,
        generation: Generation,
        key: &TicketKey,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self::seal(rkey, (TicketKind::Group, generation, GroupKey::EPOCH), key, XNonce::generate(rng))
    }

    fn seal(
        rkey: &Rkey,
        (kind, generation, epoch): (TicketKind, Generation, Epoch),
        key: &TicketKey,
        nonce: XNonce,
    ) -> Self {
        let mut bytes = Vec::with_capacity(Self::SIZE);
        bytes.extend([VERSION, kind.byte()]);
        bytes.extend(generation.0.to_be_bytes());
        bytes.extend(epoch.0.to_be_bytes());
        let header = bytes.clone();
        bytes.extend(nonce.as_bytes());
        let mut sealed = Zeroizing::new(*rkey.as_bytes());
        let tag = xseal(key.as_bytes(), nonce, &header, &mut *sealed);
        bytes.extend(*sealed);
        bytes.extend(tag);
        let mut ticket = Self([0; Self::SIZE]);
        ticket.0.copy_from_slice(&bytes);
        ticket
    }

    /// Reads a ticket; what is sealed in it stays unknown until [`open`](Self::open).
    ///
    /// # Errors
    /// [`TicketError`] when it is not 82 bytes of version 1 and a known kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, TicketError> {
        let bytes: &[u8; Self::SIZE] = bytes.try_into().map_err(|_| TicketError::Length)?;
        let ticket = Self(*bytes);
        let [version, kind, ..] = ticket.0;
        if version != VERSION {
            return Err(TicketError::Version);
        }
        if TicketKind::from_byte(kind).is_none() {
            return Err(TicketError::Kind);
        }
        Ok(ticket)
    }

    /// The kind of key that seals it.
    #[must_use]
    pub fn kind(&self) -> TicketKind {
        let [_, kind, ..] = self.0;
        // `parse` and `seal` let no other byte in.
        TicketKind::from_byte(kind).unwrap_or(TicketKind::Party)
    }

    /// The generation of the key that seals it.
    #[must_use]
    pub fn generation(&self) -> Generation {
        let [_, _, a, b, c, d, ..] = self.0;
        Generation(u32::from_be_bytes([a, b, c, d]))
    }

    /// The epoch of the key that seals it.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let [_, _, _, _, _, _, a, b, c, d, ..] = self.0;
        Epoch(u32::from_be_bytes([a, b, c, d]))
    }

    /// The ticket's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// The name by which a reply refers to it: the first 16 bytes of its SHA-256.
    #[must_use]
    pub fn id(&self) -> TicketId {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = [0; TicketId::SIZE];
        id.copy_from_slice(hash.split_at(TicketId::SIZE).0);
        TicketId(id)
    }

    /// Opens it with the destination's key of the ticket's own generation and epoch.
    ///
    /// # Errors
    /// [`TicketError::Forged`] when another key sealed it, or a byte was changed.
    pub fn open(&self, key: &TicketKey) -> Result<Rkey, TicketError> {
        let mut reader = Reader::new(&self.0);
        let header: &[u8; HEADER] = reader.array()?;
        let nonce = XNonce::from_bytes(*reader.array()?);
        let mut sealed = Zeroizing::new(*reader.array::<SEALED>()?);
        let rkey = xopen(key.as_bytes(), nonce, header, &mut *sealed).map_err(|_| TicketError::Forged)?;
        let rkey: &[u8; 32] = (&*rkey).try_into().map_err(|_| TicketError::Length)?;
        Ok(Rkey::from_bytes(*rkey))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.debug_struct("Ticket")
            .field("kind", &self.kind())
            .field("generation", &self.generation())
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

/// Whose key seals a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketKind {
    /// The long-term key of a party.
    Party,
    /// The short-lived key of a group.
    Group,
}

impl TicketKind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Party => 1,
            Self::Group => 2,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Party),
            2 => Some(Self::Group),
            _ => None,
        }
    }
}

/// How a reply names the ticket it answers under: 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
// Aligned like the reference that it shares an enum with; an odd place makes each copy of a header wait.
#[repr(align(8))]
pub struct TicketId([u8; Self::SIZE]);

impl TicketId {
    /// Its length in bytes.
    pub const SIZE: usize = 16;

    /// An identifier read from a reply.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why bytes are not a ticket, or not one for this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not 82 bytes.
    #[error("a ticket is 82 bytes long")]
    Length,
    /// Another version of the protocol.
    #[error("the ticket is not of protocol version 1")]
    Version,
    /// Neither a party's nor a group's.
    #[error("the ticket's kind is unknown")]
    Kind,
    /// Sealed by another key, or changed on the way.
    #[error("the ticket does not open with this key")]
    Forged,
}

impl From<Truncated> for TicketError {
    fn from(Truncated: Truncated) -> Self {
        Self::Length
    }
}

const HEADER: usize = 10;
const SEALED: usize = 32 + TAG;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LongTermKey;
    use crate::test_rng;

    fn keys(byte: u8) -> Subkeys {
        LongTermKey::new(Generation(0x0102_0304), Epoch(0x0506_0708), [byte; 32]).subkeys()
    }

    #[test]
    fn only_the_destination_opens_it() {
        let mut rng = test_rng();
        let rkey = Rkey::generate(&mut rng);
        let ticket = Ticket::seal_for_party(&rkey, &keys(1), &mut rng);
        let again = Ticket::parse(ticket.as_bytes()).unwrap();
        assert_eq!(again.open(&keys(1).ticket).unwrap().as_bytes(), rkey.as_bytes());
        assert_eq!(again.open(&keys(2).ticket).unwrap_err(), TicketError::Forged);
        assert_eq!(again.generation(), Generation(0x0102_0304));
        assert_eq!(again.epoch(), Epoch(0x0506_0708));
        assert_eq!(again.kind(), TicketKind::Party);
        assert_eq!(again.id(), ticket.id());
    }

    #[test]
    fn every_byte_counts() {
        let mut rng = test_rng();
        let ticket = Ticket::seal_for_party(&Rkey::generate(&mut rng), &keys(1), &mut rng);
        for at in 0..Ticket::SIZE {
            for bit in 0..8 {
                let mut bytes = *ticket.as_bytes();
                bytes[at] ^= 1 << bit;
                let opened = Ticket::parse(&bytes).and_then(|ticket| ticket.open(&keys(1).ticket));
                assert!(opened.is_err(), "bit {bit} of byte {at} does not matter");
            }
        }
        assert_eq!(Ticket::parse(&ticket.as_bytes()[1..]), Err(TicketError::Length));
        assert_eq!(Ticket::parse(&[ticket.as_bytes(), &[0][..]].concat()), Err(TicketError::Length));
    }
}
