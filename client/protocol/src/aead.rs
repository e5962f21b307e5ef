//! ChaCha20-Poly1305 (RFC 8439) behind one small trait, and XChaCha20-Poly1305 on top of it.
//!
//! XChaCha20-Poly1305(key, nonce) is RFC 8439 under `HChaCha20(key, nonce[..16])` with the nonce
//! `0x00000000 || nonce[16..]` (draft-irtf-cfrg-xchacha-03 §2.3). A sealer's 16-byte salt is the first part of that
//! nonce, so [`XSubkey`] is made once per sealer and only the RFC 8439 part is paid per message.

use chacha20::R20;
use zeroize::Zeroize;

/// Bytes that a seal adds: the Poly1305 tag.
pub(crate) const TAG: usize = 16;

/// The bytes did not come from the holder of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forged;

/// ChaCha20-Poly1305 under one key. Both implementations pass the same vectors.
pub(crate) trait Rfc8439: Sized {
    fn new(key: &[u8; 32]) -> Self;

    /// Encrypts `in_out` where it lies and returns the tag.
    fn seal(&self, nonce: [u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG];

    /// Decrypts `in_out`, ciphertext and tag, where it lies; what is returned is the plaintext at its start. On a
    /// failure the content of `in_out` is worthless and must not be looked at.
    fn open<'a>(&self, nonce: [u8; 12], aad: &[u8], in_out: &'a mut [u8]) -> Result<&'a mut [u8], Forged>;
}

#[cfg(feature = "aws-lc-rs")]
pub(crate) type Backend = aws::AwsLc;
#[cfg(not(feature = "aws-lc-rs"))]
pub(crate) type Backend = pure::Pure;

/// A key and the first 16 bytes of a nonce, ready for messages that differ in the last 8.
pub(crate) struct XSubkey<B = Backend>(B);

impl<B: Rfc8439> XSubkey<B> {
    pub(crate) fn new(key: &[u8; 32], salt: &[u8; 16]) -> Self {
        let mut subkey = chacha20::hchacha::<R20>(key.into(), salt.into());
        let backend = B::new(subkey.as_ref());
        subkey.zeroize();
        Self(backend)
    }

    pub(crate) fn seal(&self, tail: [u8; 8], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
        self.0.seal(padded(tail), aad, in_out)
    }

    pub(crate) fn open<'a>(
        &self,
        tail: [u8; 8],
        aad: &[u8],
        in_out: &'a mut [u8],
    ) -> Result<&'a mut [u8], Forged> {
        self.0.open(padded(tail), aad, in_out)
    }
}

/// A 24-byte nonce, drawn at random for one seal and used up by it.
pub(crate) struct XNonce([u8; 24]);

impl XNonce {
    pub(crate) const SIZE: usize = 24;

    pub(crate) fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        let mut bytes = [0; Self::SIZE];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 24]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 24] {
        &self.0
    }

    fn split(self) -> ([u8; 16], [u8; 8]) {
        let (mut salt, mut tail) = ([0; 16], [0; 8]);
        let (first, last) = self.0.split_at(16);
        salt.copy_from_slice(first);
        tail.copy_from_slice(last);
        (salt, tail)
    }
}

/// Encrypts `in_out` with XChaCha20-Poly1305 where it lies and returns the tag.
pub(crate) fn xseal(key: &[u8; 32], nonce: XNonce, aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
    let (salt, tail) = nonce.split();
    XSubkey::<Backend>::new(key, &salt).seal(tail, aad, in_out)
}

/// Decrypts ciphertext and tag with XChaCha20-Poly1305; the plaintext lies at the start of `in_out`.
pub(crate) fn xopen<'a>(
    key: &[u8; 32],
    nonce: XNonce,
    aad: &[u8],
    in_out: &'a mut [u8],
) -> Result<&'a mut [u8], Forged> {
    let (salt, tail) = nonce.split();
    XSubkey::<Backend>::new(key, &salt).open(tail, aad, in_out)
}

/// `0x00000000 || tail`, in the two words that it is read in again: put together byte by byte, a processor has to wait
/// for its own writes, which costs a tenth of a short message.
fn padded(tail: [u8; 8]) -> [u8; 12] {
    let tail = u64::from_le_bytes(tail);
    let mut nonce = [0; 12];
    let (first, last) = nonce.split_at_mut(8);
    first.copy_from_slice(&(tail << 32).to_le_bytes());
    last.copy_from_slice(&((tail >> 32) as u32).to_le_bytes());
    nonce
}

