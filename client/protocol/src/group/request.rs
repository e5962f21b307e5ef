//! What a member sends to ask for the keys of its groups.

use serde::{Deserialize, Serialize};

use crate::name::Name;
use crate::purpose::{GroupKeys, KeysFor};
use crate::request::{Instance, KeyReference, Nonce, RequestError, SignedRequest};
use crate::time::UnixMillis;

/// What a member asks for. On the KDC's side the only way to one is [`SignedGroupRequest::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupKeysRequest {
    /// Who asks.
    pub source: Name,
    /// Of which groups, at most [`MAX_GROUPS`](Self::MAX_GROUPS); none named means all that it is a member of.
    pub groups: Vec<Name>,
    /// When, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// Different in every process that uses the key.
    pub instance: Instance,
}

impl GroupKeysRequest {
    /// The most groups of one request, and of one reply.
    pub const MAX_GROUPS: usize = 100;
}

/// A request as it travels.
///
/// `key` only selects the key that checks the signature. Nothing of the metadata is read before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedGroupRequest<'a>(SignedRequest<'a>);

impl<'a> SignedGroupRequest<'a> {
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
    /// [`RequestError::Malformed`] and [`RequestError::Destinations`] when the holder of the key wrote nonsense.
    pub fn verify(&self, keys: &KeysFor<GroupKeys>) -> Result<GroupKeysRequest, RequestError> {
        let request: GroupKeysRequest = self.0.read(&keys.request)?;
        if request.source != self.key().name {
            return Err(RequestError::Source);
        }
        if request.groups.len() > GroupKeysRequest::MAX_GROUPS {
            return Err(RequestError::Destinations);
        }
        Ok(request)
    }
}

impl SignedGroupRequest<'static> {
    /// Signs a request with the party's keys.
    ///
    /// # Errors
    /// [`RequestError::Destinations`] when there are too many groups.
    pub fn sign(request: &GroupKeysRequest, keys: &KeysFor<GroupKeys>) -> Result<Self, RequestError> {
        if request.groups.len() > GroupKeysRequest::MAX_GROUPS {
            return Err(RequestError::Destinations);
        }
        Ok(Self(SignedRequest::write(keys.reference(&request.source), request, &keys.request)))
    }

    /// The JSON to send.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        self.0.to_json()
    }
}
