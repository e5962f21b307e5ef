//! Trust between zones. Patterns and fingerprints are texts here; the KDC reads them, and says which field is wrong.

use keycell_protocol::{Bundle, Generation, IdentityName, UnixMillis, Zone};
use serde::{Deserialize, Serialize};

use super::policy::given;
use crate::limit::Rate;
use crate::policy::Mode;
use crate::trust::Direction;

/// What a trust looks like from outside: all but its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustView {
    /// Which way it goes, seen from this zone.
    pub direction: Direction,
    /// The other zone.
    pub zone: Zone,
    /// Grows with every change: the `ETag`.
    pub revision: u64,
    /// Whether tickets are given by it.
    pub enabled: bool,
    /// Whether its lists are in force, or only watched.
    pub mode: Mode,
    /// Who may speak: patterns on names of the zone whose parties speak.
    pub sources: Vec<String>,
    /// To whom: patterns on names of the zone that is spoken to.
    pub destinations: Vec<String>,
    /// How long tickets last at most; absent for as long as the zone's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// How many tickets it is good for.
    pub rate: Rate,
    /// Whether each ticket is a line of the log.
    pub log_tickets: bool,
    /// What an administrator wants to remember of it.
    pub note: String,
    /// The identities of the other zone's KDC, the one that it works with first.
    pub identities: Vec<IdentityName>,
    /// The fingerprint of those.
    pub fingerprint: String,
    /// Of an outgoing trust: where the other zone's KDCs are, in the order in which they are tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The generation of the key that it is asked with; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Of an incoming trust: the generation of the key that was offered, or fetched, and is not used yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Generation>,
    /// Whether an administrator asked for another key, and there is none yet.
    pub rotation_asked: bool,
    /// When the other zone's KDC last answered the one that is asked now, or last asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<UnixMillis>,
    /// Of an outgoing trust: when that KDC last asked for anything by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<UnixMillis>,
    /// What came of that: `ok`, `refused`, `overloaded`, `timeout`, `unreachable` or `garbage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<String>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

/// All trusts of the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustList {
    /// The incoming ones first, each in the order of their zones.
    pub trusts: Vec<TrustView>,
}

/// What an administrator says of a trust; what is absent stays, or is as usual where it is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustPatch {
    /// Whether tickets are given by it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether its lists are in force, or only watched.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Who may speak: all patterns, 1 to 32, on names of the zone whose parties speak.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// To whom: all patterns, 1 to 32, on names of the zone that is spoken to.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// 10 to 86,400; `null` for as long as the zone's own.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<Option<u32>>,
    /// How many tickets it is good for; the burst is at least 1,000. `null` goes back to the usual rate.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub rate: Option<Option<Rate>>,
    /// Whether each ticket is a line of the log.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub log_tickets: Option<bool>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The other zone's bundle as it is now: other URLs, roots or identities.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Bundle>,
    /// The fingerprint of that bundle, as the other zone's administrator told it by another way; needed where it has identities
    /// that are not known yet.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// A trust that is to be offered to another zone, or offered anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTrustOffer {
    /// The bundle of the zone that it is offered to.
    pub bundle: Bundle,
    /// The fingerprint of that bundle, as the other zone's administrator told it by another way; needed where that zone is
    /// trusted already, and the bundle has identities that are not known yet.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Who of that zone may speak; needed the first time.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// To whom of this zone; needed the first time.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// 10 to 86,400.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<Option<u32>>,
    /// The burst is at least 1,000.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub rate: Option<Option<Rate>>,
    /// Whether its lists are in force, or only watched.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether each ticket is a line of the log.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub log_tickets: Option<bool>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How long the offer can be accepted: 60 to 604,800, or to 86,400 where the zone has a key already; a day without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub valid_seconds: Option<u32>,
}

/// A trust that was offered, with the offer.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrustOffered {
    /// The trust.
    pub trust: TrustView,
    /// The text that the other zone accepts. The key in it is sealed to that zone's KDC.
    pub offer: String,
    /// Until when it can be accepted.
    pub expires_at: UnixMillis,
    /// The fingerprint of this zone's identities: what the other zone's administrator is to be told by another way.
    pub fingerprint: String,
}

/// An offer of another zone that is to be accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTrust {
    /// The text of the offer.
    pub offer: String,
    /// The fingerprint of the identities of the zone that offers, as its administrator told it by another way; not needed
    /// where that zone is trusted already.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Who of this zone may speak; needed the first time.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
    /// To whom of the zone that offers; needed the first time.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub destinations: Option<Vec<String>>,
    /// 10 to 86,400.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<Option<u32>>,
    /// The burst is at least 1,000.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub rate: Option<Option<Rate>>,
    /// Whether its lists are in force, or only watched.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Whether each ticket is a line of the log.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub log_tickets: Option<bool>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
