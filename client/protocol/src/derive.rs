//! Everything that HKDF-Expand makes: subkeys, the ratchet step and SEKs (docs/protocol.md §4.2, §4.3, §5).

use core::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::name::Name;
use crate::time::UnixSeconds;

/// What a subkey is for. The only source of derivation labels; no two are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Request,
    Reply,
    Ticket,
    Ratchet,
    RotateRequest,
    RotateReply,
    GroupRequest,
    GroupReply,
    VoucherRequest,
    VoucherReply,
    PeerRequest,
    PeerReply,
    GroupChain,
    GroupKey,
    ContentKey,
    ContentCommitment,
}

impl Label {
    #[cfg(test)]
    const ALL: [Self; 16] = [
        Self::Request,
        Self::Reply,
        Self::Ticket,
        Self::Ratchet,
        Self::RotateRequest,
        Self::RotateReply,
        Self::GroupRequest,
        Self::GroupReply,
        Self::VoucherRequest,
        Self::VoucherReply,
        Self::PeerRequest,
        Self::PeerReply,
        Self::GroupChain,
        Self::GroupKey,
        Self::ContentKey,
        Self::ContentCommitment,
    ];

    const fn text(self) -> &'static [u8] {
        match self {
            Self::Request => b"keycell/1 request",
            Self::Reply => b"keycell/1 reply",
            Self::Ticket => b"keycell/1 ticket",
            Self::Ratchet => b"keycell/1 ratchet",
            Self::RotateRequest => b"keycell/1 rotate request",
            Self::RotateReply => b"keycell/1 rotate reply",
            Self::GroupRequest => b"keycell/1 group request",
            Self::GroupReply => b"keycell/1 group reply",
            Self::VoucherRequest => b"keycell/1 voucher request",
            Self::VoucherReply => b"keycell/1 voucher reply",
            Self::PeerRequest => b"keycell/1 peer request",
            Self::PeerReply => b"keycell/1 peer reply",
            Self::GroupChain => b"keycell/1 group chain",
            Self::GroupKey => b"keycell/1 group key",
            Self::ContentKey => b"keycell/1 content key",
            Self::ContentCommitment => b"keycell/1 content commitment",
        }
    }
}

/// `sub(K, label) = HKDF-Expand(K, label, 32)` (docs/protocol.md §4.2).
pub(crate) fn subkey(key: &[u8; 32], label: Label) -> [u8; 32] {
    let mut out = [0; 32];
    expand(key, &[label.text()], &mut out);
    out
}

/// The random root of one ticket, 32 bytes: who holds it can derive every SEK of that ticket.
///
/// It travels only inside a ticket; a sender never sees it (docs/protocol.md §1.3).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Rkey([u8; 32]);

impl Rkey {
    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// `SEK(A→B) = HKDF-Expand(Rkey, A || 0x00 || B || 0x00 || exp, 64)` (docs/protocol.md §5).
    ///
    /// No name holds a zero byte and the expiry is decimal, so the info has one reading.
    #[must_use]
    pub fn sek(&self, from: &Name, to: &Name, expiration: UnixSeconds) -> Sek {
        let mut digits = [0; 20];
        let expiration = decimal(expiration.0, &mut digits);
        let mut sek = Sek::zero();
        expand(
            &self.0,
            &[from.as_str().as_bytes(), b"\0", to.as_str().as_bytes(), b"\0", expiration],
            sek.bytes_mut(),
        );
        sek
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Rkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Rkey(..)")
    }
}

/// The keys of one direction of one ticket, 64 bytes: `Ke || Ks`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Sek([[u8; 32]; 2]);

impl Sek {
    /// Its length in bytes.
    pub const SIZE: usize = 64;

    pub(crate) const fn zero() -> Self {
        Self([[0; 32]; 2])
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }

    pub(crate) const fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_flattened_mut()
    }

    /// `Ke`, the first 32 bytes: seals messages.
    pub(crate) const fn encryption(&self) -> &[u8; 32] {
        let [encryption, _] = &self.0;
        encryption
    }

    /// `Ks`, the last 32 bytes: signs messages.
    pub(crate) const fn signing(&self) -> &[u8; 32] {
        let [_, signing] = &self.0;
        signing
    }
}

impl fmt::Debug for Sek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Sek(..)")
    }
}

/// HKDF-Expand with SHA-256 (RFC 5869 §2.3); `key` is uniformly random, so there is nothing to extract.
#[expect(
    clippy::expect_used,
    reason = "a 32-byte key and at most 64 bytes of output are within RFC 5869's limits"
)]
pub(crate) fn expand(key: &[u8; 32], info: &[&[u8]], out: &mut [u8]) {
    let hkdf = Hkdf::<Sha256>::from_prk(key).expect("32 bytes are a whole SHA-256 output");
    hkdf.expand_multi_info(info, out).expect("far below 255 blocks");
}

/// `value` in ASCII decimal, without a leading zero.
fn decimal(value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    digits.get(20 - used..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct() {
        for (i, a) in Label::ALL.iter().enumerate() {
            for b in &Label::ALL[i + 1..] {
                assert_ne!(a.text(), b.text());
                assert_ne!(subkey(&[7; 32], *a), subkey(&[7; 32], *b));
            }
        }
    }

    #[test]
    fn decimal_is_what_the_standard_library_prints() {
        for value in [0, 1, 9, 10, 1_766_000_000, u64::MAX] {
            assert_eq!(decimal(value, &mut [0; 20]), value.to_string().as_bytes());
        }
    }

    #[test]
    fn a_sek_depends_on_every_input() {
        let (a, b): (Name, Name) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
        let rkey = Rkey([1; 32]);
        let sek = rkey.sek(&a, &b, UnixSeconds(100));
        assert_eq!(sek.bytes(), rkey.sek(&a, &b, UnixSeconds(100)).bytes());
        assert_ne!(sek.bytes(), rkey.sek(&b, &a, UnixSeconds(100)).bytes());
        assert_ne!(sek.bytes(), rkey.sek(&a, &b, UnixSeconds(101)).bytes());
        assert_ne!(sek.bytes(), Rkey([2; 32]).sek(&a, &b, UnixSeconds(100)).bytes());
        assert_eq!([&sek.encryption()[..], &sek.signing()[..]].concat(), sek.bytes());
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?} {:?}", Rkey([1; 32]), Sek([[1; 32]; 2])), "Rkey(..) Sek(..)");
    }
}
