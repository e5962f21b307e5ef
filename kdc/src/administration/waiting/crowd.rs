//! How many hosts wait, and forgetting those that have waited for too long.

use keycell_protocol::{Fingerprint, UnixMillis};

use super::{Pages, Waiting};
use crate::administration::AdminError;
use crate::enrollment::WaitingState;
use crate::store::{Act, Kind, StoreError, Write};

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowd {
    /// That nobody has decided on.
    pub waiting: u64,
    /// That may come in, and have not come again yet.
    pub approved: u64,
    /// That may not.
    pub denied: u64,
}

/// What was found when they were last counted.
pub(super) struct Looked {
    crowd: Crowd,
    /// The last change to any of them.
    change: u64,
    /// When the first of them is over.
    until: Option<UnixMillis>,
    /// Those that are over, with their revisions.
    over: Vec<(Fingerprint, u64)>,
}

impl Waiting {
    /// Counts them, where anything has changed since that was last done.
    ///
    /// # Errors
    /// The database's.
    pub async fn crowd(&self) -> Result<Crowd, AdminError> {
        let looked = &mut *self.looked.lock().await;
        Ok(self.look(looked).await?.crowd)
    }

    /// Forgets those whose time is over. The audit log goes on remembering what was decided.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_over(&self) -> Result<Crowd, AdminError> {
        let looked = &mut *self.looked.lock().await;
        let Looked { crowd, over, .. } = self.look(looked).await?;
        let crowd = *crowd;
        let write = |(fingerprint, revision): &(Fingerprint, u64)| Write::DeleteDocument {
            kind: Kind::Enrollment,
            id: fingerprint.to_string(),
            expected: Some(*revision),
        };
        let over: Vec<_> = over.iter().map(write).collect();
        for writes in over.chunks(BATCH) {
            match self.ledger.commit(&Act { writes: writes.to_vec(), events: Vec::new() }).await {
                // One came again, or another KDC of the zone was quicker: the others go the next time.
                Err(AdminError::Store(
                    StoreError::DocumentMissing { .. } | StoreError::DocumentChanged { .. },
                )) => {}
                done => drop(done?),
            }
        }
        Ok(crowd)
    }

    async fn look<'a>(&self, looked: &'a mut Option<Looked>) -> Result<&'a Looked, AdminError> {
        let now = self.ledger.now();
        let change = self.ledger.store().documents_after(Kind::Enrollment, LAST, 1).await?.change.0;
        let holds = |known: &Looked| known.change == change && known.until.is_none_or(|until| now < until);
        let found = match looked.take().filter(holds) {
            Some(known) => known,
            None => self.count(now).await?,
        };
        Ok(looked.insert(found))
    }

    async fn count(&self, now: UnixMillis) -> Result<Looked, AdminError> {
        let mut found = Looked { crowd: Crowd::default(), change: u64::MAX, until: None, over: Vec::new() };
        let mut pages = Pages::after(None);
        while let Some(records) = pages.next(&self.ledger).await? {
            // What changes while this goes on is looked at the next time.
            found.change = found.change.min(pages.change);
            for (fingerprint, record) in records {
                if !record.lasts(now) {
                    found.over.push((fingerprint, record.revision));
                    continue;
                }
                found.until = found.until.into_iter().chain(record.until).min();
                match record.state {
                    WaitingState::Waiting => found.crowd.waiting += 1,
                    WaitingState::Approved => found.crowd.approved += 1,
                    WaitingState::Denied => found.crowd.denied += 1,
                }
            }
        }
        Ok(found)
    }
}

/// After every fingerprint.
const LAST: &str = "g";
/// So many go in one transaction.
const BATCH: usize = 500;
