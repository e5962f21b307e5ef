//! What administrators do to keys: ask parties for new ones, and hand new ones out.

use std::sync::Arc;

use keycell_protocol::{LongTermKey, Name, UnixMillis};
use zeroize::Zeroizing;

use super::states::{Replaced, take_out};
use super::{ATTEMPTS, BATCH, Keys};
use crate::administration::chosen::chosen;
use crate::administration::departures::leave_groups;
use crate::administration::kept::not_of_a_zone;
use crate::administration::{AdminError, Caller, Filter, Precondition};
use crate::audit::{Action, Event};
use crate::directory::Party;
use crate::store::{Act, KeyState, PartyRecord, StoreError, Write};

/// Whose keys are to be replaced.
#[derive(Debug)]
pub enum Selection {
    /// Of these parties.
    Named(Vec<Name>),
    /// Of all enabled ones that the filter wants, from the first after `after`, at most 1,000 of them.
    Matching {
        /// Which.
        filter: Box<Filter>,
        /// The last one of the page before.
        after: Option<Name>,
    },
}

/// How many of a selection are dealt with at once, in one request.
const PAGE: usize = 1000;

/// The parties that were selected.
#[derive(Debug)]
pub struct Selected {
    /// In the order of their names, or as they were named.
    pub parties: Vec<Arc<Party>>,
    /// The last one of this page, when there may be more.
    pub next: Option<Name>,
}

/// A key that an administrator brings to its party.
pub struct NewKey {
    /// The key, if the administrator chose it; else the KDC draws one.
    pub secret: Option<Zeroizing<[u8; LongTermKey::SIZE]>>,
    /// Whether all other keys of the party are dead at once.
    pub erase_old: bool,
}

/// A key that was made, with the party that is to get it.
#[derive(Debug)]
pub struct Replacement {
    /// The party.
    pub record: PartyRecord,
    /// Its key.
    pub key: LongTermKey,
    /// Whether it was there already: a retry.
    pub retried: bool,
}

impl Keys {
    /// The parties of a selection whose key was made before `made_before`, or all of them. Where these are found among
    /// all, it takes milliseconds.
    ///
    /// # Errors
    /// [`AdminError::Missing`] for a named party that is not there.
    pub fn select(
        &self,
        selection: &Selection,
        made_before: Option<UnixMillis>,
    ) -> Result<Selected, AdminError> {
        let old = |party: &Party| {
            party.active().is_some_and(|key| made_before.is_none_or(|before| key.created_at < before))
        };
        let directory = self.ledger.directory();
        match selection {
            Selection::Named(names) => {
                let mut parties = Vec::with_capacity(names.len());
                for name in names {
                    not_of_a_zone(name)?;
                    let party = directory.party(name.as_str());
                    parties.push(party.ok_or_else(|| AdminError::Missing(format!("party {name}")))?);
                }
                parties.retain(|party| old(party));
                Ok(Selected { parties, next: None })
            }
            Selection::Matching { filter, after } => {
                let wanted = |party: &Party| party.enabled() && old(party) && filter.wants(party);
                let parties = directory.page(after.as_ref(), PAGE, wanted);
                let next = parties.last().filter(|_| parties.len() == PAGE).map(|party| party.name().clone());
                Ok(Selected { parties, next })
            }
        }
    }

    /// Asks parties to replace their keys, by themselves, when they next ask for tickets. Asking again changes nothing,
    /// until they have done so.
    ///
    /// # Errors
    /// The database's.
    pub async fn ask(&self, caller: &Caller, selected: &Selected) -> Result<(), AdminError> {
        let names: Vec<_> = selected
            .parties
            .iter()
            .filter(|party| !is_asked(party.record()))
            .map(|party| party.name().clone())
            .collect();
        for names in names.chunks(BATCH) {
            self.ask_these(caller, names).await?;
        }
        Ok(())
    }

