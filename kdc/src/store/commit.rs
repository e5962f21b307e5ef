//! How an act becomes rows, on both databases alike: all inside one transaction, which the caller commits.

use std::collections::{BTreeMap, HashSet};

use keycell_protocol::{Epoch, Zone};

use super::rows;
use super::writer::Value::{Bytes, Number, Text};
use super::writer::{Put, RUN, Writer};
use super::{
    Act, Answer, CHECKPOINT_EVERY, Document, Kind, PartyRecord, Rewrap, SecretRecord, StoreError, Write,
    ZoneRecord, sql,
};
use crate::audit::{AuditKey, Event, Link, PublicKey, Seal, SealKind};

/// Writes a zone with what it begins with.
pub(super) async fn create_zone(
    writer: &mut dyn Writer,
    zone: &ZoneRecord,
    secrets: &[SecretRecord],
    act: &Act,
    key: &AuditKey,
) -> Result<i64, StoreError> {
    take_changes(writer, 0).await?;
    if let Some(name) = writer.text(sql::ZONE_NAME).await? {
        return Err(StoreError::Exists { what: format!("the zone {name}") });
    }
    let values = [
        Text(zone.zone.as_str()),
        Number(i64::from(zone.ratchet_period.seconds())),
        Number(rows::column(zone.created_at.0)),
    ];
    writer.execute(sql::CREATE_ZONE, &values).await?;
    for secret in secrets {
        add_secret(writer, secret).await?;
    }
    commit(writer, act, key).await
}

/// Writes a secret of the KDC itself.
pub(super) async fn add_secret(writer: &mut dyn Writer, secret: &SecretRecord) -> Result<(), StoreError> {
    let values = [
        Text(&secret.name),
        Number(i64::from(secret.version)),
        Number(i64::from(secret.master_version)),
        Bytes(&secret.wrapped),
    ];
    match writer.execute(sql::ADD_SECRET, &values).await? {
        0 => Err(StoreError::Exists { what: format!("the secret {}", secret.name) }),
        _ => Ok(()),
    }
}

/// Notes the highest epoch that keys at rest are turned to.
pub(super) async fn note_ratchet_epoch(writer: &mut dyn Writer, epoch: Epoch) -> Result<(), StoreError> {
    writer.execute(sql::NOTE_RATCHET_EPOCH, &[Number(epoch.0.into())]).await.map(drop)
}

/// Writes rows in their new wrapping. Says how many were still as they were found.
pub(super) async fn rewrap(writer: &mut dyn Writer, rows: &[Rewrap]) -> Result<u64, StoreError> {
    // The lock that all writers take first: two that write the same rows in another order would wait for each other.
    take_changes(writer, 0).await?;
    let keys: Vec<_> = rows
        .iter()
        .filter_map(|row| match row {
            Rewrap::Key(found, key) => Some((found, key)),
            _ => None,
        })
        .collect();
    let mut written = if keys.is_empty() { 0 } else { writer.rewrap_keys(&keys).await? };
    for row in rows {
        written += match row {
            Rewrap::Key(..) => 0,
            Rewrap::Enrollment(found, seal) => {
                let values = [
                    Number(seal.master_version.into()),
                    Bytes(&seal.sealed),
                    Text(found.party.as_str()),
                    Number(rows::column(found.revision)),
                    Number(found.enrollment.seal.master_version.into()),
                ];
                writer.execute(sql::REWRAP_ENROLLMENT, &values).await?
            }
            Rewrap::Document(found, new) => {
                let values = [
                    Number(new.master_version.into()),
                    Bytes(&new.sealed),
                    Text(found.kind.as_str()),
                    Text(&found.id),
                    Number(rows::column(found.revision)),
                    Number(found.master_version.into()),
                ];
                writer.execute(sql::REWRAP_DOCUMENT, &values).await?
            }
            Rewrap::Secret(found, new) => {
                let values = [
                    Number(new.master_version.into()),
                    Bytes(&new.wrapped),
                    Text(&found.name),
                    Number(found.version.into()),
                    Number(found.master_version.into()),
                    // What is in it may change under one version too.
                    Bytes(&found.wrapped),
                ];
                writer.execute(sql::REWRAP_SECRET, &values).await?
            }
            Rewrap::Answer(found, new) => {
                let values = [
                    Number(new.master_version.into()),
                    Bytes(&new.wrapped),
                    Text(&found.actor),
                    Text(&found.idempotency),
                    Number(rows::column(found.expires_at.0)),
                    Number(found.master_version.into()),
                ];
                writer.execute(sql::REWRAP_ANSWER, &values).await?
            }
        };
    }
    Ok(written)
}

