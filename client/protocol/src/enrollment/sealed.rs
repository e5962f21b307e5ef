//! A request to enroll as it travels (docs/protocol.md §10.2).

use core::fmt;
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::keys::Address;
use super::request::Content;
use super::{EnrollmentError, EnrollmentKeys, EnrollmentRequest};
use crate::author::{AuthorPublicKey, SIGNATURE};
use crate::bundle::IdentityName;
use crate::codec::{self, from_base64url, from_object};
use crate::name::Zone;
use crate::signer::verify;
use crate::xwing::{Encapsulated, IdentitySecret};

/// A request to enroll as it travels.
///
/// Zone and identity only select the secret that opens it. Nothing of the request is read before that.
#[derive(Clone)]
pub struct SealedEnrollment {
    zone: Zone,
    identity: IdentityName,
    encapsulated: Encapsulated,
    sealed: Vec<u8>,
    digest: [u8; 32],
}

impl SealedEnrollment {
    /// The longest body in bytes.
    pub const MAX: usize = 8 << 10;

    /// Reads the JSON of a request.
    ///
    /// # Errors
    /// [`EnrollmentError::Malformed`] when it has not exactly the fields of one, or more than [`MAX`](Self::MAX) bytes.
    pub fn parse(json: &[u8]) -> Result<Self, EnrollmentError> {
        if json.len() > Self::MAX {
            return Err(EnrollmentError::Malformed);
        }
        let form: Form<'_> = from_object(json).ok_or(EnrollmentError::Malformed)?;
        Ok(Self {
            zone: form.zone,
            identity: form.identity,
            encapsulated: Encapsulated(form.encapsulated),
            sealed: from_base64url(&form.sealed).ok_or(EnrollmentError::Malformed)?,
            digest: Sha256::digest(json).into(),
        })
    }

    /// The zone that it is written to.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The identity that it is written to.
    #[must_use]
    pub const fn identity(&self) -> IdentityName {
        self.identity
    }

    /// The SHA-256 of the JSON: a retry has the same one.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Opens it with the secret of the identity and checks the signature, then reads what that covers.
    ///
    /// # Errors
    /// [`EnrollmentError::Forged`] when it was not written to this secret, zone and identity, or the key in it did not sign
    /// it; [`EnrollmentError::Malformed`] when the holder of that key wrote nonsense.
    pub fn open(
        &self,
        secret: &IdentitySecret,
    ) -> Result<(EnrollmentRequest, EnrollmentKeys), EnrollmentError> {
        let address = Address { zone: &self.zone, identity: self.identity };
        let (mut context, keys) =
            address.receiver(secret, &self.encapsulated).map_err(|_| EnrollmentError::Forged)?;
        let plaintext = Zeroizing::new(context.open(&self.sealed, &[]).map_err(|_| EnrollmentError::Forged)?);
        let (signature, json) = plaintext.split_first_chunk::<SIGNATURE>().ok_or(EnrollmentError::Forged)?;
        // Nothing but the key is read of what nobody has signed yet.
        let Key { public_key } = serde_json::from_slice(json).map_err(|_| EnrollmentError::Forged)?;
        if !verify(public_key.as_bytes(), &address.signed(&self.encapsulated, json), signature) {
            return Err(EnrollmentError::Forged);
        }
        let content: Content = serde_json::from_slice(json).map_err(|_| EnrollmentError::Malformed)?;
        Ok((content.into(), keys))
    }
}

/// Who sent it is not known before it is opened.
impl fmt::Debug for SealedEnrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { zone, identity, encapsulated: _, sealed: _, digest: _ } = self;
        f.debug_struct("SealedEnrollment")
            .field("zone", zone)
            .field("identity", identity)
            .finish_non_exhaustive()
    }
}

/// The JSON around a request.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form<'a> {
    pub(super) zone: Zone,
    pub(super) identity: IdentityName,
    #[serde(with = "codec::b64")]
    pub(super) encapsulated: [u8; Encapsulated::SIZE],
    #[serde(borrow)]
    pub(super) sealed: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Key {
    public_key: AuthorPublicKey,
}
