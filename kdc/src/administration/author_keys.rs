//! The keys that parties sign with as authors: the first that a party registers stays (docs/decisions/0029).

use std::sync::Arc;

use keycell_protocol::{AuthorPublicKey, Name, ProblemType, Vouchers};

use super::kept::not_of_a_zone;
use super::{AdminError, Asker, Caller, Ledger, PartyError, Precondition};
use crate::audit::{Action, Event, hex};
use crate::issuance::Authenticated;
use crate::keyring::Standing;
use crate::store::{Act, KeyState, PartyRecord, Write};

/// The parties' keys as authors. Everything here is durable, recorded, and in force on this KDC, when it returns.
pub struct AuthorKeys {
    ledger: Arc<Ledger>,
}

impl AuthorKeys {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// Sees that the key that a party asks a voucher for is the one that it registered; its first is registered now. Says
    /// whether it was.
    ///
    /// # Errors
    /// [`AdminError::Refused`] when it registered another one; [`PartyError::Denied`] for a party that is gone or
    /// disabled by now.
    pub async fn register(&self, asked: &Authenticated<Vouchers>, asker: &Asker) -> Result<bool, PartyError> {
        let (name, key) = (asked.party().name(), asked.request().public_key);
        // As every day: no word with the database, so that it may be away.
        if asked.party().record().author_key == Some(key) {
            return Ok(false);
        }
        for _ in 0..ATTEMPTS {
            let Some(mut record) = self.ledger.store().party(name).await? else {
                return Err(PartyError::denied(ProblemType::Unauthenticated, "the party is gone"));
            };
            if !record.enabled {
                return Err(PartyError::denied(ProblemType::PartyDisabled, "the party is disabled"));
            }
            match record.author_key {
                Some(known) if known == key => {
                    self.prove(&record)?;
                    // Another KDC did it: what is answered here holds here.
                    self.ledger.catch_up().await;
                    return Ok(false);
                }
                Some(_) => return Err(another(name)),
                None => {}
            }
            let event = asker.event(name, self.ledger.now(), Action::PartyAuthorKeyRegister);
            self.bind(&mut record, Some(key))?;
            match self.put(record, event.with("public_key", hex::encode(key.as_bytes()))).await {
                Ok(true) => return Ok(true),
                Ok(false) | Err(AdminError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AdminError::Busy.into())
    }

    /// Removes the key that a party registered: the next one that it asks a voucher for is its key. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn forget(
        &self,
        caller: &Caller,
        name: &Name,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        not_of_a_zone(name)?;
        let missing = || AdminError::Missing(format!("party {name}"));
        for _ in 0..ATTEMPTS {
            let mut record = self.ledger.store().party(name).await?.ok_or_else(missing)?;
            precondition.check(record.revision)?;
            let Some(key) = record.author_key else {
                self.ledger.catch_up().await;
                return Ok(());
            };
            self.bind(&mut record, None)?;
            let event = caller.event(self.ledger.now(), Action::PartyAuthorKeyRemove, name.as_str());
            if self.put(record, event.with("public_key", hex::encode(key.as_bytes()))).await? {
                return Ok(());
            }
        }
        Err(AdminError::Busy)
    }

    /// Sees that Keycell wrote what the record says: its keys are bound to it.
    fn prove(&self, record: &PartyRecord) -> Result<(), AdminError> {
        let mut alive = record.keys.iter().filter(|key| key.state != KeyState::Dead);
        let key = alive.next().ok_or(AdminError::Busy)?;
        self.ledger.keyring().open_key(record, key)?;
        Ok(())
    }

    fn bind(&self, record: &mut PartyRecord, author_key: Option<AuthorPublicKey>) -> Result<(), AdminError> {
        let standing = Standing { author_key, ..Standing::of(record) };
        Ok(self.ledger.keyring().rewrap(record, standing, &mut crate::random::system())?)
    }

    /// Says whether it is done, as [`Ledger::commit_on`].
    async fn put(&self, mut record: PartyRecord, event: Event) -> Result<bool, AdminError> {
        let expected = Some(record.revise(self.ledger.now()));
        let name = record.name.clone();
        let writes = vec![
            Write::PutParty { party: record, expected },
            // A KDC of a release before would take the party's keys for damaged.
            Write::NeedSchema(SCHEMA),
        ];
        self.ledger.commit_on(&name, &Act { writes, events: vec![event] }).await
    }
}

fn another(name: &Name) -> PartyError {
    PartyError::Admin(AdminError::Refused(format!(
        "another signing key of {name} is registered: sign with that one, or have an administrator remove it \
         (`keycell party forget-author-key {name}`)"
    )))
}

const ATTEMPTS: usize = 5;
/// The schema of the first release that knows of these keys.
const SCHEMA: i64 = 4;
