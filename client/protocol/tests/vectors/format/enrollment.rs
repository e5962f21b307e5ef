//! How a host comes into a cell.

use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::{Expect, Hex};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrollmentCase {
    pub(crate) case: String,
    pub(crate) identity_seed: Hex,
    pub(crate) host_seed: Hex,
    pub(crate) eseed: Hex,
    pub(crate) json: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spaces_up_to: Option<usize>,
    pub(crate) expect: Expect<Enrolling>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolling {
    pub(crate) request: Asked,
    pub(crate) name: String,
    pub(crate) public_key: Hex,
    pub(crate) digest: Hex,
    pub(crate) shared_secret: Hex,
    pub(crate) long_term_key: Hex,
    pub(crate) reply_key: Hex,
}

/// What a host says, and to whom.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) zone: String,
    pub(crate) identity: String,
    pub(crate) service: String,
    pub(crate) host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    pub(crate) timestamp: u64,
    pub(crate) nonce: Hex,
    pub(crate) instance: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrollmentReplyCase {
    pub(crate) case: String,
    pub(crate) identity_seed: Hex,
    pub(crate) signing_key: Hex,
    pub(crate) host_seed: Hex,
    pub(crate) eseed: Hex,
    pub(crate) request: Asked,
    pub(crate) reply_key: Hex,
    pub(crate) json: String,
    pub(crate) expect: Expect<Answer>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Answer {
    Enrolled(Enrolled),
    Pending { server_time: u64, retry_after: u32 },
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolled {
    pub(crate) server_time: u64,
    pub(crate) name: String,
    pub(crate) generation: u32,
    pub(crate) epoch: u32,
    pub(crate) state: String,
    pub(crate) ratchet_period: u32,
    pub(crate) bundle: Bundle,
}

/// Whether anything can be written to a key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncryptionKeyCase {
    pub(crate) case: String,
    pub(crate) encryption_key: Hex,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceCase {
    pub(crate) case: String,
    pub(crate) service: String,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostCase {
    pub(crate) case: String,
    pub(crate) host: String,
    pub(crate) expect: Expect<()>,
}

/// A host's name as its own system says it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnHostCase {
    pub(crate) case: String,
    pub(crate) said: String,
    pub(crate) expect: Expect<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolledNameCase {
    pub(crate) case: String,
    pub(crate) name: String,
    pub(crate) expect: Expect<EnrolledParts>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolledParts {
    pub(crate) service: String,
    pub(crate) host: String,
    pub(crate) fingerprint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FingerprintCase {
    pub(crate) case: String,
    pub(crate) fingerprint: String,
    pub(crate) public_key: Hex,
    pub(crate) expect: Expect<()>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinTokenCase {
    pub(crate) case: String,
    pub(crate) token: String,
    pub(crate) verifier: Hex,
    pub(crate) expect: Expect<String>,
}
