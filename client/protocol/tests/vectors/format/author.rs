//! Vouchers, proofs of authors, evidence, and bodies that travel apart.

use serde::{Deserialize, Serialize};

use super::{Expect, Hex, Key};

/// Another zone's KDC's signing keys.
#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct ZoneSigners {
    pub(crate) zone: String,
    pub(crate) signers: Vec<Hex>,
}

/// A KDC's signing key, and the zone that it speaks for.
#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signer {
    pub(crate) zone: String,
    pub(crate) key: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoucherCase {
    pub(crate) case: String,
    pub(crate) signers: Vec<Signer>,
    pub(crate) at: u64,
    pub(crate) voucher: Hex,
    pub(crate) expect: Expect<Voucher>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Voucher {
    pub(crate) signer: Hex,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) name: String,
    pub(crate) public_key: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoucherRequestCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) json: String,
    pub(crate) expect: Expect<VoucherRequest>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoucherRequest {
    pub(crate) source: String,
    pub(crate) public_key: Hex,
    pub(crate) proof: Hex,
    pub(crate) timestamp: u64,
    pub(crate) nonce: Hex,
    pub(crate) instance: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoucherReplyCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) request: VoucherRequest,
    pub(crate) json: String,
    pub(crate) expect: Expect<VoucherReply>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct VoucherReply {
    pub(crate) server_time: u64,
    pub(crate) renew_after: u64,
    pub(crate) signers: Vec<Hex>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted: Vec<ZoneSigners>,
    pub(crate) voucher: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) signers: Vec<Signer>,
    pub(crate) message: Hex,
    pub(crate) expect: Expect<Authored>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authored {
    pub(crate) source: String,
    pub(crate) body: Hex,
    pub(crate) voucher: Voucher,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContentCase {
    pub(crate) case: String,
    pub(crate) part: Hex,
    pub(crate) common: Hex,
    pub(crate) expect: Expect<Hex>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceCase {
    pub(crate) case: String,
    pub(crate) signers: Vec<Signer>,
    pub(crate) evidence: Hex,
    pub(crate) expect: Expect<Said>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) topic: String,
    pub(crate) sent_at: u64,
    pub(crate) expiration: u64,
    pub(crate) sequence: u64,
    pub(crate) body: Hex,
    pub(crate) voucher: Voucher,
}
