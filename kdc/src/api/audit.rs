//! The audit log.

use keycell_protocol::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: UnixMillis,
    /// Who did it.
    pub actor: String,
    /// What, such as `party.create`.
    pub action: String,
    /// To what; may be empty.
    pub target: String,
    /// `done`, `denied` or `failed`.
    pub outcome: String,
    /// The `x-request-id` of the request; may be empty.
    pub request: String,
    /// Where it came from; may be empty.
    pub address: String,
    /// What else is worth knowing.
    pub detail: Value,
    /// The hash of this record and all before it, in hex.
    pub hash: String,
}

/// A page of records.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditPage {
    /// The newest first, unless asked for otherwise.
    pub records: Vec<AuditRecord>,
    /// What to send as `before` (newest first) or `after` (oldest first) for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// A signed statement on the chain, for an auditor to note down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSeal {
    /// The record it is of.
    pub seq: u64,
    /// That record's hash, in hex.
    pub hash: String,
    /// When it was signed.
    pub at: UnixMillis,
    /// Ed25519, in hex.
    pub signature: String,
    /// The zone's audit key, in hex: pin it.
    pub public_key: String,
}

/// What checking the whole chain found.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditReport {
    /// Whether nothing is wrong.
    pub intact: bool,
    /// How many records were checked.
    pub records: u64,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// What is wrong, each naming a row: at most 100.
    pub findings: Vec<Value>,
    /// How many findings there are in all.
    pub findings_total: u64,
    /// The head of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<AuditSeal>,
}

/// What of the log may go.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditTrim {
    /// Records from before this moment.
    pub before: UnixMillis,
    /// Only say what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was removed.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditTrimmed {
    /// How many records.
    pub removed: u64,
    /// The last of them; 0 if none.
    pub through: u64,
    /// Whether it was only a question.
    pub dry_run: bool,
}
