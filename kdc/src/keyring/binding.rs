//! What a wrapped secret is bound to: the row it lies in.

use std::fmt;

use keycell_protocol::{Epoch, Generation, Name, UnixMillis};

use super::Standing;
use crate::fields::fields;
use crate::store::{Answer, KeyState};

/// A row of the database and everything in it that a wrapped secret depends on: moved to another row, or with one of
/// these changed, it does not open.
#[derive(Debug, Clone, Copy)]
pub enum RowBinding<'a> {
    /// A row of `party_key`, with what it depends on of its row of `party`.
    Key {
        /// The party.
        party: &'a Name,
        /// Whether the party is enabled, and how often it was disabled.
        standing: Standing,
        /// The key's generation.
        generation: Generation,
        /// The key's epoch.
        epoch: Epoch,
        /// The key's state.
        state: KeyState,
        /// Until when it is good, for a retiring or a staged one.
        ends_at: Option<UnixMillis>,
    },
    /// How a party came aboard, in its row of `party`: not secret.
    Enrollment {
        /// The party.
        party: &'a Name,
        /// What it is.
        standing: Standing,
        /// How it came aboard, as it is stored.
        body: &'a str,
    },
    /// A row of `document`, which is not secret and bound as a whole.
    Document {
        /// Its kind.
        kind: &'a str,
        /// Its id.
        id: &'a str,
        /// Its revision.
        revision: u64,
        /// Its body.
        body: &'a str,
    },
    /// A row of `answer`.
    Answer {
        /// Who asked.
        actor: &'a str,
        /// Under which key.
        idempotency: &'a str,
        /// Of what request.
        fingerprint: &'a [u8],
        /// With what status it was answered.
        status: u16,
        /// Until when it is kept: not a moment longer.
        expires_at: UnixMillis,
    },
    /// A row of `secret`.
    Secret {
        /// Its name.
        name: &'a str,
        /// Its version.
        version: u32,
    },
}

impl<'a> RowBinding<'a> {
    /// That of an answer.
    pub(super) fn of(answer: &'a Answer) -> Self {
        Self::Answer {
            actor: &answer.actor,
            idempotency: &answer.idempotency,
            fingerprint: &answer.fingerprint,
            status: answer.status,
            expires_at: answer.expires_at,
        }
    }

    /// The associated data: `header`, then each field after its length. The only place where it is made.
    pub(super) fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        match self {
            Self::Key { party, standing, generation, epoch, state, ends_at } => {
                let ends_at = ends_at.map(|at| at.0.to_be_bytes());
                let mut data = fields(&[
                    header,
                    b"party_key",
                    party.as_str().as_bytes(),
                    &generation.0.to_be_bytes(),
                    state.as_str().as_bytes(),
                    &epoch.0.to_be_bytes(),
                    &[u8::from(standing.enabled)],
                    &standing.revocation_epoch.to_be_bytes(),
                ]);
                // A field of its own where there is an end: keys without one are bound as they always were.
                if let Some(ends_at) = &ends_at {
                    data.extend(fields(&[ends_at]));
                }
                // The same, and named, so that it is no end.
                if let Some(key) = &standing.author_key {
                    data.extend(fields(&[b"author", key.as_bytes()]));
                }
                data
            }
            Self::Enrollment { party, standing, body } => {
                let mut data = fields(&[
                    header,
                    b"enrollment",
                    party.as_str().as_bytes(),
                    &[u8::from(standing.enabled)],
                    &standing.revocation_epoch.to_be_bytes(),
                    body.as_bytes(),
                ]);
                if let Some(key) = &standing.author_key {
                    data.extend(fields(&[b"author", key.as_bytes()]));
                }
                data
            }
            Self::Document { kind, id, revision, body } => fields(&[
                header,
                b"document",
                kind.as_bytes(),
                id.as_bytes(),
                &revision.to_be_bytes(),
                body.as_bytes(),
            ]),
            Self::Answer { actor, idempotency, fingerprint, status, expires_at } => fields(&[
                header,
                b"answer",
                actor.as_bytes(),
                idempotency.as_bytes(),
                fingerprint,
                &status.to_be_bytes(),
                &expires_at.0.to_be_bytes(),
            ]),
            Self::Secret { name, version } => {
                fields(&[header, b"secret", name.as_bytes(), &version.to_be_bytes()])
            }
        }
    }
}

/// As errors name the row.
impl fmt::Display for RowBinding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { party, generation, .. } => write!(f, "party_key {party} {generation}"),
            Self::Enrollment { party, .. } => write!(f, "party {party}"),
            Self::Document { kind, id, .. } => write!(f, "document {kind} {id}"),
            Self::Answer { actor, idempotency, .. } => write!(f, "answer {actor} {idempotency}"),
            Self::Secret { name, .. } => write!(f, "secret {name}"),
        }
    }
}