/// Does what an act says. Returns the number of the last change, its own or an earlier one.
pub(super) async fn commit(writer: &mut dyn Writer, act: &Act, key: &AuditKey) -> Result<i64, StoreError> {
    let changes = i64::try_from(act.changes()).unwrap_or(i64::MAX);
    let last = take_changes(writer, changes).await?;
    let mut work = Work { writer, key, change: last - changes, touched: BTreeMap::new() };
    let mut rest = act.writes.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let puts = run_of_puts(rest);
        if puts.is_empty() {
            work.write(first).await?;
            rest = others;
        } else {
            work.put_parties(&puts).await?;
            rest = rest.get(puts.len()..).unwrap_or_default();
        }
    }
    work.finish().await?;
    record(writer, &act.events, key).await?;
    Ok(last)
}

async fn take_changes(writer: &mut dyn Writer, changes: i64) -> Result<i64, StoreError> {
    let last = writer.number(sql::TAKE_CHANGES, &[Number(changes)]).await?;
    last.ok_or_else(|| StoreError::damaged("change_counter 1", &"it is not there"))
}

/// The parties that a row of writes begins with, as far as one look and a few statements can do them together: no name
/// comes twice.
fn run_of_puts(writes: &[Write]) -> Vec<(&PartyRecord, Option<u64>)> {
    let mut names = HashSet::new();
    let put = |write| match write {
        &Write::PutParty { ref party, expected } if names.insert(&party.name) => Some((party, expected)),
        _ => None,
    };
    writes.iter().take(RUN).map_while(put).collect()
}

/// An act on its way.
struct Work<'a> {
    writer: &'a mut dyn Writer,
    key: &'a AuditKey,
    /// The number of the last change that was made.
    change: i64,
    /// The last change to each kind of document, of those that this act changed.
    touched: BTreeMap<Kind, i64>,
}

