//! Zones that trust each other.

use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::{Expect, Hex, Key, Reply};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerRequestCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) json: String,
    pub(crate) expect: Expect<PeerRequest>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerRequest {
    pub(crate) source: String,
    pub(crate) requests: Vec<Pair>,
    pub(crate) lifetime: u32,
    pub(crate) correlation: Hex,
    pub(crate) timestamp: u64,
    pub(crate) nonce: Hex,
    pub(crate) instance: Hex,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    pub(crate) source: String,
    pub(crate) destination: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerReplyCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) request: PeerRequest,
    pub(crate) json: String,
    pub(crate) expect: Expect<Reply>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustOfferCase {
    pub(crate) case: String,
    pub(crate) receiver: Receiver,
    pub(crate) by: By,
    pub(crate) signing_seed: Hex,
    pub(crate) eseed: Hex,
    pub(crate) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spaces_up_to: Option<usize>,
    pub(crate) expect: Expect<Offered>,
}

/// Who is to take an offer, and when.
#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receiver {
    pub(crate) zone: String,
    pub(crate) identity: String,
    pub(crate) identity_seed: Hex,
    pub(crate) now: u64,
}

/// By what it is known who offers.
#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum By {
    Fingerprint(String),
    Known(String),
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offered {
    pub(crate) zone: String,
    pub(crate) to: String,
    pub(crate) identity: String,
    pub(crate) bundle: Bundle,
    pub(crate) key: Key,
    pub(crate) ratchet_period: u32,
    pub(crate) state: String,
    pub(crate) made_at: u64,
    pub(crate) expires_at: u64,
}

/// What somebody read out, held against a bundle.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BundleFingerprintCase {
    pub(crate) case: String,
    pub(crate) bundle: String,
    pub(crate) said: String,
    pub(crate) expect: Expect<String>,
}
