//! The audit log: what was done, by whom, to what, as a chain of hashes that nobody edits unnoticed.
//!
//! An [`Event`] becomes a [`Record`] in the transaction that makes the change it tells of: each record holds the hash of
//! all before it, and the hash of the last is signed with the zone's audit key in every transaction.

mod chain;
mod event;
mod export;
#[cfg(test)]
mod fake;
mod finding;
pub(crate) mod hex;
mod journal;
mod key;
mod recorder;
mod seals;
mod trimmed;
mod verify;

pub use chain::{Hash, Link, NotALink, Record};
pub use event::{Action, Actor, Detail, Event, Outcome, UnknownAction, UnknownOutcome};
pub use export::{ExportError, Exported, MAX_LINE, PublicKey, verify_export};
pub use finding::{Finding, FindingKind, Summary, Verdict};
pub use journal::{Journal, JournalError, OnDamage};
pub use key::{AuditKey, AuditKeyError, Seal, SealKind, UnknownSealKind, WatermarkKey};
pub use recorder::{Border, Denial, Recorder};
pub use seals::Seals;
pub use trimmed::Trimmed;
pub use verify::Verifier;
