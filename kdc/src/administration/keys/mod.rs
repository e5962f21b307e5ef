//! How parties get new keys: by themselves, or by an administrator.

mod administer;
mod due;
mod states;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use keycell_protocol::{Generation, LongTermKey, Name, ProblemType, Rotation, Step};

use super::{AdminError, Asker, Ledger, PartyError};
use crate::audit::{Action, Actor, Event};
use crate::issuance::Authenticated;
use crate::store::{Act, PartyRecord, StoreError, Write};
use crate::trust::Direction;

pub use administer::{NewKey, Replacement, Selected, Selection};
pub use due::due;
pub use states::{Activated, Next, Refused, States};
pub(crate) use states::{Offered, STAGED_MS};

/// The keys of the zone's parties. Everything here is durable, recorded, and in force on this KDC, when it returns.
pub struct Keys {
    ledger: Arc<Ledger>,
    skew_ms: u64,
}

/// What a step of a rotation came to.
#[derive(Debug)]
pub struct Turned {
    /// The party's next key, where it asked for it.
    pub staged: Option<LongTermKey>,
    /// Whether anything was changed; else it was done before.
    pub changed: bool,
}

impl From<Refused> for PartyError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => {
                Self::denied(ProblemType::Unauthenticated, "the party has no such key any more")
            }
            refused => Self::Admin(refused.into()),
        }
    }
}

impl From<Refused> for AdminError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::Busy,
            Refused::Superseded => Self::Refused("a newer key is active already: use that one".to_owned()),
            Refused::Apart(retry_after) => Self::NotYet {
                text: "the next key was given in another way, by enrolling or in the offer of a trust: use that one"
                    .to_owned(),
                retry_after,
            },
            Refused::TooSoon(retry_after) => Self::NotYet {
                text: "the key before is still accepted, and two at a time are enough".to_owned(),
                retry_after,
            },
            Refused::Exhausted => {
                Self::Refused("its key generations are used up: make a party of another name".to_owned())
            }
            Refused::Keyring(error) => error.into(),
        }
    }
}

impl Keys {
    pub(crate) const fn new(ledger: Arc<Ledger>, skew_ms: u64) -> Self {
        Self { ledger, skew_ms }
    }

