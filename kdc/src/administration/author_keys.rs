//! The keys that parties sign with as authors: the first that a party registers stays (docs/decisions/0029).

use std::net::IpAddr;
use std::sync::Arc;

use keycell_protocol::{AuthorPublicKey, Name, ProblemType};

use super::{AdminError, Caller, Ledger, Precondition};
use crate::audit::{Action, Actor, Event, hex};
use crate::issuance::{AuthenticatedVoucher, Denied, Refusal};
use crate::keyring::Standing;
use crate::store::{Act, KeyState, PartyRecord, StoreError, Write};

/// The parties' keys as authors. Everything here is durable, recorded, and in force on this KDC, when it returns.
pub struct AuthorKeys {
    ledger: Arc<Ledger>,
}

/// Why a key is not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The request is refused.
    #[error("{}", .0.problem().urn())]
    Denied(Denied),
    /// It cannot be done now.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl From<Denied> for RegisterError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<StoreError> for RegisterError {
    fn from(error: StoreError) -> Self {
        Self::Admin(error.into())
    }
}

impl RegisterError {
    const fn denied(problem: ProblemType, cause: &'static str) -> Self {
        Self::Denied(Denied::Refused(Refusal { problem, cause }))
    }

    fn another(name: &Name) -> Self {
        Self::Admin(AdminError::Refused(format!(
            "another signing key of {name} is registered: sign with that one, or have an administrator remove it \
             (`keycell party forget-author-key {name}`)"
        )))
    }
}

impl AuthorKeys {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// Sees that the key that a party asks a voucher for is the one that it registered; its first is registered now. Says
    /// whether it was.
    ///
    /// # Errors
    /// [`AdminError::Refused`] when it registered another one; [`RegisterError::Denied`] for a party that is gone or
    /// disabled by now.
    pub async fn register(
        &self,
        asked: &AuthenticatedVoucher,
        request: Option<String>,
        address: Option<IpAddr>,
    ) -> Result<bool, RegisterError> {
        let (name, key) = (asked.party().name(), asked.request().public_key);
        // As every day: no word with the database, so that it may be away.
        if asked.party().record().author_key == Some(key) {
            return Ok(false);
        }
        for _ in 0..ATTEMPTS {
            let Some(mut record) = self.ledger.store().party(name).await? else {
                return Err(RegisterError::denied(ProblemType::Unauthenticated, "the party is gone"));
            };
            if !record.enabled {
                return Err(RegisterError::denied(ProblemType::PartyDisabled, "the party is disabled"));
            }
            match record.author_key {
                Some(known) if known == key => {
                    self.prove(&record)?;
                    // Another KDC did it: what is answered here holds here.
                    self.ledger.catch_up().await;
                    return Ok(false);
                }
                Some(_) => return Err(RegisterError::another(name)),
                None => {}
            }
            let mut event = Event::new(
                self.ledger.now(),
                Actor::Party(name.clone()),
                Action::PartyAuthorKeyRegister,
                name.as_str(),
            );
            event.request.clone_from(&request);
            event.address = address;
            self.bind(&mut record, Some(key))?;
            match self.put(record, event.with("public_key", hex::encode(key.as_bytes()))).await {
                Ok(_) => return Ok(true),
                Err(AdminError::Store(StoreError::Changed { .. } | StoreError::Missing { .. })) => {}
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
            match self.put(record, event.with("public_key", hex::encode(key.as_bytes()))).await {
                Ok(()) => return Ok(()),
                Err(AdminError::Store(StoreError::Changed { .. })) => {}
                Err(AdminError::Store(StoreError::Missing { .. })) => return Err(missing()),
                Err(error) => return Err(error),
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

    async fn put(&self, mut record: PartyRecord, event: Event) -> Result<(), AdminError> {
        let expected = Some(record.revise(self.ledger.now()));
        let writes = vec![
            Write::PutParty { party: record, expected },
            // A KDC of a release before would take the party's keys for damaged.
            Write::NeedSchema(SCHEMA),
        ];
        self.ledger.commit(&Act { writes, events: vec![event] }).await.map(drop)
    }
}

const ATTEMPTS: usize = 5;
/// The schema of the first release that knows of these keys.
const SCHEMA: i64 = 4;
