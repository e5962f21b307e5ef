//! Author proof: who in a group said it, and proof of it for others (docs/protocol.md §9).
//!
//! ```text
//! u16 length || voucher || signature 64 || body       what is sealed or signed, where the flag says so
//! signature = Ed25519(A, "keycell/1 author\0" || all bytes before the payload || body)
//! ```

use core::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::codec::{self, Reader};
use crate::error::Cause;
use crate::name::Name;
use crate::request::Nonce;
use crate::signer::{Signers, verify};
use crate::time::UnixMillis;
use crate::voucher::{Voucher, VoucherError};

/// A party's own signing key: Ed25519. The KDC never sees it, so nothing that the KDC or a member of a group holds can
/// sign in its place.
#[derive(Clone)]
pub struct AuthorKey(SigningKey);

impl AuthorKey {
    /// The length of its secret in bytes.
    pub const SIZE: usize = 32;

    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; Self::SIZE]);
        rng.fill_bytes(&mut *seed);
        Self::new(&seed)
    }

    /// A key as it was stored: the seed of RFC 8032.
    #[must_use]
    pub fn new(seed: &[u8; Self::SIZE]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Its seed, to be stored where nobody else reads it.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; Self::SIZE] {
        self.0.as_bytes()
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> AuthorPublicKey {
        AuthorPublicKey(self.0.verifying_key().to_bytes())
    }

    /// Proves to the KDC that `source` holds this key, in the request that has this nonce.
    #[must_use]
    pub fn prove_possession(&self, source: &Name, nonce: Nonce) -> [u8; 64] {
        self.0.sign(&possession(source, nonce, &self.public())).to_bytes()
    }

    /// `message` begins with a label of its own, so that it is nothing else that an author signs.
    pub(crate) fn sign_enrollment(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    pub(crate) fn sign(&self, head: &[u8], body: &[u8]) -> [u8; 64] {
        self.0.sign(&authored(head, body)).to_bytes()
    }
}

impl fmt::Debug for AuthorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthorKey").field(&self.public()).finish()
    }
}

/// The public half of a party's own signing key: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AuthorPublicKey(#[serde(with = "codec::b64")] [u8; Self::SIZE]);

impl AuthorPublicKey {
    /// Its length in bytes.
    pub const SIZE: usize = 32;

    /// A key as it was registered.
    #[must_use]
    pub const fn new(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    pub(crate) fn proves_possession(&self, source: &Name, nonce: Nonce, proof: &[u8; 64]) -> bool {
        verify(&self.0, &possession(source, nonce, self), proof)
    }
}

impl fmt::Debug for AuthorPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..")
    }
}

/// A proof as it stands before a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorProof<'a> {
    /// Who the KDC says holds the key.
    pub voucher: &'a [u8],
    /// By that key.
    pub signature: &'a [u8; 64],
}

impl<'a> AuthorProof<'a> {
    /// Bytes that it adds to a message.
    #[must_use]
    pub const fn overhead(voucher: usize) -> usize {
        2 + voucher + SIGNATURE
    }

    /// Splits what was opened into the proof and the body.
    ///
    /// # Errors
    /// [`Cause::AuthorForged`] when there is no proof in it.
    pub fn split(plaintext: &'a [u8]) -> Result<(Self, &'a [u8]), Cause> {
        let mut reader = Reader::new(plaintext);
        let proof = Self::read(&mut reader).map_err(|_| Cause::AuthorForged)?;
        Ok((proof, reader.rest()))
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, codec::Truncated> {
        let length = usize::from(u16::from_be_bytes(*reader.array()?));
        if length > Voucher::MAX {
            return Err(codec::Truncated);
        }
        Ok(Self { voucher: reader.take(length)?, signature: reader.array()? })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(self.voucher.len() <= Voucher::MAX, "no voucher is that long");
        out.extend_from_slice(&(self.voucher.len() as u16).to_be_bytes());
        out.extend_from_slice(self.voucher);
        out.extend_from_slice(self.signature);
    }

    /// Whether `source` wrote `body` after `head`, at `sent_at`.
    ///
    /// # Errors
    /// [`Cause::AuthorUnknown`] when none of `signers` vouches for it, [`Cause::AuthorExpired`] when that was not for this
    /// time, [`Cause::AuthorForged`] when it is another's voucher or another's signature.
    pub fn verify(
        &self,
        signers: &Signers,
        source: &Name,
        sent_at: UnixMillis,
        head: &[u8],
        body: &[u8],
    ) -> Result<Voucher, Cause> {
        let voucher = Voucher::parse(self.voucher)?;
        voucher.verify(signers)?;
        if voucher.name() != source {
            return Err(Cause::AuthorForged);
        }
        self.verify_known(&voucher, sent_at, head, body)?;
        Ok(voucher)
    }

    /// As [`verify`](Self::verify), with a voucher that it returned before for the same source and the same signers: then
    /// only the author's own signature is left to check.
    ///
    /// # Errors
    /// [`Cause::AuthorExpired`] and [`Cause::AuthorForged`], also when this is not the voucher in the message.
    pub fn verify_known(
        &self,
        voucher: &Voucher,
        sent_at: UnixMillis,
        head: &[u8],
        body: &[u8],
    ) -> Result<(), Cause> {
        if voucher.as_bytes() != self.voucher {
            return Err(Cause::AuthorForged);
        }
        if !voucher.covers(sent_at) {
            return Err(Cause::AuthorExpired);
        }
        if verify(voucher.public_key().as_bytes(), &authored(head, body), self.signature) {
            Ok(())
        } else {
            Err(Cause::AuthorForged)
        }
    }
}

impl From<VoucherError> for Cause {
    fn from(error: VoucherError) -> Self {
        match error {
            VoucherError::Malformed | VoucherError::Forged => Self::AuthorForged,
            VoucherError::UnknownSigner => Self::AuthorUnknown,
        }
    }
}

/// What an author signs. The head has a length of its own, so that nothing of the body can be taken for it.
fn authored(head: &[u8], body: &[u8]) -> Vec<u8> {
    [AUTHOR, head, body].concat()
}

fn possession(source: &Name, nonce: Nonce, key: &AuthorPublicKey) -> Vec<u8> {
    let mut message = AUTHOR_KEY.to_vec();
    codec::put_prefixed(&mut message, source.as_str().as_bytes());
    message.extend(nonce.0);
    message.extend(key.0);
    message
}

pub(crate) const AUTHOR: &[u8] = b"keycell/1 author\0";
pub(crate) const AUTHOR_KEY: &[u8] = b"keycell/1 author key\0";
pub(crate) const SIGNATURE: usize = 64;

#[cfg(test)]
mod tests;
