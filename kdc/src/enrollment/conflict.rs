//! Two that say to be one: another key under the name of a known host, or one key in two places.

use std::net::IpAddr;

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::Alternation;
use crate::named::named;

/// The body of the document of a conflict; its id is the local name of the party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConflictRecord {
    /// The party.
    pub party: Name,
    /// There are others of the same service and host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_host: Option<SameHost>,
    /// Its key is used in two places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// The document's own.
    #[serde(skip)]
    pub revision: u64,
}

impl ConflictRecord {
    /// Nothing yet of that party.
    #[must_use]
    pub const fn new(party: Name) -> Self {
        Self { party, same_host: None, copies: None, revision: 0 }
    }

    /// What it is of.
    pub fn kinds(&self) -> impl Iterator<Item = ConflictKind> {
        let copies = self.copies.as_ref().map(|copies| match copies.kind {
            CopiesKind::Clone => ConflictKind::Clone,
            CopiesKind::Shared => ConflictKind::Shared,
        });
        copies.into_iter().chain(self.same_host.as_ref().map(|_| ConflictKind::SameHost))
    }

    /// Takes in that its key is used in two places. Says whether that is to be told: the first time, where it became worse,
    /// from other places an hour later, and a day later in any case.
    pub fn copied(&mut self, found: &Alternation) -> bool {
        let Alternation { kind, mut addresses, at, both: _ } = *found;
        // Which of the two came back says nothing of them.
        addresses.sort_unstable();
        let first_at = match &self.copies {
            None => at,
            Some(known) => {
                let worse = (known.kind, kind) == (CopiesKind::Shared, CopiesKind::Clone);
                let better = (known.kind, kind) == (CopiesKind::Clone, CopiesKind::Shared);
                let since = at.0.saturating_sub(known.last_at.0);
                let moved = known.addresses != addresses && since >= HOUR_MS;
                if better || !(worse || moved || since >= DAY_MS) {
                    return false;
                }
                known.first_at
            }
        };
        self.copies = Some(Copies { kind, addresses, first_at, last_at: at });
        true
    }
}

/// A host that was known by another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameHost {
    /// Some of the others, at most [`MOST`](Self::MOST).
    pub others: Vec<Name>,
    /// Where the party came from.
    pub address: IpAddr,
    /// When.
    pub at: UnixMillis,
}

impl SameHost {
    /// How many others are named.
    pub const MOST: usize = 8;
    /// How many keys may come in by themselves as one service and host.
    pub const KEYS: usize = 9;
}

/// A key that is used in two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// What it looks like.
    pub kind: CopiesKind,
    /// The places, in their order.
    pub addresses: [IpAddr; 2],
    /// When it was first seen.
    pub first_at: UnixMillis,
    /// When it was last told of: a day after the time before, where it goes on.
    pub last_at: UnixMillis,
}

named! {
    /// What a conflict is of.
    ConflictKind(UnknownConflictKind, "a conflict is clone, shared or same-host") {
        /// A key is used at two addresses.
        Clone = "clone",
        /// A key is used by two processes at one address.
        Shared = "shared",
        /// A host came with another key than it was known by.
        SameHost = "same-host",
    }
}

named! {
    /// What two copies of a key look like.
    CopiesKind(UnknownCopiesKind, "copies are a clone, or a key that is shared") {
        /// Two addresses in turn: a machine with its key store was copied.
        Clone = "clone",
        /// Two processes behind one address: two agents use one key file, or a copy is behind the same address.
        Shared = "shared",
    }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: CopiesKind, hosts: [u8; 2], at: u64) -> Alternation {
        let addresses = hosts.map(|host| IpAddr::from([192, 0, 2, host]));
        Alternation { kind, addresses, at: UnixMillis(at), both: false }
    }

    #[test]
    fn copies_are_told_of_when_there_is_something_new() {
        use CopiesKind::{Clone, Shared};
        let mut record = ConflictRecord::new("a@z".parse().unwrap());
        assert!(record.copied(&found(Shared, [1, 1], 100)));
        assert!(!record.copied(&found(Shared, [1, 1], 200)));
        assert!(!record.copied(&found(Shared, [3, 3], 100 + HOUR_MS - 1)), "it moves all the time");
        assert!(record.copied(&found(Shared, [3, 3], 100 + HOUR_MS)));
        let now = 200 + HOUR_MS;
        assert!(record.copied(&found(Clone, [3, 2], now)), "worse");
        assert!(!record.copied(&found(Clone, [2, 3], now + HOUR_MS)), "the same two");
        assert!(!record.copied(&found(Shared, [2, 2], now + 3 * DAY_MS)), "not as bad as is known");
        assert!(!record.copied(&found(Clone, [2, 3], now + DAY_MS - 1)));
        assert!(record.copied(&found(Clone, [2, 3], now + DAY_MS)));
        let copies = record.copies.unwrap();
        assert_eq!((copies.first_at, copies.last_at), (UnixMillis(100), UnixMillis(now + DAY_MS)));
        assert_eq!(copies.addresses.map(|address| address.to_string()), ["192.0.2.2", "192.0.2.3"]);
    }
}