impl Work<'_> {
    async fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::PutParty { party, expected } => self.put_parties(&[(party, *expected)]).await,
            Write::ForceParty(party) => {
                let found = self.writer.find(&[party.name.as_str()]).await?.by_name();
                let found = found.into_values().next().unwrap_or_default();
                let put = Put { party, planned: rows::plan_over(party, &found), change: self.next_change() };
                self.writer.put_parties(&[put]).await
            }
            Write::DeleteParty { name, expected } => {
                let found = self.writer.find(&[name.as_str()]).await?.by_name().remove(name.as_str());
                let Some((revision, last)) = found.and_then(|found| found.live) else {
                    return Err(StoreError::Missing { name: name.clone() });
                };
                rows::expect(name, *expected, revision)?;
                let change = self.next_change();
                let name = Text(name.as_str());
                self.writer.execute(sql::DELETE_PARTY, &[name]).await?;
                self.writer.execute(sql::FORGET_SEEN, &[name]).await?;
                let values = [name, Number(revision.max(0)), Number(last.max(0)), Number(change)];
                self.writer.execute(sql::BURY, &values).await.map(drop)
            }
            Write::PutDocument { document, expected } => {
                let row = [Text(document.kind.as_str()), Text(&document.id)];
                let found = self.writer.number(sql::DOCUMENT_REVISION, &row).await?;
                rows::may_put_document(document, *expected, found)?;
                self.put_document(document).await
            }
            Write::ForceDocument(document) => self.put_document(document).await,
            Write::DeleteDocument { kind, id, expected } => {
                let row = [Text(kind.as_str()), Text(id)];
                let found = self.writer.number(sql::DOCUMENT_REVISION, &row).await?;
                rows::may_delete_document(*kind, id, *expected, found)?;
                self.touch(*kind);
                self.writer.execute(sql::DELETE_DOCUMENT, &row).await.map(drop)
            }
            Write::Expect { kind, change } => {
                let last = match self.touched.get(kind) {
                    Some(change) => Some(*change),
                    None => self.writer.number(sql::DOCUMENT_CHANGE, &[Text(kind.as_str())]).await?,
                };
                if last.unwrap_or(0) == rows::column(change.0) {
                    return Ok(());
                }
                Err(StoreError::DocumentChanged { kind: *kind, id: "*".to_owned() })
            }
            Write::KeepAnswer(answer) => self.keep_answer(answer).await,
            Write::NoParty(name) => {
                match self.writer.number(sql::PARTY_REVISION, &[Text(name.as_str())]).await? {
                    Some(_) => Err(StoreError::Exists { what: format!("the party {name}") }),
                    None => Ok(()),
                }
            }
            Write::NoDocument { kind, id } => {
                let row = [Text(kind.as_str()), Text(id)];
                match self.writer.number(sql::DOCUMENT_REVISION, &row).await? {
                    Some(_) => Err(StoreError::DocumentExists { kind: *kind, id: id.clone() }),
                    None => Ok(()),
                }
            }
            Write::AddSecret(secret) => add_secret(self.writer, secret).await,
            Write::DeleteSecret { name, version } => {
                let values = [Text(name), Number(i64::from(*version))];
                self.writer.execute(sql::DELETE_SECRET, &values).await.map(drop)
            }
            Write::NeedSchema(schema) => {
                self.writer.execute(sql::NEED_SCHEMA, &[Number(*schema)]).await.map(drop)
            }
            Write::AcceptEpoch(epoch) => note_ratchet_epoch(self.writer, *epoch).await,
            Write::ForgetAnswers => self.writer.execute(sql::FORGET_ALL_ANSWERS, &[]).await.map(drop),
            Write::SealAnew { before } => self.seal_anew(before).await,
            Write::TrimAudit(seal) => self.trim_audit(seal).await,
        }
    }

    async fn put_parties(&mut self, puts: &[(&PartyRecord, Option<u64>)]) -> Result<(), StoreError> {
        let names: Vec<_> = puts.iter().map(|(party, _)| party.name.as_str()).collect();
        let mut found = self.writer.find(&names).await?.by_name();
        let mut planned = Vec::with_capacity(puts.len());
        for (party, expected) in puts {
            let found = found.remove(party.name.as_str()).unwrap_or_default();
            planned.push(Put {
                party,
                planned: rows::plan(party, *expected, &found)?,
                change: self.next_change(),
            });
        }
        self.writer.put_parties(&planned).await
    }

    async fn put_document(&mut self, document: &Document) -> Result<(), StoreError> {
        self.touch(document.kind);
        let values = [
            Text(document.kind.as_str()),
            Text(&document.id),
            Number(rows::column(document.revision)),
            Text(&document.body),
            Number(i64::from(document.master_version)),
            Bytes(&document.sealed),
        ];
        self.writer.execute(sql::PUT_DOCUMENT, &values).await.map(drop)
    }

    async fn keep_answer(&mut self, answer: &Answer) -> Result<(), StoreError> {
        let values = [
            Text(&answer.actor),
            Text(&answer.idempotency),
            Bytes(&answer.fingerprint),
            Number(i64::from(answer.status)),
            Number(i64::from(answer.master_version)),
            Bytes(&answer.wrapped),
            Number(rows::column(answer.expires_at.0)),
        ];
        match self.writer.execute(sql::KEEP_ANSWER, &values).await? {
            0 => Err(StoreError::AnswerExists),
            _ => Ok(()),
        }
    }

    async fn trim_audit(&mut self, seal: &Seal) -> Result<(), StoreError> {
        let seq = rows::column(seal.link.seq);
        if seal.kind != SealKind::Trim || !seal.holds(self.key.zone(), self.key.public()) {
            return Err(StoreError::damaged(
                format!("audit_seal trim {seq}"),
                &"the zone's audit key did not sign it",
            ));
        }
        let hash = self.writer.record_hash(seq).await?;
        rows::may_trim(&seal.link, hash.as_deref())?;
        self.writer.execute(sql::TRIM_RECORDS, &[Number(seq)]).await?;
        self.writer.execute(sql::TRIM_CHECKPOINTS, &[Number(seq)]).await?;
        add_seal(self.writer, seal).await
    }

    async fn seal_anew(&mut self, before: &PublicKey) -> Result<(), StoreError> {
        // The end must hold: what the new key signs is what the one before did.
        end(self.writer, self.key.zone(), before.as_bytes()).await?;
        for kind in [SealKind::Trim, SealKind::Checkpoint, SealKind::Head] {
            for seal in self.writer.seals(kind).await? {
                if !seal.holds(self.key.zone(), before.as_bytes()) {
                    continue;
                }
                let values = [
                    Bytes(&self.key.seal_anew(&seal).signature),
                    Text(kind.as_str()),
                    Number(rows::column(seal.link.seq)),
                ];
                self.writer.execute(sql::SEAL_ANEW, &values).await?;
            }
        }
        Ok(())
    }

    fn next_change(&mut self) -> i64 {
        self.change += 1;
        self.change
    }

    fn touch(&mut self, kind: Kind) {
        let change = self.next_change();
        self.touched.insert(kind, change);
    }

    async fn finish(self) -> Result<(), StoreError> {
        for (kind, change) in self.touched {
            let values = [Text(kind.as_str()), Number(change)];
            self.writer.execute(sql::SET_DOCUMENT_CHANGE, &values).await?;
        }
        Ok(())
    }
}

