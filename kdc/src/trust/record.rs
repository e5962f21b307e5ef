//! A trust as it is stored.

use std::ops::RangeInclusive;

use keycell_protocol::{Bundle, Epoch, Generation, KdcIdentity, RatchetPeriod, UnixMillis, Zone};
use serde::{Deserialize, Serialize};

use crate::limit::Rate;
use crate::named::named;
use crate::policy::{Mode, Pattern};

named! {
    /// Which way a trust goes, seen from this zone.
    Direction(UnknownDirection, "a trust is incoming or outgoing") {
        /// Parties of the other zone may speak to ours: their KDC asks ours.
        Incoming = "incoming",
        /// Our parties may speak to those of the other zone: our KDC asks theirs.
        Outgoing = "outgoing",
    }
}

impl Direction {
    /// The way back.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Incoming => Self::Outgoing,
            Self::Outgoing => Self::Incoming,
        }
    }
}

/// What one zone lets another do: all but its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustRecord {
    /// Which way.
    pub direction: Direction,
    /// The other zone.
    pub zone: Zone,
    /// Whether tickets are given by it.
    pub enabled: bool,
    /// Whether `sources` and `destinations` are in force, or only watched.
    pub mode: Mode,
    /// Who may speak: patterns on names of the zone whose parties speak.
    pub sources: Vec<Pattern>,
    /// To whom: patterns on names of the zone that is spoken to.
    pub destinations: Vec<Pattern>,
    /// How long tickets last at most; as long as the zone's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// How many tickets it is good for.
    pub rate: Rate,
    /// Whether each ticket is a line of the log.
    #[serde(default)]
    pub log_tickets: bool,
    /// What an administrator wants to remember of it.
    #[serde(default)]
    pub note: String,
    /// By which keys the other zone's KDC is known.
    pub identities: Vec<KdcIdentity>,
    /// Where the other zone's KDCs are. An outgoing trust has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerRecord>,
    /// Of an incoming trust: the generation of the key that was last offered. It is for whoever accepts that, and not for
    /// whoever holds the key before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<Generation>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Grows with every change; the document's own is what counts.
    #[serde(default)]
    pub revision: u64,
}

/// Of an outgoing trust: the KDCs that are asked, and the key that they are asked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Their URLs, in the order in which to try them.
    pub urls: Vec<String>,
    /// The certificates that theirs must go back to, in PEM.
    pub tls_roots: String,
    /// How long an epoch of the key lasts: the other zone's.
    pub ratchet_period: RatchetPeriod,
    /// Which version of the secret holds the keys; `None` where they were erased, and a new offer has to be accepted.
    pub held: Option<HeldVersion>,
    /// An administrator wants another key if the active one is of this generation or before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_from: Option<Generation>,
}

/// Where the keys of an outgoing trust are, and what of them may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldVersion {
    /// The version of the secret `trust ZONE`.
    pub version: u32,
    /// The generation of the active key, or of the staged one where there is none.
    pub generation: Generation,
    /// The epoch that the keys are turned to.
    pub epoch: Epoch,
}

impl TrustRecord {
    /// The id of its document.
    #[must_use]
    pub fn id(&self) -> String {
        document_id(self.direction, &self.zone)
    }

    /// By what the other zone is known. That of an incoming trust says nothing of where its KDCs are.
    #[must_use]
    pub fn known_as(&self) -> Bundle {
        let peer = self.peer.as_ref();
        Bundle {
            zone: self.zone.clone(),
            urls: peer.map(|peer| peer.urls.clone()).unwrap_or_default(),
            tls_roots: peer.map(|peer| peer.tls_roots.clone()).unwrap_or_default(),
            identities: self.identities.clone(),
            trusted: Vec::new(),
        }
    }

    /// Takes over where the other zone's KDCs are, and by which keys they are known.
    pub fn meet(&mut self, bundle: &Bundle) {
        self.identities.clone_from(&bundle.identities);
        if let Some(peer) = &mut self.peer {
            peer.urls.clone_from(&bundle.urls);
            peer.tls_roots.clone_from(&bundle.tls_roots);
        }
    }
}

/// The id of the document of a trust.
#[must_use]
pub fn document_id(direction: Direction, zone: &Zone) -> String {
    format!("{direction} {zone}")
}

/// The name of the secret with the keys of the outgoing trust with `zone`.
#[must_use]
pub fn secret_name(zone: &Zone) -> String {
    format!("{SECRET_PREFIX}{zone}")
}

/// What the name of each such secret begins with, and no other's.
pub const SECRET_PREFIX: &str = "trust ";
/// How long tickets over a border may be made to last, in seconds.
pub const LIFETIME: RangeInclusive<u32> = 10..=86_400;
/// The most trusts of a zone.
pub const MAX_TRUSTS: usize = 64;
/// The most patterns of each list.
pub const MAX_PATTERNS: usize = 32;
/// The rate of a trust that is given none.
pub const DEFAULT_RATE: Rate = Rate::new(500, 10_000);
