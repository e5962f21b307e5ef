//! What is written in one transaction: changes, and the events that tell of them.

use std::collections::BTreeSet;

use keycell_protocol::{Epoch, Name, UnixMillis};

use super::{ChangeNumber, Damaged, PartyRecord, SecretRecord};
use crate::audit::{Event, PublicKey, Seal};

/// Changes that are made together or not at all, and the records of them.
#[derive(Debug, Clone, Default)]
pub struct Act {
    /// In their order.
    pub writes: Vec<Write>,
    /// What the audit log is to say of it, in order.
    pub events: Vec<Event>,
}

impl Act {
    /// One change and its record.
    #[must_use]
    pub fn new(write: Write, event: Event) -> Self {
        Self { writes: vec![write], events: vec![event] }
    }

    /// How many numbers it takes in the order of changes.
    pub(super) fn changes(&self) -> usize {
        self.writes.iter().filter(|write| write.is_change()).count()
    }
}

/// One change. `expected` is the revision that the thing must be at; `None` of a `Put` means that it must not exist, `None`
/// of a `Delete` that any will do.
#[derive(Debug, Clone)]
pub enum Write {
    /// Writes a party and replaces its keys. The revision that is stored is one more than `expected`; for a new party, one
    /// more than the last that its name had in an earlier life; the record's own is ignored.
    PutParty {
        /// The party.
        party: PartyRecord,
        /// The revision it must be at.
        expected: Option<u64>,
    },
    /// Writes a party over whatever is under its name, damaged or not, or nothing. Its revision is at least the record's, and
    /// greater than the one that was there.
    ForceParty(PartyRecord),
    /// Deletes a party, its keys, and when it was last seen.
    DeleteParty {
        /// Which.
        name: Name,
        /// The revision it must be at.
        expected: Option<u64>,
    },
    /// Writes a document. Its own revision is stored, for it is sealed with it; it must be greater than `expected`.
    PutDocument {
        /// The document.
        document: Document,
        /// The revision it must be at.
        expected: Option<u64>,
    },
    /// Writes a document over whatever is there, damaged or not, or nothing.
    ForceDocument(Document),
    /// Deletes a document.
    DeleteDocument {
        /// Of what kind.
        kind: Kind,
        /// Which.
        id: String,
        /// The revision it must be at.
        expected: Option<u64>,
    },
    /// Changes nothing, and fails with [`StoreError::DocumentChanged`](super::StoreError::DocumentChanged) unless the last
    /// change to documents of this kind is the one given.
    Expect {
        /// Of what kind.
        kind: Kind,
        /// The change that was the last when the caller looked.
        change: ChangeNumber,
    },
    /// Keeps an answer for a retry.
    KeepAnswer(Answer),
    /// Changes nothing, and fails with [`StoreError::Exists`](super::StoreError::Exists) if there is a party of this name.
    NoParty(Name),
    /// Changes nothing, and fails with [`StoreError::DocumentExists`](super::StoreError::DocumentExists) if there is this
    /// document.
    NoDocument {
        /// Of what kind.
        kind: Kind,
        /// Which.
        id: String,
    },
    /// Adds one of the KDC's own secrets; it must not be there.
    AddSecret(SecretRecord),
    /// Deletes one of the KDC's own secrets; one that is not there is passed over.
    DeleteSecret {
        /// Its name.
        name: String,
        /// Which one of that name.
        version: u32,
    },
    /// Lets only those releases work with the database from now on that know this schema, for what is written beside it
    /// means something that the others would get wrong (docs/decisions/0025). A lower one than is there is passed over.
    NeedSchema(i64),
    /// Accepts an epoch that keys at rest may be turned to; a lower one than is there is passed over.
    AcceptEpoch(Epoch),
    /// Forgets all answers that are kept for retries: what is in them was given before something was taken back.
    ForgetAnswers,
    /// The audit log goes over to the key that this act is committed with: what the key `before` sealed is sealed with it
    /// anew, and what that did not seal stays as it is. So one key holds for all of the log, and the one before for
    /// nothing of it.
    SealAnew {
        /// The public half of the key that sealed it.
        before: PublicKey,
    },
    /// Removes the records of the audit log up to the one that the seal names, and keeps the seal.
    TrimAudit(Seal),
}

