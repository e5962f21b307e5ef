//! What this KDC remembers of revocations, in a file beside the database: restoring never un-revokes
//! (docs/decisions/0022).
//!
//! Whatever is taken from somebody (a party that is disabled or deleted, a key that is erased, a token that is
//! revoked, a member that a group loses, a host that is denied) is
//! in this file before the answer leaves. A database that gives any of it back, or whose audit log is not the one that was
//! seen, is refused at the start.

mod again;
mod check;
mod denials;
mod file;
mod forgotten;
mod groups;
mod known;
mod living;
mod trusts;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use keycell_protocol::{IdentityName, JoinTokenId, UnixMillis};

use crate::audit::{AuditKey, Link, SealKind, WatermarkKey};
use crate::clock::{Clock as _, SystemClock};
use crate::enrollment::JoinTokenRecord;
use crate::groups::GroupRecord;
use crate::store::{Documents, Kind, PartyRecord, Store, StoreError};
use crate::token::TokenRecord;

pub use again::{Acceptance, Kept, accept};
pub use check::{History, Undone, Verdict, What, check, undone};
pub use known::{IdentityMark, Known};
pub(crate) use living::Living;

use file::Written;
use known::Entry;

/// The file of revocations, and what is in it.
pub struct Watermark {
    path: PathBuf,
    key: hmac::Key,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    /// Not in the file yet.
    pending: Vec<Entry>,
    written: Option<Written>,
    /// Why the file could not be written when that was last tried.
    failed: Option<String>,
    /// Whether there was a file at the start.
    new: bool,
}

impl Watermark {
    /// Reads what the file says; nothing is known where there is none.
    ///
    /// # Errors
    /// [`WatermarkError`]: it cannot be read, or somebody else changed it.
    pub fn open(path: &Path, audit_key: &AuditKey) -> Result<Self, WatermarkError> {
        Self::open_with(path, &audit_key.watermark())
    }

