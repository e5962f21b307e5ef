//! What a wrapped secret is bound to: the row it lies in.

use std::fmt;

use keycell_protocol::{Epoch, Generation, Name};

use super::Standing;
use crate::store::KeyState;

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
    },
    /// A row of `secret`.
    Secret {
        /// Its name.
        name: &'a str,
        /// Its version.
        version: u32,
    },
}

impl RowBinding<'_> {
    /// The associated data: `header`, then each field after its length. The only place where it is made.
    pub(super) fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        match self {
            Self::Key { party, standing, generation, epoch, state } => fields(&[
                header,
                b"party_key",
                party.as_str().as_bytes(),
                &generation.0.to_be_bytes(),
                state.as_str().as_bytes(),
                &epoch.0.to_be_bytes(),
                &[u8::from(standing.enabled)],
                &standing.revocation_epoch.to_be_bytes(),
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
            Self::Secret { name, .. } => write!(f, "secret {name}"),
        }
    }
}

fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::with_capacity(fields.iter().map(|field| 8 + field.len()).sum());
    for field in fields {
        data.extend_from_slice(&(field.len() as u64).to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}
