//! Groups: their keys, and asking for them.

use serde::{Deserialize, Serialize};

use super::author::ZoneSigners;
use super::{Expect, Hex, Key};

/// A chain from which a group's keys are made, at one generation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chain {
    pub(crate) generation: u32,
    pub(crate) secret: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupKeyCase {
    pub(crate) case: String,
    pub(crate) chain: Chain,
    pub(crate) generation: u32,
    pub(crate) key: Hex,
    pub(crate) expect: Expect<Hex>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRequestCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) json: String,
    pub(crate) expect: Expect<GroupRequest>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRequest {
    pub(crate) source: String,
    pub(crate) groups: Vec<String>,
    pub(crate) timestamp: u64,
    pub(crate) nonce: Hex,
    pub(crate) instance: Hex,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupReplyCase {
    pub(crate) case: String,
    pub(crate) key: Key,
    pub(crate) request: GroupRequest,
    pub(crate) json: String,
    pub(crate) expect: Expect<GroupReply>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupReply {
    pub(crate) server_time: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rotate: bool,
    pub(crate) signers: Vec<Hex>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted: Vec<ZoneSigners>,
    pub(crate) groups: Vec<GroupOutcome>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum GroupOutcome {
    Granted {
        group: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        author_proof: bool,
        refresh_at: u64,
        spread: u64,
        keys: Vec<GroupKey>,
    },
    Refused {
        group: String,
        problem: Option<String>,
    },
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupKey {
    pub(crate) generation: u32,
    pub(crate) begins: u64,
    pub(crate) ends: u64,
    pub(crate) secret: Hex,
}
