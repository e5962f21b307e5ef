//! One body for many recipients: encrypted once, its key sealed for each (docs/protocol.md §8.4).
//!
//! ```text
//! "KCB1" || commitment 32 || ChaCha20-Poly1305(Kc, nonce 0, aad = the 36 bytes before, body)
//! Kc         = HKDF-Expand(CK, "keycell/1 content key", 32)
//! commitment = HKDF-Expand(CK, "keycell/1 content commitment", 32)
//! part       = CK 32 || SHA-256(all of the above) 32
//! ```
//!
//! CK is random and used once. The hash in each part makes the sender answer for the body: another recipient knows CK too.
//! The commitment lets one body have one meaning: no two keys open the same bytes.

use core::fmt;

use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::aead::{Backend, Rfc8439 as _, TAG};
use crate::derive::{Label, subkey};
use crate::envelope::MAX_MESSAGE;
use crate::error::Cause;

/// What a recipient is sent beside the common body: the key that opens it, and which body is meant.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ContentPart {
    key: [u8; 32],
    hash: [u8; 32],
}

impl ContentPart {
    /// Its length in bytes.
    pub const SIZE: usize = 64;

    /// Bytes that encrypting adds to a body.
    pub const OVERHEAD: usize = HEAD + TAG;

    /// Encrypts a body under a fresh key.
    ///
    /// # Errors
    /// [`Cause::TooLong`] when it is longer than a message may be.
    pub fn seal(body: &[u8], rng: &mut impl CryptoRng) -> Result<(Self, Vec<u8>), Cause> {
        if body.len() > MAX_MESSAGE - Self::OVERHEAD {
            return Err(Cause::TooLong);
        }
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        let common = encrypt(&key, body);
        let hash = Sha256::digest(&common).into();
        Ok((Self { key: *key, hash }, common))
    }

    /// The common body once more, made of its text. Of another text nothing is given out.
    ///
    /// # Errors
    /// [`Cause::Body`] when it is another text.
    pub fn seal_again(&self, body: &[u8]) -> Result<Vec<u8>, Cause> {
        if body.len() > MAX_MESSAGE - Self::OVERHEAD {
            return Err(Cause::TooLong);
        }
        let common = encrypt(&self.key, body);
        let hash: [u8; 32] = Sha256::digest(&common).into();
        if bool::from(hash.ct_eq(&self.hash)) { Ok(common) } else { Err(Cause::Body) }
    }

    /// Reads what a message with a detached body says.
    ///
    /// # Errors
    /// [`Cause::Body`] when it is no part.
    pub fn parse(plaintext: &[u8]) -> Result<Self, Cause> {
        let plaintext: &[u8; Self::SIZE] = plaintext.try_into().map_err(|_| Cause::Body)?;
        let (key, hash) = plaintext.split_at(32);
        let mut part = Self { key: [0; 32], hash: [0; 32] };
        part.key.copy_from_slice(key);
        part.hash.copy_from_slice(hash);
        Ok(part)
    }

    /// What is sealed for each recipient.
    #[must_use]
    pub fn plaintext(&self) -> Zeroizing<[u8; Self::SIZE]> {
        let mut plaintext = Zeroizing::new([0; Self::SIZE]);
        let (key, hash) = plaintext.split_at_mut(32);
        key.copy_from_slice(&self.key);
        hash.copy_from_slice(&self.hash);
        plaintext
    }

