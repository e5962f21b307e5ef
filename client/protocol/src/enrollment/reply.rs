//! What the KDC answers to a request to enroll (docs/protocol.md §10.4).
//!
//! ```text
//! {"metadata": M', "sealed": base64url(nonce 24 || XChaCha20-Poly1305(reply key, nonce, M', ""))}
//! M' = base64url({"nonce", "server_time", "status": "enrolled", "name", "generation", "epoch", "state", "ratchet_period", "bundle"})
//!    | base64url({"nonce", "server_time", "status": "pending", "retry_after"})
//! ```

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{EnrollmentKeys, EnrollmentRequest};
use crate::aead::{TAG, XNonce};
use crate::bundle::{Bundle, KdcIdentity};
use crate::key::{Epoch, Generation};
use crate::name::{Name, Zone};
use crate::reply::{self, ReplyError, SealedReply};
use crate::request::Nonce;
use crate::time::{RatchetPeriod, UnixMillis};

/// What the KDC takes the new long-term key for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnrollmentState {
    /// It is the host's key from now on.
    Active,
    /// The host has a key that lives, which stays until this one is used for the first time: to commit a rotation
    /// (docs/protocol.md §4.4).
    Staged,
}

/// What a host is once it is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its name.
    pub name: Name,
    /// The generation of its new key.
    pub generation: Generation,
    /// The epoch of its new key.
    pub epoch: Epoch,
    /// What the new key is good for.
    pub state: EnrollmentState,
    /// How long an epoch lasts.
    pub ratchet_period: RatchetPeriod,
    /// What the KDC wants known of itself at present.
    pub bundle: Bundle,
}

/// Writes the KDC's answers.
#[derive(Debug)]
pub enum EnrollmentReply {}

impl EnrollmentReply {
    /// The longest wait in seconds that an answer says.
    pub const MAX_RETRY_AFTER: u32 = 86_400;

    /// Tells the host what it is.
    pub fn seal_enrolled(
        request: &EnrollmentRequest,
        server_time: UnixMillis,
        enrolled: &Enrolled,
        keys: &EnrollmentKeys,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let Enrolled { name, generation, epoch, state, ratchet_period, bundle } = enrolled;
        let outcome = Form::Enrolled {
            name: Cow::Borrowed(name),
            generation: *generation,
            epoch: *epoch,
            state: *state,
            ratchet_period: *ratchet_period,
            bundle: Cow::Borrowed(bundle),
        };
        write(request, server_time, outcome, keys, rng)
    }

    /// Tells the host to ask again in so many seconds, 1 to [`MAX_RETRY_AFTER`](Self::MAX_RETRY_AFTER): an administrator
    /// decides.
    pub fn seal_pending(
        request: &EnrollmentRequest,
        server_time: UnixMillis,
        retry_after: u32,
        keys: &EnrollmentKeys,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let retry_after = retry_after.clamp(1, Self::MAX_RETRY_AFTER);
        write(request, server_time, Form::Pending { retry_after }, keys, rng)
    }
}

fn write(
    request: &EnrollmentRequest,
    server_time: UnixMillis,
    outcome: Form<'_>,
    keys: &EnrollmentKeys,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    let metadata = Metadata { nonce: request.nonce, server_time, outcome };
    let mut records = Zeroizing::new(Vec::with_capacity(XNonce::SIZE + TAG));
    records.extend_from_slice(&[0; XNonce::SIZE]);
    reply::write(&metadata, records, &keys.reply, rng)
}

/// The KDC's answer as it travels.
#[derive(Debug)]
pub struct SealedEnrollmentReply<'a>(SealedReply<'a>);

impl<'a> SealedEnrollmentReply<'a> {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    /// [`ReplyError::Malformed`] when it is none.
    pub fn parse(json: &'a [u8]) -> Result<Self, ReplyError> {
        SealedReply::parse(json).map(Self)
    }

    /// Opens the answer with the keys of `request`, and checks that it answers just that request, written to the identity
    /// `to` of `zone`: the bundle in it begins with that very identity.
    ///
    /// # Errors
    /// [`ReplyError`]; then nothing of the answer may be used.
    pub fn open(
        &self,
        keys: &EnrollmentKeys,
        request: &EnrollmentRequest,
        zone: &Zone,
        to: &KdcIdentity,
    ) -> Result<EnrollmentAnswer, ReplyError> {
        let (metadata, secret) = self.0.read::<Metadata<'_>>(&keys.reply)?;
        let Metadata { nonce, server_time, outcome } = metadata;
        if nonce != request.nonce {
            return Err(ReplyError::AnotherRequest);
        }
        if !secret.bytes().is_empty() {
            return Err(ReplyError::Malformed);
        }
        let outcome = match outcome {
            Form::Pending { retry_after }
                if (1..=EnrollmentReply::MAX_RETRY_AFTER).contains(&retry_after) =>
            {
                EnrollmentOutcome::Pending { retry_after }
            }
            Form::Pending { .. } => return Err(ReplyError::Malformed),
            Form::Enrolled { name, generation, epoch, state, ratchet_period, bundle } => {
                if *name != request.name().name(zone) {
                    return Err(ReplyError::AnotherRequest);
                }
                if bundle.zone != *zone || bundle.identities.first() != Some(to) {
                    return Err(ReplyError::AnotherKdc);
                }
                let (name, bundle) = (name.into_owned(), bundle.into_owned());
                let enrolled = Enrolled { name, generation, epoch, state, ratchet_period, bundle };
                EnrollmentOutcome::Enrolled(enrolled)
            }
        };
        Ok(EnrollmentAnswer { server_time, outcome })
    }
}

/// What the KDC answered.
#[derive(Debug)]
pub struct EnrollmentAnswer {
    /// The KDC's clock when it answered.
    pub server_time: UnixMillis,
    /// What came of the request.
    pub outcome: EnrollmentOutcome,
}

/// What came of a request to enroll.
#[derive(Debug)]
pub enum EnrollmentOutcome {
    /// The host is enrolled.
    Enrolled(Enrolled),
    /// An administrator decides.
    Pending {
        /// In how many seconds to ask again.
        retry_after: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    nonce: Nonce,
    server_time: UnixMillis,
    #[serde(flatten)]
    outcome: Form<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Form<'a> {
    Enrolled {
        name: Cow<'a, Name>,
        generation: Generation,
        epoch: Epoch,
        state: EnrollmentState,
        ratchet_period: RatchetPeriod,
        bundle: Cow<'a, Bundle>,
    },
    Pending {
        retry_after: u32,
    },
}
