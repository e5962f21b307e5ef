//! Groups: whom a message reaches that is sent to a name without a `.` (docs/protocol.md §11).
//!
//! A group is there only because an administrator made it. Who is a member, patterns say; for how long a key seals tickets,
//! the group's lifetime. Its keys are the generations of a [chain](Chain), one after the other without anybody writing
//! anything; what must put an end to all keys that are out begins a new chain.

mod begin;
mod chain;
mod group;
mod memberships;
mod record;
mod secret;
#[cfg(test)]
mod tests;
mod turning;

use keycell_protocol::Name;

use crate::store::SecretRecord;

pub(crate) use begin::begin_chain_after;
pub(crate) use begin::begin_chain_alone;
pub use begin::{begin_chain, forget_chains};
pub use chain::Chain;
pub use group::{Group, Sealing};
pub use memberships::Memberships;
pub use record::{GroupRecord, LIFETIME, MAX_EXCLUDED, MAX_GROUPS, MAX_PATTERNS};
pub(crate) use secret::{bytes as secret_bytes, open as open_secret};

/// The name of the secret of one of a group's chains.
#[must_use]
pub fn secret_name(group: &Name, version: u32) -> String {
    format!("group {group} {version}")
}

/// Whether it is the secret of one of this group's chains.
#[must_use]
pub fn is_secret_of(group: &Name, secret: &SecretRecord) -> bool {
    secret.name == secret_name(group, secret.version)
}
