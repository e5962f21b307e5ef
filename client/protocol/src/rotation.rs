//! How a party gets its next key (docs/protocol.md §4.4).
//!
//! ```text
//! {"key": {"name", "generation", "epoch"}, "metadata": M, "signature": base64url(HMAC(sub(K, "keycell/1 rotate request"), M))}
//! M  = base64url({"source", "step": "stage" | "commit", "timestamp", "nonce", "instance"})
//!
//! {"metadata": M', "sealed": base64url(nonce 24 || XChaCha20-Poly1305(sub(K, "keycell/1 rotate reply"), nonce, M', secret))}
//! M' = base64url({"source", "nonce", "server_time", "step", "generation", "epoch"})
//! ```
//!
//! To stage, a party signs with its active key, and is given the next one: `secret` is its 32 bytes. Once it has stored
//! that key it commits, signed with the new key, and `secret` is empty. So the KDC knows that the party holds the key
//! before it uses it, and an answer that is lost costs nothing: each step can be asked for again.

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::aead::{TAG, XNonce};
use crate::key::{Epoch, Generation, LongTermKey};
use crate::name::Name;
use crate::purpose::{KeysFor, Rotation};
use crate::reply::{self, ReplyError, SealedReply};
use crate::request::{Instance, KeyReference, Nonce, RequestError, SignedRequest};
use crate::time::UnixMillis;

/// What one generation of a long-term key rotates with, at one epoch.
pub type RotationKeys = KeysFor<Rotation>;

/// A half of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Give me my next key. Asked again, the KDC gives the same one.
    Stage,
    /// I have stored it: use it from now on. Asked again, nothing changes.
    Commit,
}

/// What a party asks for. On the KDC's side the only way to one is [`SignedRotation::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationRequest {
    /// Who asks.
    pub source: Name,
    /// For what.
    pub step: Step,
    /// When, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// Different in every process that uses the key.
    pub instance: Instance,
}

/// A request as it travels.
///
/// `key` only selects the key that checks the signature. Nothing of the metadata is read before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRotation<'a>(SignedRequest<'a>);

impl<'a> SignedRotation<'a> {
    /// Reads the JSON of a request.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] when it has not exactly the fields of a request.
    pub fn parse(json: &'a [u8]) -> Result<Self, RequestError> {
        SignedRequest::parse(json).map(Self)
    }

    /// The key that the sender says it signed with.
    #[must_use]
    pub const fn key(&self) -> &KeyReference {
        self.0.key()
    }

    /// Checks the signature, then reads what it covers.
    ///
    /// # Errors
    /// [`RequestError::Forged`] when `keys` did not sign it, [`RequestError::Source`] when it asks in another's name,
    /// [`RequestError::Malformed`] when the holder of the key wrote nonsense.
    pub fn verify(&self, keys: &RotationKeys) -> Result<RotationRequest, RequestError> {
        let request: RotationRequest = self.0.read(&keys.request)?;
        if request.source != self.key().name {
            return Err(RequestError::Source);
        }
        Ok(request)
    }
}

impl SignedRotation<'static> {
    /// Signs a request: to [stage](Step::Stage) with the keys of the active generation, to [commit](Step::Commit) with
    /// those of the staged one.
    #[must_use]
    pub fn sign(request: &RotationRequest, keys: &RotationKeys) -> Self {
        Self(SignedRequest::write(keys.reference(&request.source), request, &keys.request))
    }

    /// The JSON to send.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        self.0.to_json()
    }
}

/// Writes the KDC's answers, sealed under the keys that signed the request.
#[derive(Debug)]
pub enum RotationReply {}

impl RotationReply {
    /// Gives the party its next key.
    pub fn seal_staged(
        request: &RotationRequest,
        server_time: UnixMillis,
        staged: &LongTermKey,
        keys: &RotationKeys,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let next = (staged.generation(), staged.epoch());
        write(request, server_time, Step::Stage, next, staged.expose_secret(), keys, rng)
    }

    /// Tells the party that the key which signed its request is its active one.
    pub fn seal_committed(
        request: &RotationRequest,
        server_time: UnixMillis,
        keys: &RotationKeys,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        write(request, server_time, Step::Commit, (keys.generation(), keys.epoch()), &[], keys, rng)
    }
}

fn write(
    request: &RotationRequest,
    server_time: UnixMillis,
    step: Step,
    (generation, epoch): (Generation, Epoch),
    secret: &[u8],
    keys: &RotationKeys,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    let source = Cow::Borrowed(&request.source);
    let metadata = Metadata { source, nonce: request.nonce, server_time, step, generation, epoch };
    // Never grown, so that no buffer with a key in it is left behind.
    let mut records = Zeroizing::new(Vec::with_capacity(XNonce::SIZE + secret.len() + TAG));
    records.extend_from_slice(&[0; XNonce::SIZE]);
    records.extend_from_slice(secret);
    reply::write(&metadata, records, &keys.reply, rng)
}

/// The KDC's answer as it travels.
#[derive(Debug)]
pub struct SealedRotation<'a>(SealedReply<'a>);

impl<'a> SealedRotation<'a> {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    /// [`ReplyError::Malformed`] when it is none.
    pub fn parse(json: &'a [u8]) -> Result<Self, ReplyError> {
        SealedReply::parse(json).map(Self)
    }

    /// Opens the answer with the keys that signed `request`, and checks that it answers just that request.
    ///
    /// A next key has a later generation than the one that asked for it: nobody is led back.
    ///
    /// # Errors
    /// [`ReplyError`]; then nothing of the answer may be used.
    pub fn open(&self, keys: &RotationKeys, request: &RotationRequest) -> Result<Rotated, ReplyError> {
        let (metadata, secret) = self.0.read::<Metadata<'_>>(&keys.reply)?;
        let Metadata { source, nonce, server_time, step, generation, epoch } = metadata;
        if *source != request.source || nonce != request.nonce || step != request.step {
            return Err(ReplyError::AnotherRequest);
        }
        match step {
            Step::Stage if generation > keys.generation() => {
                let secret = <&[u8; LongTermKey::SIZE]>::try_from(secret.bytes());
                let secret = secret.map_err(|_| ReplyError::Malformed)?;
                Ok(Rotated::Staged { key: LongTermKey::new(generation, epoch, *secret), server_time })
            }
            Step::Commit if generation == keys.generation() && secret.bytes().is_empty() => {
                Ok(Rotated::Committed { generation, server_time })
            }
            _ => Err(ReplyError::Malformed),
        }
    }
}

/// What the KDC answered.
#[derive(Debug)]
pub enum Rotated {
    /// The next key, to be stored and then committed. Until then it is good for nothing else.
    Staged {
        /// The key.
        key: LongTermKey,
        /// The KDC's clock when it answered.
        server_time: UnixMillis,
    },
    /// The key that signed the request is the active one; what it replaces opens messages for a while yet.
    Committed {
        /// Its generation.
        generation: Generation,
        /// The KDC's clock when it answered.
        server_time: UnixMillis,
    },
}

#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    source: Cow<'a, Name>,
    nonce: Nonce,
    server_time: UnixMillis,
    step: Step,
    generation: Generation,
    epoch: Epoch,
}

#[cfg(test)]
mod tests;
