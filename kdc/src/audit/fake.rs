//! A store that keeps only the audit log, in memory, for tests. Everything in it can be tampered with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Epoch, Name, UnixMillis, Zone};

use super::{Action, Actor, AuditKey, Event, Link, Record, Seal, SealKind, Seals};
use crate::store::dump::Sink;
use crate::store::{
    Act, Answer, AtRest, AuditQuery, Buried, CHECKPOINT_EVERY, ChangeNumber, Changes, Document, Documents,
    Earlier, KeyPlace, Kind, PartyRecord, Rewrap, SecretRecord, SeenRecord, Snapshot, StaleEnrollments,
    StaleKeys, Store, StoreError, Target, Wrapped, Write, ZoneRecord,
};

/// The zone of the tests.
pub(super) fn zone() -> Zone {
    "example".parse().unwrap()
}

/// A key of it; the same for one process.
pub(super) fn key() -> Arc<AuditKey> {
    static KEY: OnceLock<Arc<AuditKey>> = OnceLock::new();
    KEY.get_or_init(|| Arc::new(AuditKey::new(&AuditKey::generate().unwrap(), &zone()).unwrap())).clone()
}

/// The `n`th event.
pub(super) fn event(n: u64) -> Event {
    let mut event = Event::new(
        UnixMillis(n * 1000),
        Actor::Console("root".into()),
        Action::PartyCreate,
        format!("p{n}@example"),
    )
    .with("n", n);
    event.request = Some(format!("r{n}"));
    event.address = Some([192, 0, 2, 1].into());
    event
}

/// A log of `n` records.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) records: Vec<Record>,
    pub(super) seals: Seals,
}

impl Log {
    pub(super) fn empty() -> Self {
        Self { records: Vec::new(), seals: Seals::default() }
    }

    pub(super) fn of(n: u64) -> Self {
        let mut log = Self::empty();
        log.append(&(1..=n).map(event).collect::<Vec<_>>(), &key());
        log
    }

    fn append(&mut self, events: &[Event], key: &AuditKey) {
        let mut link = self.seals.head.as_ref().map_or(Link::origin(key.zone()), |head| head.link);
        for event in events {
            let record = link.next(event);
            link = record.link();
            if link.seq.is_multiple_of(CHECKPOINT_EVERY) {
                self.seals.checkpoints.push(key.seal(SealKind::Checkpoint, link, event.at, ""));
            }
            self.seals.head = Some(key.seal(SealKind::Head, link, event.at, ""));
            self.records.push(record);
        }
    }
}

/// The store.
pub(super) struct Fake {
    pub(super) log: Mutex<Log>,
    pub(super) away: AtomicBool,
    pub(super) commits: AtomicUsize,
}

