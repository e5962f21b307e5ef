//! What a host asks for, and how it is sealed (docs/protocol.md §10.2).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use rand_core::CryptoRng;

use super::keys::Address;
use super::sealed::Form;
use super::{
    EnrolledName, EnrollmentError, EnrollmentKeys, Fingerprint, HostName, JoinToken, ServiceName, token,
};
use crate::author::{AuthorKey, AuthorPublicKey, SIGNATURE};
use crate::bundle::KdcIdentity;
use crate::codec::base64url;
use crate::name::Zone;
use crate::request::{Instance, Nonce};
use crate::time::UnixMillis;

/// What a host asks for that wants to be enrolled, or enrolled again. On the KDC's side the only way to one is
/// [`SealedEnrollment::open`](super::SealedEnrollment::open).
#[derive(Debug, Clone)]
pub struct EnrollmentRequest {
    /// What it runs.
    pub service: ServiceName,
    /// What it is called.
    pub host: HostName,
    /// The public half of its own key, which it signs with as an author too.
    pub public_key: AuthorPublicKey,
    /// What is to admit it, where it has something: who is known already needs nothing.
    pub token: Option<JoinToken>,
    /// When, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// Different in every process that uses the key.
    pub instance: Instance,
}

impl EnrollmentRequest {
    /// The name that it asks for.
    #[must_use]
    pub fn name(&self) -> EnrolledName {
        EnrolledName {
            service: self.service.clone(),
            host: self.host.clone(),
            fingerprint: Fingerprint::of(&self.public_key),
        }
    }

    /// Signs the request and seals it to an identity of the zone's KDC: the JSON to send, and what opens the answer.
    ///
    /// A retry sends the very same JSON. Sealed again, it would make another long-term key.
    ///
    /// # Errors
    /// [`EnrollmentError::Identity`] when nothing can be written to the identity, [`EnrollmentError::Forged`] when `key` is
    /// not the one that the request is of.
    pub fn seal(
        &self,
        zone: &Zone,
        to: &KdcIdentity,
        key: &AuthorKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, EnrollmentKeys), EnrollmentError> {
        if key.public() != self.public_key {
            return Err(EnrollmentError::Forged);
        }
        let address = Address { zone, identity: to.name };
        let (encapsulated, mut context, keys) =
            address.sender(&to.encryption_key, rng).map_err(|_| EnrollmentError::Identity)?;
        let mut plaintext = self.plaintext();
        if let Some((signature, json)) = plaintext.split_first_chunk_mut::<SIGNATURE>() {
            *signature = key.sign_enrollment(&address.signed(&encapsulated, json));
        }
        let sealed = context.seal(&plaintext, &[]).map_err(|_| EnrollmentError::Identity)?;
        let form = Form {
            zone: zone.clone(),
            identity: to.name,
            encapsulated: encapsulated.0,
            sealed: base64url(&sealed).into(),
        };
        // Strings only: there is nothing that JSON could not say.
        Ok((serde_json::to_vec(&form).unwrap_or_default(), keys))
    }

    /// Room for the signature, and the JSON.
    pub(super) fn plaintext(&self) -> Zeroizing<Vec<u8>> {
        // Never grown, so that no buffer with a join token in it is left behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(SIGNATURE + MAX_JSON));
        plaintext.resize(SIGNATURE, 0);
        let Self { service, host, public_key, token, timestamp, nonce, instance } = self.clone();
        let content = Content { service, host, public_key, token, timestamp, nonce, instance };
        // Strings and numbers only: there is nothing that JSON could not say, and a vector takes all that it is given.
        let _: Result<(), _> = serde_json::to_writer(&mut *plaintext, &content);
        plaintext
    }
}

/// The JSON of a request.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    service: ServiceName,
    host: HostName,
    public_key: AuthorPublicKey,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "token::text")]
    token: Option<JoinToken>,
    timestamp: UnixMillis,
    nonce: Nonce,
    instance: Instance,
}

impl From<Content> for EnrollmentRequest {
    fn from(content: Content) -> Self {
        let Content { service, host, public_key, token, timestamp, nonce, instance } = content;
        Self { service, host, public_key, token, timestamp, nonce, instance }
    }
}

/// More than the longest names, keys and numbers come to.
pub(super) const MAX_JSON: usize = 1024;
