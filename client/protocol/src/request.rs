//! What a party sends to ask for tickets (docs/protocol.md §7).

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, base64url, from_base64url};
use crate::key::{Epoch, Generation, RequestKey, Subkeys};
use crate::name::Name;
use crate::time::UnixMillis;

/// What a party asks for. On the KDC's side the only way to one is [`SignedRequest::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRequest {
    /// Who asks.
    pub source: Name,
    /// For whom, 1 to [`MAX_DESTINATIONS`](Self::MAX_DESTINATIONS) names.
    pub destinations: Vec<Name>,
    /// When, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// Different in every process that uses the key.
    pub instance: Instance,
}

impl TicketRequest {
    /// The most destinations of one request.
    pub const MAX_DESTINATIONS: usize = 1000;
}

/// A request as it travels: `{"key": …, "metadata": M, "signature": …}`.
///
/// `key` only selects the key that checks the signature. Nothing of the metadata is read before that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequest<'a> {
    key: KeyReference,
    #[serde(borrow)]
    metadata: Cow<'a, str>,
    #[serde(with = "codec::b64")]
    signature: [u8; 32],
}

impl<'a> SignedRequest<'a> {
    /// Reads the JSON of a request.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] when it has not exactly the fields of a request.
    pub fn parse(json: &'a [u8]) -> Result<Self, RequestError> {
        serde_json::from_slice(json).map_err(|_| RequestError::Malformed)
    }

    /// The key that the sender says it signed with.
    #[must_use]
    pub const fn key(&self) -> &KeyReference {
        &self.key
    }

    /// Checks the signature, then reads what it covers.
    ///
    /// # Errors
    /// [`RequestError::Forged`] when `key` did not sign it, [`RequestError::Source`] when it asks in another's name,
    /// [`RequestError::Malformed`] and [`RequestError::Destinations`] when the holder of the key wrote nonsense.
    pub fn verify(&self, key: &RequestKey) -> Result<TicketRequest, RequestError> {
        let request: TicketRequest = self.read(key)?;
        if request.source != self.key.name {
            return Err(RequestError::Source);
        }
        if request.destinations.is_empty() || request.destinations.len() > TicketRequest::MAX_DESTINATIONS {
            return Err(RequestError::Destinations);
        }
        Ok(request)
    }

    /// The metadata, if `key` signed it.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &RequestKey) -> Result<T, RequestError> {
        if !key.verify(self.metadata.as_bytes(), &self.signature) {
            return Err(RequestError::Forged);
        }
        let json = from_base64url(&self.metadata).ok_or(RequestError::Malformed)?;
        serde_json::from_slice(&json).map_err(|_| RequestError::Malformed)
    }
}

impl SignedRequest<'static> {
    /// Signs a request with the party's key.
    ///
    /// # Errors
    /// [`RequestError::Destinations`] when there are none or too many.
    pub fn sign(request: &TicketRequest, keys: &Subkeys) -> Result<Self, RequestError> {
        if request.destinations.is_empty() || request.destinations.len() > TicketRequest::MAX_DESTINATIONS {
            return Err(RequestError::Destinations);
        }
        let key =
            KeyReference { name: request.source.clone(), generation: keys.generation, epoch: keys.epoch };
        Ok(Self::write(key, request, &keys.request))
    }

    /// Any metadata, signed with the key that `reference` names.
    pub(crate) fn write(reference: KeyReference, metadata: &impl Serialize, key: &RequestKey) -> Self {
        // Strings and numbers only: there is nothing that JSON could not say.
        let json = serde_json::to_vec(metadata).unwrap_or_default();
        let metadata = base64url(&json);
        let signature = key.sign(metadata.as_bytes());
        Self { key: reference, metadata: metadata.into(), signature }
    }

    /// The JSON to send.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: there is nothing that JSON could not say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Which key signed a request: a hint, believed only once the signature holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyReference {
    /// The party.
    pub name: Name,
    /// The generation of its key.
    pub generation: Generation,
    /// The epoch of its key.
    pub epoch: Epoch,
}

