//! Parties in bulk: one streaming call, a line in, a line out.

use keycell_protocol::{Epoch, Generation, RatchetPeriod, SignerKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policy::given;

/// One line of `application/x-ndjson` that is sent. In `text/csv` the first line names the columns: `name`, and any of
/// `key`, `note`, `log_tickets`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// A full name, or a local one of this zone.
    pub name: String,
    /// 32 bytes in base64url; the KDC draws the key without it, and then a line cannot be sent twice.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
    /// What to remember of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether each ticket that it gets is to be a line of the log.
    #[serde(default)]
    pub log_tickets: bool,
}

/// One line of the answer. Lines that belong together are durable when the first of them arrives.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImportLine {
    /// The last line: all that was sent is dealt with. Without it the call was cut off.
    Summary {
        /// What was done.
        summary: ImportSummary,
    },
    /// What became of one line.
    Row(Imported),
}

/// What became of one line.
#[derive(Serialize, Deserialize)]
pub struct Imported {
    /// The line's number, from 1; in CSV the line of names does not count.
    pub line: u64,
    /// The name as it was sent, or as far as it could be read.
    pub name: String,
    /// What became of it.
    pub outcome: ImportOutcome,
    /// The generation of its key, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The epoch of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The key, if the KDC drew it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
    /// What is wrong with the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    /// A party was made.
    Created,
    /// It was there already, with this very key.
    Unchanged,
    /// There is a party of that name with another key. Nothing was changed.
    Exists,
    /// The line cannot be used.
    Invalid,
    /// The KDC could not do it; send the line again.
    Failed,
}

/// What a whole call did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSummary {
    /// Lines read.
    pub lines: u64,
    /// Parties made.
    pub created: u64,
    /// There already, with the key that was sent.
    pub unchanged: u64,
    /// There already, with another key.
    pub exists: u64,
    /// Lines that cannot be used.
    pub invalid: u64,
    /// Lines to send again.
    pub failed: u64,
    /// The length of an epoch in this zone.
    pub ratchet_period: RatchetPeriod,
    /// Where the zone's KDCs are.
    pub urls: Vec<String>,
    /// By which keys the zone's KDC vouches for authors; a KDC of an earlier release names none.
    #[serde(default)]
    pub signers: Vec<SignerKey>,
}
