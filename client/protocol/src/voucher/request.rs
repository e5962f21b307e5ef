//! What a party sends to register its signing key and get a voucher for it.

use serde::{Deserialize, Serialize};

use crate::author::{AuthorKey, AuthorPublicKey};
use crate::codec;
use crate::name::Name;
use crate::purpose::{KeysFor, Vouchers};
use crate::request::{Instance, KeyReference, Nonce, RequestError, SignedRequest};
use crate::time::UnixMillis;

/// What a party asks for. On the KDC's side the only way to one is [`SignedVoucherRequest::verify`], which has checked the
/// proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoucherRequest {
    /// Who asks.
    pub source: Name,
    /// The signing key to vouch for.
    pub public_key: AuthorPublicKey,
    /// By the signing key, over source, nonce and the key itself.
    #[serde(with = "codec::b64")]
    pub proof: [u8; 64],
    /// When, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// Different in every process that uses the key.
    pub instance: Instance,
}

impl VoucherRequest {
    /// A request by `source`, who holds `key`.
    #[must_use]
    pub fn new(
        source: Name,
        key: &AuthorKey,
        timestamp: UnixMillis,
        nonce: Nonce,
        instance: Instance,
    ) -> Self {
        let proof = key.prove_possession(&source, nonce);
        Self { source, public_key: key.public(), proof, timestamp, nonce, instance }
    }
}

/// A request as it travels.
///
/// `key` only selects the key that checks the signature. Nothing of the metadata is read before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedVoucherRequest<'a>(SignedRequest<'a>);

impl<'a> SignedVoucherRequest<'a> {
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

    /// Checks the signature, then reads what it covers, then checks that the party holds the signing key.
    ///
    /// # Errors
    /// [`RequestError::Forged`] when `keys` did not sign it, [`RequestError::Source`] when it asks in another's name,
    /// [`RequestError::Possession`] when the signing key did not sign the proof, [`RequestError::Malformed`] when the holder
    /// of the key wrote nonsense.
    pub fn verify(&self, keys: &KeysFor<Vouchers>) -> Result<VoucherRequest, RequestError> {
        let request: VoucherRequest = self.0.read(&keys.request)?;
        if request.source != self.key().name {
            return Err(RequestError::Source);
        }
        if !request.public_key.proves_possession(&request.source, request.nonce, &request.proof) {
            return Err(RequestError::Possession);
        }
        Ok(request)
    }
}

impl SignedVoucherRequest<'static> {
    /// Signs a request with the party's keys.
    #[must_use]
    pub fn sign(request: &VoucherRequest, keys: &KeysFor<Vouchers>) -> Self {
        Self(SignedRequest::write(keys.reference(&request.source), request, &keys.request))
    }

    /// The JSON to send.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        self.0.to_json()
    }
}