#[cfg(any(test, not(feature = "aws-lc-rs")))]
pub(crate) mod pure {
    //! The pure Rust back end: always there, about eight times slower on short messages.

    use super::{Forged, Rfc8439, TAG};
    use chacha20::cipher::array::Array;
    use chacha20poly1305::aead::inout::InOutBuf;
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
    use zeroize::Zeroizing;

    pub(crate) struct Pure(Zeroizing<[u8; 32]>);

    impl Pure {
        fn cipher(&self) -> ChaCha20Poly1305 {
            ChaCha20Poly1305::new(&Array(*self.0))
        }
    }

    impl Rfc8439 for Pure {
        fn new(key: &[u8; 32]) -> Self {
            Self(Zeroizing::new(*key))
        }

        #[expect(clippy::expect_used, reason = "only fails past 256 GiB, and a message is at most 16 MiB")]
        fn seal(&self, nonce: [u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
            self.cipher()
                .encrypt_inout_detached(&Array(nonce), aad, InOutBuf::from(in_out))
                .expect("short enough")
                .into()
        }

        fn open<'a>(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            in_out: &'a mut [u8],
        ) -> Result<&'a mut [u8], Forged> {
            let body = in_out.len().checked_sub(TAG).ok_or(Forged)?;
            let (body, tag) = in_out.split_at_mut(body);
            let tag: [u8; TAG] = (&*tag).try_into().map_err(|_| Forged)?;
            self.cipher()
                .decrypt_inout_detached(&Array(nonce), aad, InOutBuf::from(&mut *body), &Array(tag))
                .map_err(|_| Forged)?;
            Ok(body)
        }
    }
}

#[cfg(feature = "aws-lc-rs")]
pub(crate) mod aws {
    //! The back end of aws-lc-rs, which erases its keys itself.

    use super::{Forged, Rfc8439, TAG};
    use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

    pub(crate) struct AwsLc(LessSafeKey);

    impl Rfc8439 for AwsLc {
        #[expect(clippy::expect_used, reason = "the key has the length that the algorithm asks for")]
        fn new(key: &[u8; 32]) -> Self {
            Self(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes")))
        }

        #[expect(clippy::expect_used, reason = "only fails past 256 GiB, and a message is at most 16 MiB")]
        fn seal(&self, nonce: [u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG] {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out).expect("short enough");
            tag.as_ref().try_into().expect("a Poly1305 tag is 16 bytes long")
        }

        fn open<'a>(
            &self,
            nonce: [u8; 12],
            aad: &[u8],
            in_out: &'a mut [u8],
        ) -> Result<&'a mut [u8], Forged> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            // Shorter than a tag is a failure of its own there too.
            if in_out.len() < TAG {
                return Err(Forged);
            }
            self.0.open_in_place(nonce, Aad::from(aad), in_out).map_err(|_| Forged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_short_for_a_tag_is_forged() {
        for len in 0..TAG {
            let mut bytes = vec![0; len];
            assert_eq!(pure::Pure::new(&[0; 32]).open([0; 12], b"", &mut bytes).unwrap_err(), Forged);
            assert_eq!(Backend::new(&[0; 32]).open([0; 12], b"", &mut bytes).unwrap_err(), Forged);
        }
    }

    proptest! {
        #[test]
        fn what_one_back_end_seals_the_other_opens(
            key: [u8; 32], nonce: [u8; 24], aad: Vec<u8>, plain: Vec<u8>, flip: prop::sample::Index
        ) {
            let (salt, tail) = XNonce(nonce).split();
            let pure = XSubkey::<pure::Pure>::new(&key, &salt);
            let other = XSubkey::<Backend>::new(&key, &salt);
            let mut sealed = plain.clone();
            let tag = pure.seal(tail, &aad, &mut sealed);
            sealed.extend(tag);
            let mut again = plain.clone();
            let tag = other.seal(tail, &aad, &mut again);
            again.extend(tag);
            prop_assert_eq!(&sealed, &again);
            let (mut by_one, mut by_other) = (again.clone(), again.clone());
            prop_assert_eq!(other.open(tail, &aad, &mut by_one).unwrap(), &plain[..]);
            prop_assert_eq!(pure.open(tail, &aad, &mut by_other).unwrap(), &plain[..]);
            again[flip.index(sealed.len())] ^= 1;
            prop_assert!(other.open(tail, &aad, &mut again.clone()).is_err());
            prop_assert!(pure.open(tail, &aad, &mut again).is_err());
        }
    }
}
