//! What a sealer writes its messages with, and a receiver reads them with (docs/protocol.md §8).

use core::fmt;

use hmac::Mac as _;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;

use super::{Envelope, Header, MAC, Mode};
use crate::aead::XSubkey;
use crate::author::{AuthorKey, AuthorProof};
use crate::derive::Sek;
use crate::error::Cause;
use crate::key::mac;
use crate::voucher::Voucher;

/// The first 16 bytes of every nonce of one sealer, random.
///
/// Not `Copy` and not `Clone` on purpose: one sealer has one salt, and a salt has one sealer.
#[derive(Debug, PartialEq, Eq)]
pub struct Salt(pub(super) [u8; 16]);

impl Salt {
    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The salt of a message that somebody else sealed, in order to open it.
    #[must_use]
    pub const fn of(envelope: &Envelope<'_>) -> Self {
        Self(*envelope.salt)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The SEK of one sealer, ready for use: HChaCha20 of key and salt is done once.
pub struct StreamKey {
    salt: Salt,
    cipher: XSubkey,
    sek: Sek,
}

impl StreamKey {
    /// Binds a SEK to the salt of one sealer.
    #[must_use]
    pub fn new(sek: Sek, salt: Salt) -> Self {
        let cipher = XSubkey::new(sek.encryption(), &salt.0);
        Self { salt, cipher, sek }
    }

    /// The sealer's salt.
    #[must_use]
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Writes a message. The caller never uses one `header.sequence` twice.
    #[must_use]
    pub fn write(&self, header: &Header<'_>, body: &[u8]) -> Vec<u8> {
        let head = header.size();
        let mut out = Vec::with_capacity(head + body.len() + header.mode.overhead());
        header.write(&self.salt, &mut out);
        out.extend_from_slice(body);
        self.finish(header, head, out)
    }

    /// Writes a message with a proof of its author, who holds `key` and `voucher`; `header.extras` must say so. The caller
    /// never uses one `header.sequence` twice.
    #[must_use]
    pub fn write_authored(
        &self,
        header: &Header<'_>,
        (key, voucher): (&AuthorKey, &Voucher),
        body: &[u8],
    ) -> Vec<u8> {
        debug_assert!(header.extras.author_proof, "the header must say that there is a proof");
        let head = header.size();
        let voucher = voucher.as_bytes();
        let proof = AuthorProof::overhead(voucher.len());
        let mut out = Vec::with_capacity(head + proof + body.len() + header.mode.overhead());
        header.write(&self.salt, &mut out);
        let signature = key.sign(&out, body);
        AuthorProof { voucher, signature: &signature }.write(&mut out);
        out.extend_from_slice(body);
        self.finish(header, head, out)
    }

    /// Seals or signs what is written so far, of which `head` bytes stand before the payload.
    fn finish(&self, header: &Header<'_>, head: usize, mut out: Vec<u8>) -> Vec<u8> {
        match header.mode {
            Mode::Sealed => {
                let (head, body) = out.split_at_mut(head);
                let tag = self.cipher.seal(header.sequence.to_be_bytes(), head, body);
                out.extend_from_slice(&tag);
            }
            Mode::Signed => {
                let tag: [u8; MAC] = mac(self.sek.signing(), &[&out]).finalize().into_bytes().into();
                out.extend_from_slice(&tag);
            }
        }
        out
    }

    /// Verifies a message and returns its plaintext: the body, and before it what
    /// [`extras`](Envelope::extras) say.
    ///
    /// # Errors
    /// [`Cause::Forged`] when the tag does not hold.
    pub fn read(&self, envelope: &Envelope<'_>) -> Result<Vec<u8>, Cause> {
        match envelope.mode {
            Mode::Sealed => {
                let mut body = envelope.payload.to_vec();
                let plain = self
                    .cipher
                    .open(envelope.sequence.to_be_bytes(), envelope.head, &mut body)
                    .map_err(|_| Cause::Forged)?;
                let len = plain.len();
                body.truncate(len);
                Ok(body)
            }
            Mode::Signed => {
                let (body, tag) = envelope.payload.split_last_chunk::<MAC>().ok_or(Cause::Truncated)?;
                let expected: [u8; MAC] =
                    mac(self.sek.signing(), &[envelope.head, body]).finalize().into_bytes().into();
                if bool::from(expected.ct_eq(tag)) { Ok(body.to_vec()) } else { Err(Cause::Forged) }
            }
        }
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { salt, cipher: _, sek: _ } = self;
        f.debug_struct("StreamKey").field("salt", salt).finish_non_exhaustive()
    }
}
