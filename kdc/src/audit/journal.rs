//! The audit log of a running zone: what is written to it, asked of it, and how it is checked and shortened.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use keycell_protocol::UnixMillis;

use super::{AuditKey, Event, Link, Record, Seal, SealKind, Seals, Trimmed, Verdict, Verifier, export};
use crate::clock::Clock;
use crate::store::{Act, AuditQuery, ChangeNumber, Store, StoreError, Write};

/// Writes and reads the audit log. A clone is the same log.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    key: Arc<AuditKey>,
    clock: Arc<dyn Clock>,
}

impl Journal {
    /// The log in `store`, signed with `key`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, key: Arc<AuditKey>, clock: Arc<dyn Clock>) -> Self {
        Self { store, key, clock }
    }

    /// The time that events get.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The key that signs it.
    #[must_use]
    pub fn key(&self) -> &AuditKey {
        &self.key
    }

    /// Makes changes and records them, in one transaction.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit(&self, act: &Act) -> Result<ChangeNumber, StoreError> {
        self.store.commit(act, &self.key).await
    }

    /// Records of the log.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn query(&self, query: &AuditQuery) -> Result<Vec<Record>, StoreError> {
        self.store.audit(query).await
    }

    /// The head as an auditor notes it down: its link is what [`verify`](Self::verify) can be held against later. None
    /// before the first record.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn seal(&self) -> Result<Option<Seal>, StoreError> {
        Ok(self.store.audit_seals(SealKind::Head).await?.pop())
    }

    /// Looks through the whole log, page by page. The records that an auditor `noted` down must be in it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read. What is wrong with the log is in the verdict.
    pub async fn verify(&self, noted: &[Link]) -> Result<Verdict, StoreError> {
        let mut tries = 0;
        loop {
            let seals = self.seals().await?;
            let trims = seals.trims.len();
            let verdict = self.look_through(seals, noted).await?;
            tries += 1;
            // Retention may have removed records in the middle of it.
            if verdict.is_sound() || tries == TRIES || self.trims().await? == trims {
                return Ok(verdict);
            }
        }
    }

    /// The whole log in its portable form, in pieces of whole lines (see [`verify_export`](super::verify_export)). It ends
    /// with the record that is the last one now.
    ///
    /// # Errors
    /// In the stream: [`JournalError`] when the database cannot be read, or the log is trimmed meanwhile.
    pub fn export(&self) -> impl Stream<Item = Result<Bytes, JournalError>> + Send + 'static {
        try_unfold(Exporting::Start(self.clone()), Exporting::next)
    }

    /// When a record must have been written to be older than `days` now.
    #[must_use]
    pub fn days_ago(&self, days: u32) -> UnixMillis {
        self.now().minus(u64::from(days).saturating_mul(DAY_MS))
    }

    /// Removes records from the beginning of the log: all before the first that is not older than `before`, but never the
    /// last one. A seal tells what went; `event` says who did it, and gets the same as its details. None when there was
    /// nothing to remove.
    ///
    /// What is removed is looked through first: nothing that was tampered with goes unnoticed. It goes in pieces, each with
    /// its own seal and record, so that other writers never wait long; damage after the first piece ends it there.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Damaged`] unless damage is to be noted in the seal.
    pub async fn trim(
        &self,
        before: UnixMillis,
        event: Event,
        on_damage: OnDamage,
    ) -> Result<Option<Trimmed>, JournalError> {
        self.trim_by(PIECE, before, &event, on_damage).await
    }

    async fn trim_by(
        &self,
        piece: u64,
        before: UnixMillis,
        event: &Event,
        on_damage: OnDamage,
    ) -> Result<Option<Trimmed>, JournalError> {
        // The end is fixed here: the record of each piece is a new one.
        let Some((mut first, last)) = self.trimmable(before).await? else { return Ok(None) };
        let mut all: Option<Trimmed> = None;
        while first <= last {
            let through = last.min(first.saturating_add(piece).saturating_sub(1));
            match (self.trim_through(through, event.clone(), on_damage).await, &mut all) {
                (Ok(None), _) => break,
                (Ok(Some(more)), None) => all = Some(more),
                (Ok(Some(more)), Some(all)) => all.join(more),
                (Err(error), None) => return Err(error),
                // What went before is gone, and recorded.
                (Err(error), Some(_)) => {
                    tracing::error!(error = %crate::http::chain(&error), through, "a trim of the audit log stopped half-way");
                    break;
                }
            }
            first = through.saturating_add(1);
        }
        Ok(all)
    }

    async fn trim_through(
        &self,
        last: u64,
        event: Event,
        on_damage: OnDamage,
    ) -> Result<Option<Trimmed>, JournalError> {
        let seals = self.seals().await?;
        let head = seals.head.as_ref().map_or(u64::MAX, |head| head.link.seq);
        // The next checkpoint, or the head, proves what is before it.
        let proof =
            seals.checkpoints.iter().map(|seal| seal.link.seq).find(|seq| *seq > last).unwrap_or(head);

        let mut trimmed = Trimmed::nothing();
        let mut end = None;
        let mut verifier = Verifier::new(self.key.zone(), self.key.public(), seals, &[]);
        let mut pages = Pages::new(self.clone(), proof);
        while let Some(page) = pages.next().await? {
            for record in &page {
                verifier.record(record);
                if record.seq <= last {
                    trimmed.count(record);
                    end = Some(record.link());
                }
            }
        }
        let Some(link) = end else { return Ok(None) };
        let verdict = if proof == head { verifier.finish() } else { verifier.so_far() };
        if on_damage == OnDamage::Refuse
            && let Some(first) = verdict.findings.first()
        {
            return Err(JournalError::Damaged { first: first.text.clone() });
        }
        trimmed.findings = (verdict.findings.len() as u64).saturating_add(verdict.more);
        self.remove(link, &trimmed, event).await?;
        Ok(Some(trimmed))
    }

    /// The first and the last record that [`trim`](Self::trim) would remove now, if there are any.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be read.
    pub async fn trimmable(&self, before: UnixMillis) -> Result<Option<(u64, u64)>, StoreError> {
        let one = AuditQuery { limit: 1, ..AuditQuery::default() };
        let oldest = self.query(&one).await?;
        let newest = self.query(&AuditQuery { newest_first: true, ..one.clone() }).await?;
        let (Some(oldest), Some(newest)) = (oldest.first(), newest.first()) else { return Ok(None) };
        let young = self.query(&AuditQuery { since: Some(before), ..one }).await?;
        let end = young.first().map_or(newest.seq, |record| record.seq.min(newest.seq));
        Ok((oldest.seq < end).then(|| (oldest.seq, end.saturating_sub(1))))
    }

    async fn remove(&self, link: Link, trimmed: &Trimmed, event: Event) -> Result<(), JournalError> {
        let summary = serde_json::to_value(trimmed).unwrap_or_default();
        let seal = self.key.seal(SealKind::Trim, link, event.at, &summary.to_string());
        let event = summary
            .as_object()
            .into_iter()
            .flatten()
            .fold(event, |event, (name, value)| event.with(name, value.clone()));
        self.commit(&Act::new(Write::TrimAudit(seal), event)).await?;
        Ok(())
    }

    async fn look_through(&self, seals: Seals, noted: &[Link]) -> Result<Verdict, StoreError> {
        let end = seals.head.as_ref().map(|head| head.link.seq);
        let mut verifier = Verifier::new(self.key.zone(), self.key.public(), seals, noted);
        let mut pages = Pages::new(self.clone(), u64::MAX);
        while let Some(mut page) = pages.next().await? {
            // What was written since is covered by a newer head, and looked at next time.
            if let (Some(end), Some(last)) = (end, page.last().map(|record| record.seq))
                && last > end
                && self.reached(last).await?
            {
                page.retain(|record| record.seq <= end);
                page.iter().for_each(|record| verifier.record(record));
                break;
            }
            page.iter().for_each(|record| verifier.record(record));
        }
        Ok(verifier.finish())
    }

    /// Whether a head that holds is at `seq` or after it.
    async fn reached(&self, seq: u64) -> Result<bool, StoreError> {
        let head = self.seal().await?;
        Ok(head.is_some_and(|head| head.link.seq >= seq && head.holds(self.key.zone(), self.key.public())))
    }

    /// The head last: what the others tell of is before it then.
    async fn seals(&self) -> Result<Seals, StoreError> {
        let checkpoints = self.store.audit_seals(SealKind::Checkpoint).await?;
        let trims = self.store.audit_seals(SealKind::Trim).await?;
        Ok(Seals { checkpoints, trims, head: self.seal().await? })
    }

    async fn trims(&self) -> Result<usize, StoreError> {
        Ok(self.store.audit_seals(SealKind::Trim).await?.len())
    }
}