/// 16 random bytes that name one request. The KDC accepts each once; the reply repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(#[serde(with = "codec::b64")] pub [u8; 16]);

impl Nonce {
    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// 16 random bytes that name one process: two that alternate under one key are a cloned key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(#[serde(with = "codec::b64")] pub [u8; 16]);

impl Instance {
    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// Why a request is refused before its meaning is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not the JSON of a request.
    #[error("the request does not have the form of one")]
    Malformed,
    /// The signature does not belong to this key and metadata.
    #[error("the request's signature does not hold")]
    Forged,
    /// The signed source is not the key's owner.
    #[error("the request is signed by another party than its source")]
    Source,
    /// No destination, or more than [`TicketRequest::MAX_DESTINATIONS`]; more groups than
    /// [`GroupKeysRequest::MAX_GROUPS`](crate::GroupKeysRequest::MAX_GROUPS).
    #[error("a request names 1 to 1,000 destinations, or at most 100 groups")]
    Destinations,
    /// The signing key in it did not sign the proof that the party holds it.
    #[error("the request does not prove that the party holds the signing key")]
    Possession,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LongTermKey;

    fn request() -> TicketRequest {
        TicketRequest {
            source: "a@z".parse().unwrap(),
            destinations: vec!["b@z".parse().unwrap(), "c@z".parse().unwrap()],
            timestamp: UnixMillis(1_766_000_000_123),
            nonce: Nonce([1; 16]),
            instance: Instance([2; 16]),
        }
    }

    fn keys(byte: u8) -> Subkeys {
        LongTermKey::new(Generation(1), Epoch(20_000), [byte; 32]).subkeys()
    }

    #[test]
    fn what_is_signed_is_what_is_read() {
        let json = SignedRequest::sign(&request(), &keys(1)).unwrap().to_json();
        let signed = SignedRequest::parse(&json).unwrap();
        assert_eq!(signed.key().name, request().source);
        assert_eq!(signed.verify(&keys(1).request), Ok(request()));
        assert_eq!(signed.verify(&keys(2).request), Err(RequestError::Forged));
    }

    #[test]
    fn nobody_asks_in_anothers_name() {
        let json = SignedRequest::sign(&request(), &keys(1)).unwrap().to_json();
        let mut signed = SignedRequest::parse(&json).unwrap();
        signed.key.name = "c@z".parse().unwrap();
        assert_eq!(signed.verify(&keys(1).request), Err(RequestError::Source));
    }

    #[test]
    fn a_changed_byte_is_a_forgery_or_no_request() {
        let json = SignedRequest::sign(&request(), &keys(1)).unwrap().to_json();
        for at in 0..json.len() {
            for bit in 0..8 {
                let mut changed = json.clone();
                changed[at] ^= 1 << bit;
                let outcome = SignedRequest::parse(&changed).and_then(|signed| {
                    // The KDC looks the key up by what `key` says.
                    if signed.key == SignedRequest::parse(&json)?.key {
                        signed.verify(&keys(1).request)
                    } else {
                        Err(RequestError::Forged)
                    }
                });
                assert!(outcome.is_err(), "bit {bit} of byte {at} does not matter");
            }
        }
    }

    #[test]
    fn the_number_of_destinations_is_bounded() {
        let mut none = request();
        none.destinations.clear();
        assert_eq!(SignedRequest::sign(&none, &keys(1)).unwrap_err(), RequestError::Destinations);
        let mut many = request();
        many.destinations = vec!["b@z".parse().unwrap(); 1001];
        assert_eq!(SignedRequest::sign(&many, &keys(1)).unwrap_err(), RequestError::Destinations);
        many.destinations.pop();
        let json = SignedRequest::sign(&many, &keys(1)).unwrap().to_json();
        assert_eq!(SignedRequest::parse(&json).unwrap().verify(&keys(1).request), Ok(many));
    }
}
