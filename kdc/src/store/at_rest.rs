//! What is wrapped under the master key, and how it is wrapped anew while everything goes on.
//!
//! None of it is a change: it takes no change number, leaves revisions alone, and followers do not hear of it. Each row is
//! written only where it still is as it was found, so that several KDCs may do it at once, and administrators beside them:
//! who comes second writes nothing.

use async_trait::async_trait;
use keycell_protocol::{Epoch, Name};

use super::{Answer, Damaged, Document, KeyRecord, SecretRecord, StoreError};
use crate::enrollment::{EnrollmentRecord, EnrollmentSeal};
use crate::keyring::Standing;

/// Where wrapped rows are found and wrapped anew.
#[async_trait]
pub trait AtRest: Send + Sync {
    /// The KDC's own secrets.
    async fn secrets(&self) -> Result<Vec<SecretRecord>, StoreError>;

    /// Up to `limit` keys that are not as they should be, in the order of their parties and generations, from the first
    /// after `after`. Dead ones are no keys.
    async fn stale_keys(
        &self,
        target: Target,
        after: Option<&KeyPlace>,
        limit: u32,
    ) -> Result<StaleKeys, StoreError>;

    /// Up to `limit` enrollments that are sealed under an earlier version, in the order of their parties, from the first
    /// after the name `after`.
    async fn stale_enrollments(
        &self,
        master_version: u32,
        after: &str,
        limit: u32,
    ) -> Result<StaleEnrollments, StoreError>;

    /// Up to `limit` kept answers that are wrapped under an earlier version, from the first after `after` (actor and
    /// idempotency key).
    async fn stale_answers(
        &self,
        master_version: u32,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<Answer>, StoreError>;

    /// Writes rows in their new wrapping, each only where it is still as it was found, in one transaction. Says how many
    /// were.
    async fn rewrap(&self, rows: &[Rewrap]) -> Result<u64, StoreError>;

    /// Lets go of what rows held before, as far as the database can: called when many were written.
    async fn forget_overwritten(&self) -> Result<(), StoreError>;

    /// How many rows are wrapped under each version, the lowest first; key checks and dead keys do not count.
    async fn wrapped(&self) -> Result<Vec<Wrapped>, StoreError>;

    /// How many rows are not as they should be.
    async fn stale(&self, target: Target) -> Result<u64, StoreError>;

    /// The highest epoch that keys at rest were turned to; 0 before the first time.
    async fn ratchet_epoch(&self) -> Result<Epoch, StoreError>;

    /// Notes that keys at rest are turned to `epoch`; a lower one than is there is passed over.
    async fn note_ratchet_epoch(&self, epoch: Epoch) -> Result<(), StoreError>;
}

/// How rows should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Under this version of the master key, or a later one: another KDC may know of it already.
    pub master_version: u32,
    /// Keys of no earlier epoch.
    pub epoch: Epoch,
}

/// The place of a key in the order of all keys, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlace {
    /// The party.
    pub party: String,
    /// The generation.
    pub generation: i64,
}

/// Keys that are not as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleKeys {
    /// Those that can be read.
    pub keys: Vec<BoundKey>,
    /// Those that cannot.
    pub damaged: Vec<Damaged>,
    /// Where to go on; `None` when these were the last.
    pub next: Option<KeyPlace>,
}

/// A key with all that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundKey {
    /// Whose.
    pub party: Name,
    /// The party's standing.
    pub standing: Standing,
    /// The party's revision.
    pub revision: u64,
    /// The key.
    pub key: KeyRecord,
}

/// How a party came aboard, with all that is sealed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundEnrollment {
    /// Whose.
    pub party: Name,
    /// The party's standing.
    pub standing: Standing,
    /// The party's revision.
    pub revision: u64,
    /// How it came aboard, with its seal.
    pub enrollment: Box<EnrollmentRecord>,
}

/// Enrollments that are not sealed as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleEnrollments {
    /// Those that can be read.
    pub enrollments: Vec<BoundEnrollment>,
    /// Those that cannot.
    pub damaged: Vec<Damaged>,
    /// The name after which to go on; `None` when these were the last.
    pub next: Option<String>,
}

/// A row as it was found and in its new wrapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrap {
    /// A party's key, at the same epoch or a later one.
    Key(BoundKey, KeyRecord),
    /// How a party came aboard, and its new seal.
    Enrollment(BoundEnrollment, EnrollmentSeal),
    /// A document.
    Document(Document, Document),
    /// A secret of the KDC itself.
    Secret(SecretRecord, SecretRecord),
    /// A kept answer.
    Answer(Answer, Answer),
}

/// How many rows are wrapped under a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapped {
    /// The version.
    pub master_version: u32,
    /// How many.
    pub rows: u64,
}