    /// Opens the body that is meant.
    ///
    /// # Errors
    /// [`Cause::Body`] for another one.
    pub fn open(&self, common: &[u8]) -> Result<Vec<u8>, Cause> {
        if common.len() > MAX_MESSAGE {
            return Err(Cause::TooLong);
        }
        let hash: [u8; 32] = Sha256::digest(common).into();
        let (head, text) = common.split_at_checked(HEAD).ok_or(Cause::Body)?;
        let commitment = head.strip_prefix(MAGIC).ok_or(Cause::Body)?;
        let committed = subkey(&self.key, Label::ContentCommitment);
        if !bool::from(hash.ct_eq(&self.hash) & committed.ct_eq(commitment)) {
            return Err(Cause::Body);
        }
        let content_key = Zeroizing::new(subkey(&self.key, Label::ContentKey));
        let mut body = text.to_vec();
        let length =
            Backend::new(&content_key).open([0; 12], head, &mut body).map_err(|_| Cause::Body)?.len();
        body.truncate(length);
        Ok(body)
    }
}

fn encrypt(key: &[u8; 32], body: &[u8]) -> Vec<u8> {
    let mut common = Vec::with_capacity(body.len() + ContentPart::OVERHEAD);
    common.extend_from_slice(MAGIC);
    common.extend_from_slice(&subkey(key, Label::ContentCommitment));
    common.extend_from_slice(body);
    let (head, text) = common.split_at_mut(HEAD);
    let content_key = Zeroizing::new(subkey(key, Label::ContentKey));
    let tag = Backend::new(&content_key).seal([0; 12], head, text);
    common.extend_from_slice(&tag);
    common
}

impl fmt::Debug for ContentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentPart").finish_non_exhaustive()
    }
}

const MAGIC: &[u8; 4] = b"KCB1";
/// Magic and commitment.
const HEAD: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rng;

    #[test]
    fn a_body_opens_for_who_was_sent_its_key_and_for_nothing_else() {
        let mut rng = test_rng();
        let (part, common) = ContentPart::seal(b"for all of you", &mut rng).unwrap();
        let part = ContentPart::parse(&*part.plaintext()).unwrap();
        assert_eq!(part.open(&common).unwrap(), b"for all of you");
        for at in 0..common.len() {
            let mut changed = common.clone();
            changed[at] ^= 1;
            assert_eq!(part.open(&changed), Err(Cause::Body), "byte {at}");
        }
        let (other, another) = ContentPart::seal(b"for all of you", &mut rng).unwrap();
        assert_eq!(part.open(&another), Err(Cause::Body));
        assert_eq!(other.open(&common), Err(Cause::Body));
        assert_eq!(part.open(&common[..20]), Err(Cause::Body));
        assert_eq!(part.seal_again(b"for all of you").unwrap(), common);
        assert_eq!(part.seal_again(b"for all of us!"), Err(Cause::Body));
        assert_eq!(ContentPart::parse(&[0; 63]).unwrap_err(), Cause::Body);
    }

    #[test]
    fn a_recipient_cannot_put_another_body_in_its_place() {
        let mut rng = test_rng();
        let (part, _) = ContentPart::seal(b"what was said", &mut rng).unwrap();
        // It knows the key, so it can encrypt under it: all but the hash fits.
        let content_key = subkey(&part.key, Label::ContentKey);
        let mut forged = [MAGIC, &subkey(&part.key, Label::ContentCommitment)[..], b"what was not"].concat();
        let (head, text) = forged.split_at_mut(HEAD);
        let tag = Backend::new(&content_key).seal([0; 12], head, text);
        forged.extend(tag);
        assert_eq!(part.open(&forged), Err(Cause::Body));
        let mine = ContentPart { key: part.key, hash: Sha256::digest(&forged).into() };
        assert_eq!(mine.open(&forged).unwrap(), b"what was not");
    }

    #[test]
    fn the_longest_body() {
        let longest = vec![0; MAX_MESSAGE - ContentPart::OVERHEAD];
        let (part, common) = ContentPart::seal(&longest, &mut test_rng()).unwrap();
        assert_eq!(common.len(), MAX_MESSAGE);
        assert_eq!(part.open(&common).unwrap().len(), longest.len());
        let longer = vec![0; longest.len() + 1];
        assert_eq!(ContentPart::seal(&longer, &mut test_rng()).unwrap_err(), Cause::TooLong);
    }
}