    /// The same with the key that it is authenticated with.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, key: &WatermarkKey) -> Result<Self, WatermarkError> {
        let key = key.mac();
        let read = file::read(path, &key)?;
        let new = read.is_none();
        let (known, written) = read.map(|(known, written)| (known, Some(written))).unwrap_or_default();
        let state = State { known, written, new, ..State::default() };
        Ok(Self { path: path.to_owned(), key, state: Mutex::new(state) })
    }

    /// Begins anew, whatever the file says; it is written with the next [`write`](Self::write).
    #[must_use]
    pub fn anew(path: &Path, audit_key: &AuditKey) -> Self {
        let state = State { new: true, ..State::default() };
        Self { path: path.to_owned(), key: audit_key.watermark().mac(), state: Mutex::new(state) }
    }

    /// The same under the audit key of another identity: all of it is written anew.
    #[must_use]
    pub fn under(self, audit_key: &AuditKey) -> Self {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.written = None;
        Self { path: self.path, key: audit_key.watermark().mac(), state: Mutex::new(state) }
    }

    /// What the file at `path` says of the KDC's identities, unchecked: enough to refuse a database.
    #[must_use]
    pub fn retired(path: &Path) -> Option<IdentityMark> {
        file::retired(path)
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known.
    #[must_use]
    pub fn known(&self) -> Known {
        self.lock().known.clone()
    }

    /// The record of the audit log that was the last one when somebody was last revoked.
    #[must_use]
    pub fn head(&self) -> Option<Link> {
        self.lock().known.head
    }

    /// What is wrong with it, for administrators.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let state = self.lock();
        if let Some(failed) = &state.failed {
            return Some(format!(
                "revocations are not in {} ({failed}): make it writable; it is tried again every minute",
                self.path.display()
            ));
        }
        state.new.then(|| {
            format!(
                "there was no {} at the start: a database that was set back before that was not noticed",
                self.path.display()
            )
        })
    }

    /// What a party as it is in the database has that was taken from it.
    #[must_use]
    pub fn gives_back(&self, record: &PartyRecord) -> Option<What> {
        check::gives_back(self.lock().known.parties.get(&record.name)?, record)
    }

    /// What a group as it is in the database has that was taken from it.
    #[must_use]
    pub fn group_goes_back(&self, record: &GroupRecord) -> Option<What> {
        self.lock().known.group_goes_back(record.revision, record)
    }

    /// Takes in what a party is now.
    pub fn saw_party(&self, record: &PartyRecord) {
        self.saw(Entry::of_party(record));
    }

    /// Takes in that a party was deleted; `record` is what it was.
    pub fn saw_deleted(&self, record: &PartyRecord) {
        self.saw(Entry::of_deleted(record));
    }

    /// Takes in which identities count, once one is retired.
    pub fn saw_identities(&self, mark: IdentityMark) {
        self.saw(Entry::Identities(mark));
    }

    /// The highest identity that was ever made, as far as is known.
    #[must_use]
    pub fn last_identity(&self) -> Option<IdentityName> {
        self.lock().known.identities.map(|mark| mark.last)
    }

    /// Takes in a token.
    pub fn saw_token(&self, id: &str, token: &TokenRecord) {
        if let Some(entry) = Entry::of_token(id, token) {
            self.saw(entry);
        }
    }

    /// Takes in a join token.
    pub fn saw_join_token(&self, id: JoinTokenId, token: &JoinTokenRecord) {
        if let Some(entry) = Entry::of_join_token(id, token) {
            self.saw(entry);
        }
    }

    /// Takes in what a group is now.
    pub fn saw_group(&self, record: &GroupRecord) {
        self.saw(Entry::of_group(record));
    }

    /// Forgets the names of groups that were deleted long ago, where every group that is `there` is remembered.
    pub(crate) fn forget_groups(&self, there: &Documents) {
        let mut state = self.lock();
        let entry = state.known.forget_groups(there, SystemClock.now());
        state.pending.extend(entry);
    }

    fn saw(&self, entry: Entry) {
        let mut state = self.lock();
        if state.known.take(entry.clone()) {
            state.pending.push(entry);
        }
    }

    /// Takes in all that the database says, which may be more than was written before a crash.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_in(&self, store: &dyn Store) -> Result<(), StoreError> {
        for record in &store.parties().await?.parties {
            self.saw_party(record);
        }
        for buried in store.buried().await? {
            self.saw(Entry::of_buried(&buried));
        }
        Ok(())
    }

    /// Writes what was taken in, and returns when it is on the disk. A file that is not there is made. What cannot be
    /// written stays for the next time: a revocation that is in force is not taken back for the sake of this file.
    ///
    /// # Errors
    /// The database's, or the file's.
    pub async fn write(self: &Arc<Self>, store: &dyn Store) -> Result<(), WatermarkError> {
        if self.is_written() {
            return Ok(());
        }
        let head = store.audit_seals(SealKind::Head).await?.pop().map(|head| head.link);
        let this = self.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut state = this.lock();
            state.known.head = head.or(state.known.head);
            let written = file::append(&this.path, &this.key, &mut state);
            state.failed = written.as_ref().err().map(ToString::to_string);
            written
        });
        written.await.unwrap_or_else(|error| {
            let source = io::Error::other(error);
            Err(WatermarkError::File { path: self.path.clone(), source })
        })
    }

    fn is_written(&self) -> bool {
        let state = self.lock();
        state.pending.is_empty() && state.written.is_some()
    }

    /// The history of the database was accepted in the record of this link, by an administrator elsewhere.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn go_on_from(&self, accepted: Link, store: &dyn Store) -> Result<(), StoreError> {
        self.lacks(store, &store.documents(Kind::Group).await?).await?;
        let mut state = self.lock();
        state.known.accepted = Some(accepted);
        state.written = None;
        Ok(())
    }

    /// The history of the database was accepted as it is: what is known goes on from there.
    pub(crate) fn accepted(&self, known: Known) {
        let mut state = self.lock();
        state.known = known;
        state.pending.clear();
        // All of it is written anew.
        state.written = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the file of revocations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WatermarkError {
    /// It cannot be read or written.
    #[error("cannot use {}, which remembers revocations: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody changed it.
    #[error(
        "{}, line {line}: this KDC did not write it: it was damaged or changed by somebody else, so it is not known who was revoked. Put it back from a copy, or see docs/backup.md and start with --accept-rollback", path.display()
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// The first line that does not hold.
        line: usize,
    },
    /// The database is from before an identity of the KDC was retired.
    #[error(
        "the database is from before {retired} was retired: whoever stole that identity would speak for this zone again, says \
         {}. Put a backup in its place that was made since {primary} is the primary. Is there none? Then see \
         docs/identities.md: the cell must recover again before a KDC serves", path.display()
    )]
    Retired {
        /// The file.
        path: PathBuf,
        /// The one that the database goes by.
        retired: IdentityName,
        /// The one that took its place.
        primary: IdentityName,
    },
    /// A later release wrote it.
    #[error(
        "{}: a later release wrote it, and this one does not know who is revoked in it: start the later one, or put back a copy from before the upgrade with its database, see docs/backup.md", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database gives something back.
    #[error("{0}")]
    Rollback(String),
}

/// For so long after its end, a revoked token is remembered, as the database does.
const TOKEN_MS: u64 = 31 * 86_400_000;

fn is_over(expires_at: UnixMillis, now: UnixMillis) -> bool {
    expires_at.plus(TOKEN_MS) < now
}

#[cfg(test)]
mod tests;
