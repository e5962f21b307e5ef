//! What the KDC answers to a member.

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{GroupKey, GroupKeysRequest, HeldKey};
use crate::aead::{TAG, XNonce};
use crate::codec::Reader;
use crate::key::Generation;
use crate::name::Name;
use crate::problem::ProblemType;
use crate::purpose::{GroupKeys, KeysFor};
use crate::reply::{self, ReplyError, SealedReply};
use crate::request::Nonce;
use crate::signer::{SignerKey, TrustedSigners, ZoneSigners};
use crate::time::{UnixMillis, UnixSeconds};

/// Writes the reply to one request, group by group.
pub struct GroupKeysWriter<'a> {
    metadata: Metadata<'a>,
    keys: Vec<GroupKey>,
}

impl<'a> GroupKeysWriter<'a> {
    /// An empty reply to `request`. `signers` are the KDC's own, whose vouchers hold.
    #[must_use]
    pub fn new(request: &'a GroupKeysRequest, server_time: UnixMillis, signers: &[SignerKey]) -> Self {
        Self {
            metadata: Metadata {
                source: Cow::Borrowed(&request.source),
                nonce: request.nonce,
                server_time,
                rotate: false,
                signers: signers.to_vec(),
                trusted: Vec::new(),
                groups: Vec::with_capacity(request.groups.len()),
            },
            keys: Vec::new(),
        }
    }

    /// Asks the source to rotate its key as soon as it can (docs/protocol.md §4.4).
    pub const fn ask_to_rotate(&mut self) {
        self.metadata.rotate = true;
    }

    /// Whose vouchers hold for the names of other zones.
    pub fn trust(&mut self, trusted: &TrustedSigners) {
        self.metadata.trusted = trusted.iter().cloned().collect();
    }

    /// Gives the source the keys of a group.
    pub fn grant(&mut self, group: HeldGroup) {
        let HeldGroup { group, author_proof, refresh_at, spread, keys } = group;
        let told = keys.iter().map(|held| Key {
            generation: held.key.generation(),
            begins: held.begins,
            ends: held.ends,
        });
        self.metadata.groups.push(Entry {
            group: Cow::Owned(group),
            author_proof,
            refresh_at: Some(refresh_at),
            spread: Some(spread),
            keys: told.collect(),
            problem: None,
        });
        self.keys.extend(keys.into_iter().map(|held| held.key));
    }

    /// Tells the source why it gets no keys of a group.
    pub fn refuse(&mut self, group: &'a Name, problem: ProblemType) {
        self.metadata.groups.push(Entry {
            group: Cow::Borrowed(group),
            author_proof: false,
            refresh_at: None,
            spread: None,
            keys: Vec::new(),
            problem: Some(Cow::Borrowed(problem.urn())),
        });
    }

    /// Seals the reply for the source and returns the JSON to send.
    pub fn seal(self, keys: &KeysFor<GroupKeys>, rng: &mut impl CryptoRng) -> Vec<u8> {
        let Self { metadata, keys: given } = self;
        // Never grown, so that no half-filled buffer with keys in it is left behind. The nonce goes in front.
        let size = XNonce::SIZE + given.len() * GroupKey::SIZE + TAG;
        let mut records = Zeroizing::new(Vec::with_capacity(size));
        records.extend_from_slice(&[0; XNonce::SIZE]);
        given.iter().for_each(|key| records.extend_from_slice(key.secret()));
        reply::write(&metadata, records, &keys.reply, rng)
    }
}

/// The KDC's answer as it travels.
#[derive(Debug)]
pub struct SealedGroupKeys<'a>(SealedReply<'a>);

impl<'a> SealedGroupKeys<'a> {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    /// [`ReplyError::Malformed`] when it is none.
    pub fn parse(json: &'a [u8]) -> Result<Self, ReplyError> {
        SealedReply::parse(json).map(Self)
    }

