//! Parties and their keys.

use std::net::IpAddr;

use keycell_protocol::{
    AuthorPublicKey, Epoch, Fingerprint, Generation, HostName, IdentityName, JoinTokenId, Name,
    RatchetPeriod, ServiceName, SignerKey, UnixMillis,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policy::given;
use super::public_key;
use crate::enrollment::{Admission, EnrollmentRecord};

/// What a party looks like from outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartyView {
    /// Its full name.
    pub name: Name,
    /// Whether it may ask for tickets and be asked for.
    pub enabled: bool,
    /// How often it was changed, from 1: the `ETag`.
    pub revision: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// When it last asked for tickets, to the minute; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<UnixMillis>,
    /// Whether each ticket that it gets is a line of the log.
    pub log_tickets: bool,
    /// What an administrator wants to remember of it.
    pub note: String,
    /// Whether it is told to rotate its key when it next asks for tickets.
    #[serde(default)]
    pub rotation_due: bool,
    /// The key that it signs with as an author; absent until it registered one.
    #[serde(default, with = "public_key::optional", skip_serializing_if = "Option::is_none")]
    pub author_key: Option<AuthorPublicKey>,
    /// How it came aboard; absent of one that an administrator made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment: Option<EnrolledView>,
    /// When the last ticket ends that was given from it or to it before it was disabled; absent while it is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_until: Option<UnixMillis>,
    /// Its keys, without the keys.
    pub keys: Vec<KeyView>,
}

/// How a party came aboard by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolledView {
    /// The service that it is on its host.
    pub service: ServiceName,
    /// The host, as it said.
    pub host: HostName,
    /// Which key it proves itself with; the end of its local name.
    pub fingerprint: Fingerprint,
    /// That key.
    #[serde(with = "public_key")]
    pub public_key: AuthorPublicKey,
    /// By what it was let in.
    pub admission: Admission,
    /// The join token that it had, where it was by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_token: Option<JoinTokenId>,
    /// Which of the KDC's identities it enrolled with last.
    pub identity: IdentityName,
    /// When it first came.
    pub enrolled_at: UnixMillis,
    /// When it last did.
    pub renewed_at: UnixMillis,
    /// Where it last came from.
    pub address: IpAddr,
}

impl From<&EnrollmentRecord> for EnrolledView {
    fn from(record: &EnrollmentRecord) -> Self {
        Self {
            service: record.service.clone(),
            host: record.host.clone(),
            fingerprint: Fingerprint::of(&record.public_key),
            public_key: record.public_key,
            admission: record.admission,
            join_token: record.token,
            identity: record.identity,
            enrolled_at: record.enrolled_at,
            renewed_at: record.renewed_at,
            address: record.address,
        }
    }
}

/// What a key looks like from outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyView {
    /// Its generation.
    pub generation: Generation,
    /// `staged`, `active`, `retiring` or `dead`.
    pub state: String,
    /// The epoch it has been stepped to.
    pub epoch: Epoch,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Until when a retiring key is accepted, and a staged one waits for its party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<UnixMillis>,
}

/// The keys of a party.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyPage {
    /// By generation.
    pub keys: Vec<KeyView>,
}

/// A page of parties.
#[derive(Debug, Serialize, Deserialize)]
pub struct PartyPage {
    /// In the order of their names.
    pub parties: Vec<PartyView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// Which parties a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum PartyState {
    /// Those that may speak.
    Enabled,
    /// Those that may not.
    Disabled,
}

/// A party that is to be made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewParty {
    /// Its full name.
    pub name: Name,
    /// 32 bytes in base64url, when the administrator chooses the key. Sending the same again is harmless.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
    /// What to remember of it: at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether each ticket that it gets is to be a line of the log.
    #[serde(default)]
    pub log_tickets: bool,
}

/// A party that was made, with what its host needs.
#[derive(Serialize, Deserialize)]
pub struct CreatedParty {
    /// The party.
    pub party: PartyView,
    /// The generation of its key.
    pub generation: Generation,
    /// The epoch of its key.
    pub epoch: Epoch,
    /// The length of an epoch.
    pub ratchet_period: RatchetPeriod,
    /// The key, 32 bytes in base64url; absent when the administrator chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
    /// Where the zone's KDCs are.
    pub urls: Vec<String>,
    /// By which keys the zone's KDC vouches for authors; a KDC of an earlier release names none.
    #[serde(default)]
    pub signers: Vec<SignerKey>,
}

/// What is to be changed; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyPatch {
    /// Whether it may speak.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether all its keys are erased; only together with `"enabled": false`.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub erase_keys: Option<bool>,
    /// What to remember of it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether each ticket that it gets is to be a line of the log.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub log_tickets: Option<bool>,
}