impl Fake {
    pub(super) fn new(log: Log) -> Arc<Self> {
        Arc::new(Self { log: Mutex::new(log), away: AtomicBool::new(false), commits: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl AtRest for Fake {
    async fn secrets(&self) -> Result<Vec<SecretRecord>, StoreError> {
        not_of_the_log()
    }

    async fn stale_keys(&self, _: Target, _: Option<&KeyPlace>, _: u32) -> Result<StaleKeys, StoreError> {
        not_of_the_log()
    }

    async fn stale_enrollments(&self, _: u32, _: &str, _: u32) -> Result<StaleEnrollments, StoreError> {
        not_of_the_log()
    }

    async fn stale_answers(
        &self,
        _: u32,
        _: Option<(&str, &str)>,
        _: u32,
    ) -> Result<Vec<Answer>, StoreError> {
        not_of_the_log()
    }

    async fn rewrap(&self, _: &[Rewrap]) -> Result<u64, StoreError> {
        not_of_the_log()
    }

    async fn forget_overwritten(&self) -> Result<(), StoreError> {
        not_of_the_log()
    }

    async fn wrapped(&self) -> Result<Vec<Wrapped>, StoreError> {
        not_of_the_log()
    }

    async fn stale(&self, _: Target) -> Result<u64, StoreError> {
        not_of_the_log()
    }

    async fn ratchet_epoch(&self) -> Result<Epoch, StoreError> {
        not_of_the_log()
    }

    async fn note_ratchet_epoch(&self, _: Epoch) -> Result<(), StoreError> {
        not_of_the_log()
    }
}

#[async_trait]
impl Store for Fake {
    async fn commit(&self, act: &Act, key: &AuditKey) -> Result<ChangeNumber, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Empty);
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        let mut log = self.log.lock().unwrap();
        for write in &act.writes {
            let Write::TrimAudit(seal) = write else { not_of_the_log() };
            log.records.retain(|record| record.seq > seal.link.seq);
            log.seals.trims.push(seal.clone());
        }
        log.append(&act.events, key);
        Ok(ChangeNumber(0))
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<Record>, StoreError> {
        let log = self.log.lock().unwrap();
        let mut records: Vec<Record> = log
            .records
            .iter()
            .filter(|record| query.after.is_none_or(|after| record.seq > after))
            .filter(|record| query.before.is_none_or(|before| record.seq < before))
            .filter(|record| query.since.is_none_or(|since| record.at >= since))
            .cloned()
            .collect();
        if query.newest_first {
            records.reverse();
        }
        records.truncate(query.limit as usize);
        Ok(records)
    }

    async fn audit_seals(&self, kind: SealKind) -> Result<Vec<Seal>, StoreError> {
        let seals = self.log.lock().unwrap().seals.clone();
        Ok(match kind {
            SealKind::Head => seals.head.into_iter().collect(),
            SealKind::Checkpoint => seals.checkpoints,
            SealKind::Trim => seals.trims,
        })
    }

    async fn create_zone(
        &self,
        _: &ZoneRecord,
        _: &[SecretRecord],
        _: &Act,
        _: &AuditKey,
    ) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn buried(&self) -> Result<Vec<Buried>, StoreError> {
        not_of_the_log()
    }
    async fn moment(&self, _: &str) -> Result<Option<UnixMillis>, StoreError> {
        not_of_the_log()
    }
    async fn note_moment(&self, _: &str, _: UnixMillis) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn dump(&self, _: &mut dyn Sink) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn zone(&self) -> Result<ZoneRecord, StoreError> {
        not_of_the_log()
    }
    async fn secret(&self, _: &str) -> Result<Option<SecretRecord>, StoreError> {
        not_of_the_log()
    }
    async fn add_secret(&self, _: &SecretRecord) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn some_parties(&self, _: &[Name]) -> Result<Vec<PartyRecord>, StoreError> {
        not_of_the_log()
    }
    async fn parties(&self) -> Result<Snapshot, StoreError> {
        not_of_the_log()
    }
    async fn changes_since(&self, _: ChangeNumber) -> Result<Changes, StoreError> {
        not_of_the_log()
    }
    async fn earlier(&self, _: &[Name]) -> Result<HashMap<Name, Earlier>, StoreError> {
        not_of_the_log()
    }
    async fn note_seen(&self, _: &[SeenRecord]) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn seen(&self, _: UnixMillis) -> Result<Vec<SeenRecord>, StoreError> {
        not_of_the_log()
    }
    async fn documents(&self, _: Kind) -> Result<Documents, StoreError> {
        not_of_the_log()
    }
    async fn documents_after(&self, _: Kind, _: &str, _: u32) -> Result<Documents, StoreError> {
        not_of_the_log()
    }
    async fn count_documents(&self, _: Kind) -> Result<u64, StoreError> {
        not_of_the_log()
    }
    async fn document(&self, _: Kind, _: &str) -> Result<Option<Document>, StoreError> {
        not_of_the_log()
    }
    async fn answer(&self, _: &str, _: &str) -> Result<Option<Answer>, StoreError> {
        not_of_the_log()
    }
    async fn forget_answers(&self, _: UnixMillis) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn wait_for_change(&self, _: ChangeNumber, _: Duration) {
        not_of_the_log()
    }
    async fn check_schema(&self) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        not_of_the_log()
    }
    async fn close(&self) {}
}

/// Whatever else a store does, these tests are about the audit log alone.
fn not_of_the_log() -> ! {
    panic!("only the audit log is here")
}