/// Appends events to the audit log and signs its new end.
async fn record(writer: &mut dyn Writer, events: &[Event], key: &AuditKey) -> Result<(), StoreError> {
    let Some(last) = events.last() else { return Ok(()) };
    let mut link = end(writer, key.zone(), key.public()).await?;
    for events in events.chunks(RUN) {
        let mut records = Vec::with_capacity(events.len());
        for event in events {
            let record = link.next(event);
            link = record.link();
            records.push(record);
            if link.seq.is_multiple_of(CHECKPOINT_EVERY) {
                add_seal(writer, &key.seal(SealKind::Checkpoint, link, event.at, "")).await?;
            }
        }
        writer.append(&records).await?;
    }
    writer.execute(sql::REMOVE_HEAD, &[]).await?;
    add_seal(writer, &key.seal(SealKind::Head, link, last.at, "")).await
}

/// Where the audit log goes on: after the record that the head seal names, whatever the rows say. A record that somebody
/// changed or removed does not stop the zone: the chain goes on from what was signed, so that `audit verify` still names the
/// damage. Only where nobody can say what was signed, or where the next record's place is taken, it stops.
async fn end(writer: &mut dyn Writer, zone: &Zone, public: &[u8]) -> Result<Link, StoreError> {
    let link = match writer.seals(SealKind::Head).await?.pop() {
        Some(seal) => {
            if !seal.holds(zone, public) {
                let row = format!("audit_seal head {}", seal.link.seq);
                return Err(StoreError::damaged(row, &"the zone's audit key did not sign it"));
            }
            seal.link
        }
        None if writer.number(sql::SEAL_COUNT, &[]).await?.unwrap_or(0) > 0 => {
            return Err(StoreError::damaged("audit_seal head", &"it is not there"));
        }
        None => Link::origin(zone),
    };
    let last = writer.number(sql::LAST_RECORD, &[]).await?.unwrap_or(0);
    if last > rows::column(link.seq) {
        return Err(StoreError::damaged(
            format!("audit {last}"),
            &format!("the signed end of the audit log is {}", link.seq),
        ));
    }
    Ok(link)
}

async fn add_seal(writer: &mut dyn Writer, seal: &Seal) -> Result<(), StoreError> {
    let values = [
        Text(seal.kind.as_str()),
        Number(rows::column(seal.link.seq)),
        Bytes(&seal.link.hash),
        Number(rows::column(seal.at.0)),
        Text(&seal.summary),
        Bytes(&seal.signature),
    ];
    writer.execute(sql::ADD_SEAL, &values).await.map(drop)
}
