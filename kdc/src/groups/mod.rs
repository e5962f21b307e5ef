//! Groups: whom a message reaches that is sent to a name without a `.` (docs/protocol.md §11).
//!
//! A group is there only because an administrator made it. Who is a member, patterns say; for how long a key seals tickets,
//! the group's lifetime. Its keys are the generations of a [chain](Chain), one after the other without anybody writing
//! anything; what must put an end to all keys that are out begins a new chain.

mod begin;
mod chain;
mod record;
mod secret;

pub use begin::{begin_chain, forget_chains};
pub use chain::Chain;
pub use record::{GroupRecord, LIFETIME, MAX_EXCLUDED, MAX_GROUPS, MAX_PATTERNS};

/// The name of the secret of one chain of a group: the database keeps one version under each name.
#[must_use]
pub fn secret_name(group: &keycell_protocol::Name, version: u32) -> String {
    format!("group {group} {version}")
}
