//! The secrets of groups' chains, once an hour: turned to what is still given to anybody, and erased when a chain is over.

use std::collections::HashMap;
use std::sync::Arc;

use keycell_protocol::{UnixMillis, UnixSeconds};

use super::{BATCH, PAUSE, Rewrapper};
use crate::groups::{self, Group, secret_name};
use crate::keyring::Keyring;
use crate::store::{Act, Rewrap, SecretRecord, StoreError, Write};

impl Rewrapper {
    /// Turns what is in memory and what is at rest. `now` must be certain; `last` is the hour in which it was last done.
    pub(super) async fn turn_groups(
        &self,
        now: UnixMillis,
        last: &mut Option<u64>,
    ) -> Result<(), StoreError> {
        let hour = now.0 / HOUR_MS;
        // Also when the clock was set back: there is nothing to do then.
        if *last == Some(hour) {
            return Ok(());
        }
        let memberships = self.directory().memberships();
        let groups: Vec<Arc<Group>> = memberships.groups().cloned().collect();
        if !groups.is_empty() {
            // Not as far as now: another KDC's clock may be behind, or this one is set back a little.
            let over = now.minus(HOUR_MS).seconds();
            let secrets = self.ledger.store().secrets().await?;
            let ledger = self.ledger.clone();
            // After a long sleep each takes many steps: requests are not to wait behind them.
            let work = move || {
                for group in &groups {
                    if let Err(error) = group.turn(over) {
                        tracing::error!(group = %group.name(), %error, "the keys of a group are too far behind the clock: rotate it with `keycell group rotate`");
                    }
                }
                due(&groups, secrets, over, ledger.keyring())
            };
            // It panicked, and has said so: nothing is written, and the next hour tries again.
            let (turned, over) = tokio::task::spawn_blocking(work).await.unwrap_or_default();
            for rows in turned.chunks(BATCH as usize) {
                self.ledger.store().rewrap(rows).await?;
                tokio::time::sleep(PAUSE).await;
            }
            if !over.is_empty() {
                // No change that anybody is to hear of: nothing is given of it any more.
                let act = Act { writes: over, events: Vec::new() };
                self.ledger.journal().commit(&act).await?;
            }
            if !turned.is_empty() {
                self.ledger.store().forget_overwritten().await?;
            }
        }
        *last = Some(hour);
        Ok(())
    }
}

/// The secrets that are to be written anew, and those that are to go.
fn due(
    all: &[Arc<Group>],
    secrets: Vec<SecretRecord>,
    over: UnixSeconds,
    keyring: &Keyring,
) -> (Vec<Rewrap>, Vec<Write>) {
    let mut by_name: HashMap<_, _> =
        secrets.into_iter().map(|secret| (secret.name.clone(), secret)).collect();
    let (mut turned, mut gone) = (Vec::new(), Vec::new());
    for record in all.iter().map(|group| group.record()) {
        for chain in &record.chains {
            let name = secret_name(&record.name, chain.version);
            let Some(found) = by_name.remove(&name) else { continue };
            if chain.is_over(over) {
                gone.push(Write::DeleteSecret { name, version: chain.version });
                continue;
            }
            // One that does not open was told of when it was read.
            let Ok(secret) = groups::open_secret(keyring, &found) else { continue };
            let oldest = chain.oldest(over);
            if secret.generation() < oldest
                && let Ok(secret) = secret.advance(oldest)
            {
                let (bytes, random) = (groups::secret_bytes(&secret), &mut crate::random::system());
                let new = keyring.seal_secret(&found.name, found.version, &*bytes, random);
                turned.push(Rewrap::Secret(found, new));
            }
        }
    }
    (turned, gone)
}

const HOUR_MS: u64 = 3_600_000;
