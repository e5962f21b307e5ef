//! Vouchers: the KDC's word that a party holds a signing key (docs/protocol.md §9).
//!
//! ```text
//! "KCV1" || signer id 8 || not_before u64 || not_after u64 || LP(name) || Ed25519 public key 32 || signature 64
//! signature = Ed25519(S, "keycell/1 voucher\0" || all bytes before it)
//! ```

mod reply;
mod request;

use core::fmt;

use crate::author::{AuthorPublicKey, SIGNATURE};
use crate::codec::{Reader, Truncated, put_prefixed};
use crate::name::Name;
use crate::signer::{SignerId, SignerKey, Signers};
use crate::time::{UnixMillis, UnixSeconds};

pub use reply::{GivenVoucher, SealedVoucher, VoucherReply};
pub use request::{SignedVoucherRequest, VoucherRequest};

/// The KDC's signed word that a party holds a signing key, for a while. Public.
#[derive(Clone, PartialEq, Eq)]
pub struct Voucher {
    signer: SignerId,
    not_before: UnixSeconds,
    not_after: UnixSeconds,
    name: Name,
    public_key: AuthorPublicKey,
    bytes: Box<[u8]>,
}

impl Voucher {
    /// The longest one in bytes.
    pub const MAX: usize = 4 + SignerId::SIZE + 16 + 1 + 255 + AuthorPublicKey::SIZE + SIGNATURE;

    /// Makes one. `sign` is Ed25519 with the key whose public half is `signer`.
    #[must_use]
    pub fn issue(
        name: &Name,
        public_key: AuthorPublicKey,
        (not_before, not_after): (UnixSeconds, UnixSeconds),
        signer: &SignerKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(signer.id().as_bytes());
        bytes.extend(not_before.0.to_be_bytes());
        bytes.extend(not_after.0.to_be_bytes());
        put_prefixed(&mut bytes, name.as_str().as_bytes());
        bytes.extend(public_key.as_bytes());
        let signature = sign(&[CONTEXT, &bytes].concat());
        bytes.extend(signature);
        Self {
            signer: signer.id(),
            not_before,
            not_after,
            name: name.clone(),
            public_key,
            bytes: bytes.into(),
        }
    }

    /// Reads one; that it holds is for [`verify`](Self::verify) to say.
    ///
    /// # Errors
    /// [`VoucherError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, VoucherError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(VoucherError::Malformed);
        }
        let signer = SignerId::from_bytes(*reader.array()?);
        let not_before = UnixSeconds(reader.u64()?);
        let not_after = UnixSeconds(reader.u64()?);
        let name = Name::try_from(reader.prefixed()?).map_err(|_| VoucherError::Malformed)?;
        let public_key = AuthorPublicKey::new(*reader.array()?);
        let _: &[u8; SIGNATURE] = reader.array()?;
        if !reader.is_empty() {
            return Err(VoucherError::Malformed);
        }
        Ok(Self { signer, not_before, not_after, name, public_key, bytes: bytes.into() })
    }

    /// Whether one of `signers` made it, for a name of its own zone.
    ///
    /// # Errors
    /// [`VoucherError::UnknownSigner`] and [`VoucherError::Forged`].
    pub fn verify(&self, signers: &Signers) -> Result<(), VoucherError> {
        let signer = signers.find(self.signer, &self.name).ok_or(VoucherError::UnknownSigner)?;
        let (signed, signature) =
            self.bytes.split_last_chunk::<SIGNATURE>().ok_or(VoucherError::Malformed)?;
        if signer.verify(&[CONTEXT, signed].concat(), signature) { Ok(()) } else { Err(VoucherError::Forged) }
    }

    /// Whether it vouches for what was sent then.
    #[must_use]
    pub fn covers(&self, at: UnixMillis) -> bool {
        (self.not_before..=self.not_after).contains(&at.seconds())
    }

    /// Which key signed it.
    #[must_use]
    pub const fn signer(&self) -> SignerId {
        self.signer
    }

    /// From when on it holds.
    #[must_use]
    pub const fn not_before(&self) -> UnixSeconds {
        self.not_before
    }

    /// Until when it holds.
    #[must_use]
    pub const fn not_after(&self) -> UnixSeconds {
        self.not_after
    }

    /// The party.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The party's signing key.
    #[must_use]
    pub const fn public_key(&self) -> AuthorPublicKey {
        self.public_key
    }

    /// As it travels.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signer, not_before, not_after, name, public_key, bytes: _ } = self;
        f.debug_struct("Voucher")
            .field("signer", signer)
            .field("not_before", not_before)
            .field("not_after", not_after)
            .field("name", name)
            .field("public_key", public_key)
            .finish_non_exhaustive()
    }
}

/// Why a voucher does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoucherError {
    /// It does not have the form of one.
    #[error("this is no voucher")]
    Malformed,
    /// No key that is known here, and may vouch for this name, signed it.
    #[error("no KDC that is known here vouches for this name")]
    UnknownSigner,
    /// The KDC that it names did not sign it.
    #[error("the voucher's signature does not hold")]
    Forged,
}

impl From<Truncated> for VoucherError {
    fn from(Truncated: Truncated) -> Self {
        Self::Malformed
    }
}

const MAGIC: &[u8; 4] = b"KCV1";
pub(crate) const CONTEXT: &[u8] = b"keycell/1 voucher\0";

#[cfg(test)]
mod tests;
