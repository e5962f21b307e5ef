//! Rows in their new wrapping. One that does not open is told of and left as it is.

use std::fmt::Display;
use std::sync::PoisonError;

use keycell_protocol::LongTermKey;

use super::{Pass, Rewrapper};
use crate::keyring::{Keyring, Life, is_key_check};
use crate::store::{
    Answer, BoundEnrollment, BoundKey, Damaged, Document, KeyRecord, Rewrap, SecretRecord, Target,
};

impl Rewrapper {
    pub(super) fn secrets(&self, all: &[SecretRecord], target: Target, pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        let stale = |secret: &&SecretRecord| {
            secret.master_version < target.master_version && !is_key_check(&secret.name)
        };
        let anew = |found: &SecretRecord| {
            let secret = keyring.open_secret(found).map_err(Stays::under(found.master_version))?;
            let random = &mut crate::random::system();
            let new = keyring.seal_secret(&found.name, found.version, &secret, random);
            Ok(Rewrap::Secret(found.clone(), new))
        };
        self.whole(all.iter().filter(stale).map(anew), pass)
    }

    pub(super) fn documents(&self, stale: &[&Document], pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        let anew = |found: &&Document| {
            keyring.check_document(found).map_err(Stays::under(found.master_version))?;
            let (id, body) = (found.id.clone(), found.body.clone());
            let random = &mut crate::random::system();
            let new = keyring.seal_document(found.kind, id, found.revision, body, random);
            Ok(Rewrap::Document((*found).clone(), new))
        };
        self.whole(stale.iter().map(anew), pass)
    }

    pub(super) fn enrollments(&self, stale: Vec<BoundEnrollment>, pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        let anew = |found: BoundEnrollment| {
            let seal = keyring.reseal_bound(&found, &mut crate::random::system());
            let seal = seal.map_err(Stays::under(found.enrollment.seal.master_version))?;
            Ok(Rewrap::Enrollment(found, seal))
        };
        self.whole(stale.into_iter().map(anew), pass)
    }

    pub(super) fn answers(&self, stale: &[Answer], pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        let anew = |found: &Answer| {
            let body = keyring.open_answer(found).map_err(Stays::under(found.master_version))?;
            let new = keyring.seal_answer(found.clone(), &body, &mut crate::random::system());
            Ok(Rewrap::Answer(found.clone(), new))
        };
        self.whole(stale.iter().map(anew), pass)
    }

    pub(super) async fn keys(&self, stale: Vec<BoundKey>, target: Target, pass: &mut Pass) -> Vec<Rewrap> {
        let ledger = self.ledger.clone();
        // After a long sleep each takes many steps: requests are not to wait behind them.
        let work = move || {
            let anew = |found| turned(ledger.keyring(), found, target);
            stale.into_iter().map(anew).collect::<Vec<_>>()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(rows) => self.whole(rows.into_iter(), pass),
            // It panicked, and has said so: nothing is written, and the next pass tries again.
            Err(_) => Vec::new(),
        }
    }
}

impl Rewrapper {
    /// Counts and tells of rows that cannot even be read.
    pub(super) fn unreadable(&self, damaged: &[Damaged], pass: &mut Pass) {
        for Damaged { row, reason } in damaged {
            self.tell(format!("{row}: {reason}"));
            pass.damaged += 1;
            pass.stuck += 1;
        }
    }

    /// The rows that there are in their new wrapping; counts and tells of the others.
    fn whole(&self, rows: impl Iterator<Item = Result<Rewrap, Stays>>, pass: &mut Pass) -> Vec<Rewrap> {
        let kept = |row: Result<Rewrap, Stays>| match row {
            Ok(row) => Some(row),
            Err(Stays { master_version, reason }) => {
                self.tell(reason);
                pass.damaged += 1;
                pass.stuck += u64::from(master_version < self.ledger.keyring().master_version());
                None
            }
        };
        rows.filter_map(kept).collect()
    }

    fn tell(&self, error: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD && !told.contains(&error) {
            tracing::error!(error, "a row stays as it is: it cannot be wrapped anew");
            told.insert(error);
        }
    }
}

/// A row that stays as it is.
struct Stays {
    master_version: u32,
    reason: String,
}

impl Stays {
    fn under<E: Display>(master_version: u32) -> impl Fn(E) -> Self {
        move |error| Self { master_version, reason: error.to_string() }
    }
}

/// A key, turned to the target's epoch unless it is past it already, under the active version.
fn turned(keyring: &Keyring, found: BoundKey, target: Target) -> Result<Rewrap, Stays> {
    let version = found.key.master_version;
    let key: LongTermKey = keyring.open_bound(&found).map_err(Stays::under(version))?;
    let epoch = target.epoch.max(key.epoch());
    let too_far = |error| Stays::under(version)(format!("the key of {}: {error}", found.party));
    let key = key.advance(epoch).map_err(too_far)?;
    let random = &mut crate::random::system();
    let new: KeyRecord = keyring.seal_key(&found.party, found.standing, &key, Life::of(&found.key), random);
    Ok(Rewrap::Key(found, new))
}

/// So many are told of; more are only counted.
const TOLD: usize = 1000;