    /// Takes the step that a party asks for. The database says what its keys are, not the directory, which may be a
    /// moment behind another KDC.
    ///
    /// # Errors
    /// [`PartyError::Denied`] for a party or key that is gone or disabled by now; [`AdminError::Refused`] and
    /// [`AdminError::NotYet`] when it is not the turn of this key.
    pub async fn turn(
        &self,
        rotation: &Authenticated<Rotation>,
        asker: &Asker,
    ) -> Result<Turned, PartyError> {
        let name = rotation.party().name();
        let event = |action: Action| asker.event(name, self.ledger.now(), action);
        // Somebody else may change the party in between; then look again.
        for _ in 0..ATTEMPTS {
            let Some(mut record) = self.ledger.store().party(name).await? else {
                return Err(Refused::Unknown.into());
            };
            if !record.enabled {
                return Err(PartyError::denied(ProblemType::PartyDisabled, "the party is disabled"));
            }
            let states = self.states();
            let erasure = |generation: Generation| event(Action::KeyErase).with("generation", generation.0);
            let mut events: Vec<_> = states.expire(&mut record).into_iter().map(erasure).collect();
            let (turned, told) = match rotation.request().step {
                Step::Stage => {
                    let Some(last) = self.last(name).await? else { return Err(Refused::Unknown.into()) };
                    let apart = self.apart(&record).await;
                    let random = &mut crate::random::system();
                    let Next { key, fresh, erased } =
                        states.stage(&mut record, rotation.generation(), last, apart, random)?;
                    events.extend(erased.into_iter().map(erasure));
                    let told = event(Action::KeyStage).with("generation", key.generation().0);
                    (Turned { staged: Some(key), changed: fresh }, told)
                }
                Step::Commit => {
                    let random = &mut crate::random::system();
                    let activated = states.activate(&mut record, rotation.generation(), random)?;
                    let told = event(Action::KeyActivate).with("generation", rotation.generation().0);
                    match activated {
                        Activated::Already => (Turned { staged: None, changed: false }, told),
                        Activated::Now { before } => {
                            let told = told.with("before", before.map(|before| before.0));
                            (Turned { staged: None, changed: true }, told)
                        }
                    }
                }
            };
            if turned.changed {
                events.push(told);
            }
            if events.is_empty() {
                // Another KDC may have done it: what is answered here holds here.
                self.ledger.catch_up().await;
                return Ok(turned);
            }
            match self.put(record, events).await {
                Ok(true) => return Ok(turned),
                Ok(false) => {}
                Err(AdminError::Missing(_)) => return Err(Refused::Unknown.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(AdminError::Busy.into())
    }

    /// Erases the keys whose time is over, of all parties. Returns how many.
    ///
    /// # Errors
    /// The database's; what was not done is done the next time.
    pub async fn erase_ended(&self) -> Result<usize, AdminError> {
        let now = self.ledger.now();
        let ended = |party: &&Arc<crate::directory::Party>| {
            party.record().keys.iter().any(|key| key.ends_at.is_some_and(|end| end <= now))
        };
        let directory = self.ledger.directory();
        let principals = [directory.all(), directory.zones()].concat();
        let names: Vec<Name> = principals.iter().filter(ended).map(|party| party.name().clone()).collect();
        let mut erased = 0;
        for names in names.chunks(BATCH) {
            erased += match self.erase_ended_of(names).await {
                Ok(count) => count,
                // Somebody changes one of them at this moment: one by one, so that the others are not kept waiting.
                Err(AdminError::Store(
                    StoreError::Changed { .. } | StoreError::Missing { .. } | StoreError::Damaged { .. },
                )) => {
                    let mut count = 0;
                    for name in names {
                        match self.erase_ended_of(std::slice::from_ref(name)).await {
                            Ok(one) => count += one,
                            Err(AdminError::Store(
                                StoreError::Changed { .. } | StoreError::Missing { .. },
                            )) => {}
                            Err(AdminError::Store(error @ StoreError::Damaged { .. })) => {
                                tracing::error!(party = %name, %error, "keys that have ended cannot be erased");
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    count
                }
                Err(error) => return Err(error),
            };
        }
        Ok(erased)
    }

    async fn erase_ended_of(&self, names: &[Name]) -> Result<usize, AdminError> {
        let states = self.states();
        let mut act = Act::default();
        for mut party in self.ledger.store().some_parties(names).await? {
            let erased = states.expire(&mut party);
            if erased.is_empty() {
                continue;
            }
            act.events.extend(erased.iter().map(|generation| {
                Event::new(states.now, Actor::Kdc, Action::KeyErase, party.name.as_str())
                    .with("generation", generation.0)
            }));
            // Nobody changed the party: when that was stays.
            let expected = Some(party.revision);
            party.revision = party.revision.saturating_add(1);
            act.writes.push(Write::PutParty { party, expected });
        }
        if act.writes.is_empty() {
            // Done by another KDC, which this one has not heard of.
            self.ledger.catch_up().await;
            return Ok(0);
        }
        self.ledger.commit(&act).await?;
        Ok(act.events.len())
    }

    pub(crate) fn states(&self) -> States<'_> {
        let now = self.ledger.now();
        let clock = self.ledger.zone().ratchet_period.epoch(now.seconds());
        States {
            keyring: self.ledger.keyring(),
            now,
            epoch: self.ledger.directory().epoch_of_new_keys(clock),
            retire_ms: self.retire_ms(),
            skew_ms: self.skew_ms,
        }
    }

    /// For how long a key that was replaced is accepted: until whoever crashed in between has come back, and every ticket
    /// that was sealed under it has ended.
    fn retire_ms(&self) -> u64 {
        let lifetime = self.ledger.directory().rules().policy.ticket_lifetime_seconds();
        u64::from(lifetime) * 1000 + 2 * self.skew_ms
    }

    /// The generation that was not given to whoever holds the key before: a host made it by enrolling, or another zone was
    /// offered it.
    async fn apart(&self, record: &PartyRecord) -> Option<Generation> {
        let Some(zone) = record.name.asking_zone() else {
            return record.enrollment.as_ref().map(|enrollment| enrollment.generation);
        };
        // The offer may have been made at another KDC a moment ago.
        self.ledger.catch_up().await;
        let trusts = self.ledger.directory().trusts();
        trusts.get(Direction::Incoming, zone.as_str()).and_then(|trust| trust.offered)
    }

    /// The highest generation that the party ever had.
    async fn last(&self, name: &Name) -> Result<Option<Generation>, StoreError> {
        let earlier = self.ledger.store().earlier(std::slice::from_ref(name)).await?;
        Ok(earlier.get(name).map(|earlier| earlier.generation))
    }

    /// Says whether it is done, as [`Ledger::commit_on`].
    async fn put(&self, mut record: PartyRecord, events: Vec<Event>) -> Result<bool, AdminError> {
        let expected = Some(record.revise(self.ledger.now()));
        let name = record.name.clone();
        let writes = vec![Write::PutParty { party: record, expected }];
        self.ledger.commit_on(&name, &Act { writes, events }).await
    }
}

const ATTEMPTS: usize = 20;
/// So many parties in one transaction: it is over before anybody notices.
const BATCH: usize = 256;
