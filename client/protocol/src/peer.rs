//! What one KDC asks another for: tickets for its own parties (docs/protocol.md §12).
//!
//! ```text
//! {"key": {"name", "generation", "epoch"}, "metadata": M, "signature": base64url(HMAC(sub(K, "keycell/1 peer request"), M))}
//! M = base64url({"source", "requests": [{"source", "destination"}], "lifetime", "correlation", "timestamp", "nonce", "instance"})
//! ```
//!
//! The zone that asks is a principal of the zone that it asks, `#ZONE#asking@asked`, and K is that one's long-term key. The
//! answer has the form of a [reply](crate::SealedReply), under `keycell/1 peer reply`.

use core::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::name::Name;
use crate::purpose::{KeysFor, Peers};
use crate::request::{Instance, KeyReference, Nonce, RequestError, SignedRequest};
use crate::time::UnixMillis;

/// What a zone asks for. On the side of the KDC that is asked the only way to one is [`SignedPeerRequest::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerRequest {
    /// The zone's [principal](Name::of_zone).
    pub source: Name,
    /// Who of it wants to speak to whom, at most [`MAX_REQUESTS`](Self::MAX_REQUESTS); none at all to see whether the other
    /// KDC is there.
    pub requests: Vec<PeerPair>,
    /// How long the tickets may last, in seconds.
    #[serde(rename = "lifetime")]
    pub lifetime_seconds: u32,
    /// By which name both KDCs tell their logs of it.
    pub correlation: Correlation,
    /// When, in Unix milliseconds.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// Different in every process that uses the key.
    pub instance: Instance,
}

impl PeerRequest {
    /// The most tickets of one request.
    pub const MAX_REQUESTS: usize = 1000;
}

/// Who wants to speak to whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerPair {
    /// A party of the zone that asks.
    pub source: Name,
    /// A party or a group of the zone that is asked.
    pub destination: Name,
}

/// 16 random bytes by which the logs of both KDCs name one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Correlation(#[serde(with = "codec::b64")] pub [u8; 16]);

impl Correlation {
    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

/// In hexadecimal.
impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A request as it travels.
///
/// `key` only selects the key that checks the signature. Nothing of the metadata is read before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPeerRequest<'a>(SignedRequest<'a>);

impl<'a> SignedPeerRequest<'a> {
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
    pub fn verify(&self, keys: &KeysFor<Peers>) -> Result<PeerRequest, RequestError> {
        let request: PeerRequest = self.0.read(&keys.request)?;
        if request.source != self.key().name {
            return Err(RequestError::Source);
        }
        if request.requests.len() > PeerRequest::MAX_REQUESTS {
            return Err(RequestError::Destinations);
        }
        Ok(request)
    }
}

impl SignedPeerRequest<'static> {
    /// Signs a request with the keys of the zone's principal.
    ///
    /// # Errors
    /// [`RequestError::Destinations`] when it asks for too many tickets.
    pub fn sign(request: &PeerRequest, keys: &KeysFor<Peers>) -> Result<Self, RequestError> {
        if request.requests.len() > PeerRequest::MAX_REQUESTS {
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

#[cfg(test)]
mod tests;