impl Write {
    /// Whether it takes a number in the order of changes: whether followers are to hear of it.
    const fn is_change(&self) -> bool {
        match self {
            Self::PutParty { .. }
            | Self::ForceParty(_)
            | Self::DeleteParty { .. }
            | Self::PutDocument { .. }
            | Self::ForceDocument(_)
            | Self::DeleteDocument { .. } => true,
            Self::Expect { .. }
            | Self::KeepAnswer(_)
            | Self::NoParty(_)
            | Self::NoDocument { .. }
            | Self::AddSecret(_)
            | Self::DeleteSecret { .. }
            | Self::NeedSchema(_)
            | Self::AcceptEpoch(_)
            | Self::ForgetAnswers
            | Self::SealAnew { .. }
            | Self::TrimAudit(_) => false,
        }
    }
}

/// What a document is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A rule of the policy.
    Rule,
    /// A setting of the zone.
    Setting,
    /// An administrator's token; not the token itself.
    Token,
    /// A group; not its keys.
    Group,
    /// What lets hosts in; not the token itself.
    JoinToken,
    /// A host that waits for an administrator, or was approved or denied.
    Enrollment,
    /// Two that say to be one.
    Conflict,
    /// What this zone and another let each other do; not the keys.
    Trust,
}

impl Kind {
    /// All of them with their names: the one table behind [`as_str`](Self::as_str) and [`parse`](Self::parse).
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Rule, "rule"),
        (Self::Setting, "setting"),
        (Self::Token, "token"),
        (Self::Group, "group"),
        (Self::JoinToken, "join_token"),
        (Self::Enrollment, "enrollment"),
        (Self::Conflict, "conflict"),
        (Self::Trust, "trust"),
    ];

    /// Every kind there is.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(kind, _)| kind)
    }

    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// Something that administrators keep besides parties, as JSON, sealed under the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// Which one, at most 255 bytes.
    pub id: String,
    /// Grows with every change.
    pub revision: u64,
    /// JSON.
    pub body: String,
    /// The version of the master key that seals it.
    pub master_version: u32,
    /// Binds all of the above.
    pub sealed: Vec<u8>,
}

/// All documents of a kind, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The last change to one of them; 0 when there was none yet.
    pub change: ChangeNumber,
    /// In the order of their ids.
    pub documents: Vec<Document>,
    /// The rows that are left out.
    pub damaged: Vec<Damaged>,
}

impl Documents {
    /// The ids that are known.
    pub fn ids_known(&self) -> impl Iterator<Item = &str> {
        let whole = self.documents.iter().map(|document| document.id.as_str());
        whole.chain(self.damaged.iter().filter_map(Damaged::document))
    }

    /// The ids of all that there are, also where the row does not hold; `None` where one does not even have an id.
    #[must_use]
    pub fn ids(&self) -> Option<BTreeSet<&str>> {
        let whole = self.documents.iter().map(|document| Some(document.id.as_str()));
        whole.chain(self.damaged.iter().map(Damaged::document)).collect()
    }
}

/// An answer that a retry is to get again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who asked.
    pub actor: String,
    /// The `Idempotency-Key` that came with it.
    pub idempotency: String,
    /// SHA-256 of what was asked.
    pub fingerprint: [u8; 32],
    /// The HTTP status.
    pub status: u16,
    /// The version of the master key that wraps the body.
    pub master_version: u32,
    /// The body, wrapped.
    pub wrapped: Vec<u8>,
    /// Until when it is kept.
    pub expires_at: UnixMillis,
}
