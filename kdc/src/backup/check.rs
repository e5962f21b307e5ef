//! Looks through a database that was filled from a backup, before anybody relies on it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::audit::{Link, Seal, SealKind, Seals, Verifier, hex};
use crate::cell::Cell;
use crate::groups::{GroupRecord, open_secret, secret_name};
use crate::keyring::Keyring;
use crate::store::{AuditQuery, Damaged, KeyState, Kind, Store};

use super::{BackupError, Header};

/// What was found.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Checked {
    /// How many parties.
    pub parties: u64,
    /// How many of their keys opened; `None` without the master key.
    pub keys: Option<u64>,
    /// How many rules, settings and tokens.
    pub documents: u64,
    /// How many records the audit log has.
    pub records: u64,
    /// What is wrong with single rows. A KDC leaves them out; whoever puts the backup back decides.
    pub findings: Vec<String>,
}

/// Looks through `store`, which was filled from a backup with this header. With the `cell`, all that is wrapped in it must
/// open; without, it is held against the audit key that the backup names itself.
///
/// # Errors
/// [`BackupError::Unsound`] when it is not what it says it is. What is wrong with single rows is in the findings.
pub async fn check(
    store: &Arc<dyn Store>,
    header: &Header,
    cell: Option<&Cell>,
) -> Result<Checked, BackupError> {
    let zone = store.zone().await?;
    if zone.zone.as_str() != header.zone {
        return Err(unsound("the zone is not the one that its first line names"));
    }
    let public: [u8; 32] = hex::decode(&header.audit_key).ok_or_else(|| unsound("it names no audit key"))?;
    if cell.is_some_and(|cell| cell.audit_key.public() != public) {
        return Err(unsound("the audit key that it names is not the zone's"));
    }
    let keyring = cell.map(|cell| &cell.keyring);
    let mut checked = Checked { keys: keyring.map(|_| 0), ..Checked::default() };
    parties(store, keyring, &mut checked).await?;
    for kind in Kind::all() {
        let found = store.documents(kind).await?;
        checked.left_out(&found.damaged);
        checked.documents = checked.documents.saturating_add(found.documents.len() as u64);
        let Some(keyring) = keyring else { continue };
        for error in found.documents.iter().filter_map(|document| keyring.check_document(document).err()) {
            checked.findings.push(error.to_string());
        }
    }
    if let Some(keyring) = keyring {
        groups(store, keyring, &mut checked).await?;
    }
    records(store, header, &zone.zone, &public, &mut checked).await?;
    Ok(checked)
}

impl Checked {
    fn left_out(&mut self, damaged: &[Damaged]) {
        let told =
            damaged.iter().map(|Damaged { row, reason }| format!("the row {row} is damaged: {reason}"));
        self.findings.extend(told);
    }
}

async fn parties(
    store: &Arc<dyn Store>,
    keyring: Option<&Keyring>,
    checked: &mut Checked,
) -> Result<(), BackupError> {
    let all = store.parties().await?;
    checked.left_out(&all.damaged);
    checked.parties = all.parties.len() as u64;
    let Some(keyring) = keyring else { return Ok(()) };
    let mut opened = 0;
    for party in &all.parties {
        for key in party.keys.iter().filter(|key| key.state != KeyState::Dead) {
            match keyring.open_key(party, key) {
                Ok(_) => opened += 1,
                Err(error) => checked.findings.push(error.to_string()),
            }
        }
    }
    checked.keys = Some(opened);
    Ok(())
}

/// Opens what the keys of groups come from.
async fn groups(store: &Arc<dyn Store>, keyring: &Keyring, checked: &mut Checked) -> Result<(), BackupError> {
    let secrets = store.secrets().await?;
    let secrets: HashMap<_, _> = secrets.into_iter().map(|secret| (secret.name.clone(), secret)).collect();
    for document in store.documents(Kind::Group).await?.documents {
        // One that does not hold is in the findings already.
        let Ok(record) = serde_json::from_str::<GroupRecord>(&document.body) else { continue };
        for chain in &record.chains {
            let found = secrets.get(&secret_name(&record.name, chain.version));
            match found.map(|found| open_secret(keyring, found)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => checked.findings.push(error.to_string()),
                // Of a chain that has ended it is erased when nothing is on its way any more.
                None if chain.ended_at.is_some() => {}
                None => checked.findings.push(format!("the keys of the group {} are not there", record.name)),
            }
        }
    }
    Ok(())
}

/// Looks through the audit log: whole, and up to where the first line says.
async fn records(
    store: &Arc<dyn Store>,
    header: &Header,
    zone: &keycell_protocol::Zone,
    public: &[u8],
    checked: &mut Checked,
) -> Result<(), BackupError> {
    let head: Option<Seal> = store.audit_seals(SealKind::Head).await?.pop();
    if head.as_ref().map(|head| head.link.to_string()) != header.audit_head {
        return Err(unsound("the audit log does not end where its first line says"));
    }
    let noted: Vec<Link> = head.iter().map(|head| head.link).collect();
    let seals = Seals {
        head,
        checkpoints: store.audit_seals(SealKind::Checkpoint).await?,
        trims: store.audit_seals(SealKind::Trim).await?,
    };
    let mut verifier = Verifier::new(zone, public, seals, &noted);
    let mut query = AuditQuery { limit: 1000, ..AuditQuery::default() };
    loop {
        let page = store.audit(&query).await?;
        let Some(last) = page.last() else { break };
        query.after = Some(last.seq);
        page.iter().for_each(|record| verifier.record(record));
    }
    let verdict = verifier.finish();
    checked.records = verdict.summary.records;
    checked.findings.extend(verdict.findings.into_iter().map(|finding| finding.text));
    Ok(())
}

fn unsound(what: &(impl ToString + ?Sized)) -> BackupError {
    BackupError::Unsound { what: what.to_string() }
}
