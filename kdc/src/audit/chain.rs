//! The chain: each record holds the hash of itself and of all before it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use keycell_protocol::{UnixMillis, Zone};

use super::{Event, hex};
use crate::fields::fields;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The end of a chain: where the next record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The number of the last record; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Link {
    /// Before the first record of a zone.
    #[must_use]
    pub fn origin(zone: &Zone) -> Self {
        Self { seq: 0, hash: sha256(&fields(&[b"keycell audit origin 1", zone.as_str().as_bytes()])) }
    }

    /// The record of `event` at the end of this chain.
    #[must_use]
    pub fn next(&self, event: &Event) -> Record {
        let mut record = Record {
            seq: self.seq.saturating_add(1),
            at: event.at,
            actor: storable(&event.actor.to_string()),
            action: event.action.to_string(),
            target: storable(&event.target),
            outcome: event.outcome.to_string(),
            request: storable(event.request.as_deref().unwrap_or_default()),
            address: event.address.map(|address| address.to_string()).unwrap_or_default(),
            detail: event.detail.to_string(),
            hash: Hash::default(),
        };
        record.hash = record.hash_after(&self.hash);
        record
    }
}

/// `SEQ:HASH`, the hash in hexadecimal: short enough to be noted down on paper.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(&self.hash))
    }
}

impl FromStr for Link {
    type Err = NotALink;

    fn from_str(text: &str) -> Result<Self, NotALink> {
        let (seq, hash) = text.split_once(':').ok_or(NotALink)?;
        Ok(Self { seq: seq.parse().map_err(|_| NotALink)?, hash: hex::decode(hash).ok_or(NotALink)? })
    }
}

/// A text that is no [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record is noted as SEQ:HASH, the hash in 64 hexadecimal digits, as `keycell audit seal` prints it"
)]
pub struct NotALink;

/// An event in its place: texts, so that records of other releases hold too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number: 1 for the first, none left out.
    pub seq: u64,
    /// When it happened.
    pub at: UnixMillis,
    /// Who did it.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub target: String,
    /// How it ended.
    pub outcome: String,
    /// The request's name in the log, or empty.
    pub request: String,
    /// Where the request came from, or empty.
    pub address: String,
    /// What else is worth knowing, as JSON.
    pub detail: String,
    /// The hash of all this and of the record before.
    pub hash: Hash,
}

impl Record {
    /// The chain that ends here.
    #[must_use]
    pub const fn link(&self) -> Link {
        Link { seq: self.seq, hash: self.hash }
    }

    /// The hash that this record has after one with the hash `previous`.
    #[must_use]
    pub fn hash_after(&self, previous: &Hash) -> Hash {
        sha256(&fields(&[
            b"keycell audit record 1",
            previous,
            &self.seq.to_be_bytes(),
            &self.at.0.to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.target.as_bytes(),
            self.outcome.as_bytes(),
            self.request.as_bytes(),
            self.address.as_bytes(),
            self.detail.as_bytes(),
        ]))
    }
}

/// PostgreSQL takes no NUL in a text, and what somebody else sent must not keep an event out of the log.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn sha256(data: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, data).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_through_its_text() {
        let link = Link { seq: 17, hash: [0xa5; 32] };
        assert_eq!(link.to_string(), format!("17:{}", "a5".repeat(32)));
        assert_eq!(link.to_string().parse(), Ok(link));
        assert_eq!(link.to_string().to_uppercase().parse(), Ok(link));
        for bad in [
            "",
            "17",
            "17:",
            ":",
            "17:a5",
            "x:00",
            &format!("-1:{}", "a5".repeat(32)),
            &format!("17:{}é", "a".repeat(62)),
        ] {
            assert_eq!(bad.parse::<Link>(), Err(NotALink), "{bad}");
        }
    }
}