/// What a trim does with records that were tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// It removes nothing.
    Refuse,
    /// It removes them and seals how much was wrong.
    Note,
}

/// Why the log could not be shortened or exported.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be removed was tampered with.
    #[error(
        "nothing was removed, because the log is damaged: {first}. Keep a copy (`keycell audit export`), then trim with the damage accepted"
    )]
    Damaged {
        /// The first thing that is wrong.
        first: String,
    },
    /// Retention removed records in the middle of an export.
    #[error("retention removed records during the export: export again")]
    Trimmed,
}

/// Where an export is.
enum Exporting {
    Start(Journal),
    Records { pages: Pages, head: Option<Seal>, trims: usize },
    End,
}

impl Exporting {
    async fn next(self) -> Result<Option<(Bytes, Self)>, JournalError> {
        match self {
            Self::Start(journal) => {
                let Seals { head, checkpoints, trims } = journal.seals().await?;
                let mut lines = export::header(journal.key.zone(), journal.key.public());
                trims.iter().chain(&checkpoints).for_each(|seal| lines.extend(export::seal(seal)));
                let end = head.as_ref().map_or(u64::MAX, |head| head.link.seq);
                let pages = Pages::new(journal, end);
                Ok(Some((lines.into(), Self::Records { pages, head, trims: trims.len() })))
            }
            Self::Records { mut pages, head, trims } => {
                if let Some(page) = pages.next().await? {
                    let lines: Vec<u8> = page.iter().flat_map(export::record).collect();
                    return Ok(Some((lines.into(), Self::Records { pages, head, trims })));
                }
                // Better no export than one that looks as if somebody had removed records.
                if pages.journal.trims().await? != trims {
                    return Err(JournalError::Trimmed);
                }
                Ok(head.map(|head| (export::seal(&head).into(), Self::End)))
            }
            Self::End => Ok(None),
        }
    }
}

/// The records after one number, up to and with another, so many at a time.
struct Pages {
    journal: Journal,
    after: Option<u64>,
    through: u64,
}

impl Pages {
    const fn new(journal: Journal, through: u64) -> Self {
        Self { journal, after: None, through }
    }

    async fn next(&mut self) -> Result<Option<Vec<Record>>, StoreError> {
        let before = self.through.checked_add(1);
        let query = AuditQuery { after: self.after, before, limit: PAGE, ..AuditQuery::default() };
        let page = self.journal.query(&query).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.seq);
        Ok(Some(page))
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Records read at a time.
const PAGE: u32 = 1000;

/// How often a look through the log begins anew because it was trimmed.
const TRIES: u32 = 20;

/// So many records are removed in one transaction.
const PIECE: u64 = 50_000;

#[cfg(test)]
mod tests;