    /// Opens the answer with the keys that signed `request`, and checks that it answers just that request.
    ///
    /// # Errors
    /// [`ReplyError`]; then nothing of the answer may be used.
    pub fn open(
        &self,
        keys: &KeysFor<GroupKeys>,
        request: &GroupKeysRequest,
    ) -> Result<GroupKeysReply, ReplyError> {
        let (metadata, records) = self.0.read::<Metadata<'_>>(&keys.reply)?;
        if *metadata.source != request.source || metadata.nonce != request.nonce {
            return Err(ReplyError::AnotherRequest);
        }
        let told = metadata.groups.iter().map(|entry| entry.group.as_ref());
        if metadata.groups.len() > GroupKeysRequest::MAX_GROUPS
            || (!request.groups.is_empty() && !told.eq(request.groups.iter()))
        {
            return Err(ReplyError::Destinations);
        }
        let zone = request.source.zone();
        let trusted = TrustedSigners::new(zone, metadata.trusted).map_err(|_| ReplyError::Malformed)?;
        let mut records = Reader::new(records.bytes());
        let groups = metadata.groups.into_iter().map(|entry| entry.read(&mut records));
        let groups = groups.collect::<Result<_, _>>()?;
        if !records.is_empty() {
            return Err(ReplyError::Malformed);
        }
        Ok(GroupKeysReply {
            server_time: metadata.server_time,
            rotate: metadata.rotate,
            signers: metadata.signers,
            trusted,
            groups,
        })
    }
}

/// What the KDC answered.
#[derive(Debug)]
pub struct GroupKeysReply {
    /// The KDC's clock when it answered.
    pub server_time: UnixMillis,
    /// Whether the KDC asks for a new key: the party is to rotate when it can.
    pub rotate: bool,
    /// Whose vouchers hold in this zone.
    pub signers: Vec<SignerKey>,
    /// And whose of the zones that this one trusts: no others, if there are `signers`.
    pub trusted: TrustedSigners,
    /// One for each group asked for, in that order; or all that the party is a member of.
    pub groups: Vec<GroupOutcome>,
}

/// What came of one group.
#[derive(Debug)]
pub enum GroupOutcome {
    /// Its keys.
    Granted(HeldGroup),
    /// Why there are none.
    Refused {
        /// The group.
        group: Name,
        /// The reason; `None` when a newer KDC gave one that is not known here.
        problem: Option<ProblemType>,
    },
}

/// What a member holds of a group.
#[derive(Debug, Clone)]
pub struct HeldGroup {
    /// The group.
    pub group: Name,
    /// Whether a message to the group opens only with a proof of its author.
    pub author_proof: bool,
    /// When to ask again.
    pub refresh_at: UnixMillis,
    /// Over how many milliseconds members spread themselves when a key is used that they were not told of.
    pub spread: u64,
    /// Its keys by generation: those that still open, the one in use, the next.
    pub keys: Vec<HeldKey>,
}

impl HeldGroup {
    /// The most keys that make sense: 16 chains that have ended, with two keys each, and the three of the one in force.
    pub const MAX_KEYS: usize = 40;
}

#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    source: Cow<'a, Name>,
    nonce: Nonce,
    server_time: UnixMillis,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    rotate: bool,
    signers: Vec<SignerKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trusted: Vec<ZoneSigners>,
    groups: Vec<Entry<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    group: Cow<'a, Name>,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    author_proof: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_at: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spread: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
struct Key {
    generation: Generation,
    begins: UnixSeconds,
    ends: UnixSeconds,
}

impl Entry<'_> {
    fn read(self, records: &mut Reader<'_>) -> Result<GroupOutcome, ReplyError> {
        let group = self.group.into_owned();
        match (self.refresh_at, self.spread, self.problem) {
            (Some(refresh_at), Some(spread), None)
                if (1..=HeldGroup::MAX_KEYS).contains(&self.keys.len())
                    && self.keys.is_sorted_by(|a, b| a.generation < b.generation)
                    && self.keys.iter().all(|key| key.begins < key.ends) =>
            {
                let read = |Key { generation, begins, ends }| {
                    let secret = Zeroizing::new(*records.array::<{ GroupKey::SIZE }>()?);
                    Ok(HeldKey { key: GroupKey::new(generation, *secret), begins, ends })
                };
                let keys = self.keys.into_iter().map(read).collect::<Result<_, ReplyError>>()?;
                let author_proof = self.author_proof;
                Ok(GroupOutcome::Granted(HeldGroup { group, author_proof, refresh_at, spread, keys }))
            }
            (None, None, Some(problem)) if self.keys.is_empty() => {
                Ok(GroupOutcome::Refused { group, problem: problem.parse().ok() })
            }
            _ => Err(ReplyError::Malformed),
        }
    }
}