    async fn ask_these(&self, caller: &Caller, names: &[Name]) -> Result<(), AdminError> {
        for _ in 0..ATTEMPTS {
            let now = self.ledger.now();
            let mut act = Act::default();
            for mut party in self.ledger.store().some_parties(names).await? {
                party.rotate_after = Some(now);
                if !is_asked(&party) {
                    continue;
                }
                act.events.push(caller.event(now, Action::KeyRotate, party.name.as_str()));
                let expected = Some(party.revise(now));
                act.writes.push(Write::PutParty { party, expected });
            }
            if act.writes.is_empty() {
                return Ok(());
            }
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(()),
                Err(AdminError::Store(StoreError::Changed { .. } | StoreError::Missing { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    /// Gives a party a new key at once, for a host that cannot fetch it by itself. `keep` may add the write that keeps
    /// the answer. With a secret that the administrator chose, doing it again is harmless.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn replace(
        &self,
        caller: &Caller,
        name: &Name,
        new: &NewKey,
        precondition: &Precondition,
        keep: impl Fn(&Replacement) -> Result<Option<Write>, AdminError>,
    ) -> Result<Replacement, AdminError> {
        not_of_a_zone(name)?;
        let missing = || AdminError::Missing(format!("party {name}"));
        for attempt in 0..ATTEMPTS {
            let mut record = self.ledger.store().party(name).await?.ok_or_else(missing)?;
            let states = self.states();
            let mut erased = states.expire(&mut record);
            let held = self.held(&record, new);
            let retried = held.is_some();
            let mut events = Vec::new();
            let key = if let Some(key) = held {
                // Made by an earlier try, whose answer was lost.
                if new.erase_old {
                    erased.extend(take_out(&mut record, |row| row.generation != key.generation()));
                }
                key
            } else {
                precondition.check(record.revision)?;
                let last = self.last(name).await?.ok_or_else(missing)?;
                let random = &mut crate::random::system();
                let Replaced { key, before, erased: gone } =
                    states.replace(&mut record, new.secret.as_ref(), last, new.erase_old, random)?;
                erased.extend(gone);
                let event = caller.event(states.now, Action::KeyRotate, name.as_str());
                events.push(
                    event
                        .with("generation", key.generation().0)
                        .with("before", before.map(|before| before.0))
                        .with("erase_old", new.erase_old),
                );
                key
            };
            events.extend(erased.iter().map(|generation| erasure(caller, states.now, name, generation.0)));
            let expected = record.revision;
            let mut replacement = Replacement { record, key, retried };
            if events.is_empty() {
                return Ok(replacement);
            }
            replacement.record.revise(states.now);
            let party = replacement.record.clone();
            let enabled = party.enabled;
            let mut act = Act { writes: vec![Write::PutParty { party, expected: Some(expected) }], events };
            if new.erase_old && enabled {
                // Whoever has the old key may have what it was good for: the keys of its groups.
                leave_groups(&self.ledger, caller, name, "key erased", attempt > 0, &mut act).await?;
            }
            act.writes.extend(keep(&replacement)?);
            if self.ledger.commit_on(name, &act).await? {
                return Ok(replacement);
            }
        }
        Err(AdminError::Busy)
    }

    /// The key that the administrator chose, if it is the party's active one. One that does not open is another one.
    fn held(&self, record: &PartyRecord, new: &NewKey) -> Option<LongTermKey> {
        let secret = new.secret.as_ref()?;
        chosen(&self.ledger, record, secret).unwrap_or_default()
    }
}

/// Whether a party is to replace its key because somebody asked for it.
fn is_asked(record: &PartyRecord) -> bool {
    let active = record.keys.iter().find(|key| key.state == KeyState::Active);
    active.is_some_and(|key| record.rotate_after.is_some_and(|after| key.created_at < after))
}

fn erasure(caller: &Caller, now: UnixMillis, name: &Name, generation: u32) -> Event {
    caller.event(now, Action::KeyErase, name.as_str()).with("generation", generation)
}
