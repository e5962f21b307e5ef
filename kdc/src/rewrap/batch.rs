//! Rows in their new wrapping. One that does not open is told of and left as it is.

use std::fmt::Display;

use keycell_protocol::LongTermKey;

use super::{Pass, Rewrapper};
use crate::keyring::{Keyring, Life, is_key_check};
use crate::store::{Answer, BoundKey, Damaged, Document, KeyRecord, Rewrap, SecretRecord, Target};

impl Rewrapper {
    pub(super) fn secrets(&self, all: &[SecretRecord], target: Target, pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        let stale = |secret: &&SecretRecord| {
            secret.master_version != target.master_version && !is_key_check(&secret.name)
        };
        let anew = |found: &SecretRecord| {
            let secret = keyring.open_secret(found)?;
            let random = &mut crate::random::system();
            let new = keyring.seal_secret(&found.name, found.version, &secret, random);
            Ok(Rewrap::Secret(found.clone(), new))
        };
        pass.whole(all.iter().filter(stale).map(anew))
    }

    pub(super) fn documents(&self, stale: &[&Document], pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        pass.whole(stale.iter().map(|found| {
            keyring.check_document(found)?;
            let (id, body) = (found.id.clone(), found.body.clone());
            let random = &mut crate::random::system();
            let new = keyring.seal_document(found.kind, id, found.revision, body, random);
            Ok(Rewrap::Document((*found).clone(), new))
        }))
    }

    pub(super) fn answers(&self, stale: &[Answer], pass: &mut Pass) -> Vec<Rewrap> {
        let keyring = self.ledger.keyring();
        pass.whole(stale.iter().map(|found| {
            let body = keyring.open_answer(found)?;
            let new = keyring.seal_answer(found.clone(), &body, &mut crate::random::system());
            Ok(Rewrap::Answer(found.clone(), new))
        }))
    }

    pub(super) async fn keys(&self, stale: Vec<BoundKey>, target: Target, pass: &mut Pass) -> Vec<Rewrap> {
        let ledger = self.ledger.clone();
        // After a long sleep each takes many steps: requests are not to wait behind them.
        let work = move || {
            let anew = |found| turned(ledger.keyring(), found, target);
            stale.into_iter().map(anew).collect::<Vec<_>>()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(rows) => pass.whole(rows.into_iter()),
            // It panicked, and has said so: nothing is written, and the next pass tries again.
            Err(_) => Vec::new(),
        }
    }
}

impl Pass {
    fn whole(
        &mut self,
        rows: impl Iterator<Item = Result<Rewrap, Box<dyn std::error::Error + Send + Sync>>>,
    ) -> Vec<Rewrap> {
        let kept = |row: Result<Rewrap, Box<dyn std::error::Error + Send + Sync>>| match row {
            Ok(row) => Some(row),
            Err(error) => {
                self.damaged += tell(&error);
                None
            }
        };
        rows.filter_map(kept).collect()
    }
}

/// Tells of rows that are damaged. Says how many.
pub(super) fn told(damaged: &[Damaged]) -> u64 {
    damaged.iter().map(|damaged| tell(&format!("{}: {}", damaged.row, damaged.reason))).sum()
}

fn tell(error: &impl Display) -> u64 {
    tracing::error!(%error, "a row stays as it is: it cannot be wrapped anew");
    1
}

/// A key, turned to the target's epoch unless it is past it already, under the active version.
fn turned(
    keyring: &Keyring,
    found: BoundKey,
    target: Target,
) -> Result<Rewrap, Box<dyn std::error::Error + Send + Sync>> {
    let key: LongTermKey = keyring.open_bound(&found)?;
    let epoch = target.epoch.max(key.epoch());
    let key = key.advance(epoch).map_err(|error| format!("the key of {}: {error}", found.party))?;
    let random = &mut crate::random::system();
    let new: KeyRecord = keyring.seal_key(&found.party, found.standing, &key, Life::of(&found.key), random);
    Ok(Rewrap::Key(found, new))
}
