//! The groups of a zone: the one way in which administrators change them.

mod members;
mod read;

use std::sync::Arc;

use keycell_protocol::{Generation, Name};

use super::{AdminError, Caller, Ledger, Precondition};
use crate::api::{GroupPatch, NewGroup};
use crate::audit::{Action, Event};
use crate::groups::{self, Chain, GroupRecord, LIFETIME, MAX_EXCLUDED, MAX_GROUPS};
use crate::policy::Pattern;
use crate::store::{Act, Kind, StoreError, Write};

/// The groups of a zone. Everything here is durable, recorded, and in force on this KDC, when it returns.
pub struct Groups {
    ledger: Arc<Ledger>,
}

/// What is to become of a group.
struct Change {
    /// The group with what is changed.
    record: GroupRecord,
    /// What the log is to say of it.
    event: Event,
    /// Whether the keys that are out come to an end with it.
    ends_keys: bool,
}

impl Groups {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// One group.
    ///
    /// # Errors
    /// [`AdminError::Missing`]; [`AdminError::Refused`] where its row does not hold.
    pub fn show(&self, name: &Name) -> Result<GroupRecord, AdminError> {
        let groups = self.ledger.directory().groups();
        let found = groups.values().find(|group| group.name == *name).cloned();
        found.ok_or_else(|| if self.is_broken(name) { out_of_service(name) } else { missing(name) })
    }

    /// Whether there is a row of a group, and it does not hold.
    fn is_broken(&self, name: &Name) -> bool {
        name.zone() == self.ledger.zone().zone.as_str()
            && self.ledger.directory().broken_groups().contains(name.local())
    }

    /// Up to `limit` groups in the order of their names, from the first after `after`.
    #[must_use]
    pub fn page(&self, after: Option<&Name>, limit: usize) -> Vec<GroupRecord> {
        let groups = self.ledger.directory().groups();
        let mut wanted: Vec<_> =
            groups.values().filter(|group| after.is_none_or(|after| group.name > *after)).collect();
        wanted.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        wanted.into_iter().take(limit).cloned().collect()
    }

    /// The group that a pattern is about and nobody else, and a pattern of its members: as the source of a rule it never asks.
    #[must_use]
    pub fn never_asks(&self, source: &Pattern) -> Option<(Name, Option<Pattern>)> {
        let (local, _) = source.as_str().split_once('@')?;
        let groups = self.ledger.directory().groups();
        let group = groups.get(local).filter(|group| group.name.as_str() == source.as_str())?;
        Some((group.name.clone(), group.members.first().cloned()))
    }

    /// Makes a group, and the first chain of its keys. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Exists`]; [`AdminError::Refused`] when a party has the name.
    pub async fn create(
        &self,
        caller: &Caller,
        new: &NewGroup,
        keep: impl Fn(&GroupRecord) -> Result<Option<Write>, AdminError>,
    ) -> Result<GroupRecord, AdminError> {
        let draft = read::group(new, &self.ledger.zone().zone, self.ledger.now())?;
        let name = &draft.name;
        // Whether there is room is known of one state of the groups; somebody else may change it in between.
        for _ in 0..ATTEMPTS {
            let there = self.ledger.store().documents(Kind::Group).await?;
            if there.documents.len() + there.damaged.len() >= MAX_GROUPS {
                let text = format!("the zone has {MAX_GROUPS} groups, which is the most; delete one first");
                return Err(AdminError::Refused(text));
            }
            let mut record = draft.clone();
            // Beyond every revision that a group of its name can have had: each of those took a change of the groups.
            record.revision = there.change.0.saturating_add(1);
            let (record, chain) = self.first_chain(record);
            let event = caller.event(record.created_at, Action::GroupCreate, name.as_str());
            let mut act = Act::new(
                Write::Expect { kind: Kind::Group, change: there.change },
                read::described(event, &record),
            );
            act.writes.push(Write::NoParty(name.clone()));
            act.writes.push(self.write(&record, None)?);
            act.writes.extend(chain);
            act.writes.extend(keep(&record)?);
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(record),
                Err(AdminError::Store(StoreError::DocumentChanged { .. })) => {}
                Err(AdminError::Store(StoreError::DocumentExists { .. })) => {
                    return Err(AdminError::Exists(format!("group {name}")));
                }
                Err(AdminError::Store(StoreError::Exists { .. })) => {
                    return Err(AdminError::Refused(format!(
                        "there is a party {name}, and a name is either a party's or a group's: choose another, or delete the party"
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    /// Changes a group. What it is already is left alone; doing it again changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn update(
        &self,
        caller: &Caller,
        name: &Name,
        patch: &GroupPatch,
        precondition: &Precondition,
    ) -> Result<GroupRecord, AdminError> {
        let zone = &self.ledger.zone().zone;
        self.change(
            name,
            precondition,
            |before| {
                let event = caller.event(self.ledger.now(), Action::GroupUpdate, name.as_str());
                read::patched(before, patch, zone, event)
            },
            |_| Ok(None),
        )
        .await
    }

    /// Puts an end to all keys of a group that are out. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn rotate(
        &self,
        caller: &Caller,
        name: &Name,
        precondition: &Precondition,
        keep: impl Fn(&GroupRecord) -> Result<Option<Write>, AdminError>,
    ) -> Result<GroupRecord, AdminError> {
        self.change(
            name,
            precondition,
            |before| {
                let event = caller.event(self.ledger.now(), Action::GroupRotate, name.as_str());
                Ok(Some(Change { record: before.clone(), event, ends_keys: true }))
            },
            keep,
        )
        .await
    }

    /// Takes a party out of a group, whatever the patterns say, and puts an end to all keys that it holds.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] where no pattern is about it, [`AdminError::Missing`] for the group and for the party: who
    /// mistypes a name must not believe that somebody is out.
    pub async fn exclude(
        &self,
        caller: &Caller,
        name: &Name,
        party: &Name,
        precondition: &Precondition,
    ) -> Result<GroupRecord, AdminError> {
        self.change(
            name,
            precondition,
            |before| {
                if before.excluded.contains(party) {
                    return Ok(None);
                }
                if !members::is_about(before, party) {
                    let text = format!("no pattern of {name} is about {party}: it is no member");
                    return Err(AdminError::invalid("party", text));
                }
                if self.ledger.directory().party(party.as_str()).is_none() {
                    return Err(AdminError::Missing(format!("party {party}")));
                }
                if before.excluded.len() >= MAX_EXCLUDED {
                    let text = format!(
                        "{name} leaves out {MAX_EXCLUDED} parties, which is the most: narrow its patterns"
                    );
                    return Err(AdminError::Refused(text));
                }
                let mut record = before.clone();
                record.excluded.insert(party.clone());
                let event = caller.event(self.ledger.now(), Action::GroupExclude, name.as_str());
                Ok(Some(Change { record, event: event.with("party", party.as_str()), ends_keys: true }))
            },
            |_| Ok(None),
        )
        .await
    }

    /// Lets a party that was taken out be a member again, as the patterns say. It gets the keys in force; no new ones are
    /// needed, for nothing was given to it meanwhile.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn include(
        &self,
        caller: &Caller,
        name: &Name,
        party: &Name,
        precondition: &Precondition,
    ) -> Result<GroupRecord, AdminError> {
        self.change(
            name,
            precondition,
            |before| {
                let mut record = before.clone();
                let event = caller.event(self.ledger.now(), Action::GroupInclude, name.as_str());
                let change = Change {
                    event: event.with("party", party.as_str()),
                    ends_keys: false,
                    record: before.clone(),
                };
                Ok(record.excluded.remove(party).then_some(Change { record, ..change }))
            },
            |_| Ok(None),
        )
        .await
    }

    /// Deletes a group with all its keys: nobody is given them any more. Its name can be given again.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn delete(
        &self,
        caller: &Caller,
        name: &Name,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        for _ in 0..ATTEMPTS {
            self.ledger.catch_up().await;
            let event = caller.event(self.ledger.now(), Action::GroupDelete, name.as_str());
            let act = match self.show(name) {
                Ok(record) => {
                    precondition.check(record.revision)?;
                    let mut act = Act::new(
                        delete(name, Some(record.revision)),
                        read::described(event, &record).with("revision", record.revision),
                    );
                    act.writes.extend(groups::forget_chains(&record));
                    act
                }
                Err(_) => self.delete_damaged(name, event).await?.ok_or_else(|| missing(name))?,
            };
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(()),
                Err(AdminError::Store(StoreError::DocumentChanged { .. })) => {}
                Err(AdminError::Store(StoreError::DocumentMissing { .. })) => return Err(missing(name)),
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    /// Deletes a group whose row does not hold, if there is one: it serves nobody, and would only keep its name.
    async fn delete_damaged(&self, name: &Name, event: Event) -> Result<Option<Act>, AdminError> {
        if name.zone() != self.ledger.zone().zone.as_str() {
            return Ok(None);
        }
        let body = match self.ledger.store().document(Kind::Group, name.local()).await {
            Ok(None) => return Ok(None),
            Ok(Some(document)) => document.body,
            Err(StoreError::Damaged { .. }) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let mut act = Act::new(delete(name, None), event.with("damaged", true));
        // Whoever spoilt it says which chains go with it; of other groups they are not.
        let told = serde_json::from_str::<GroupRecord>(&body).ok().filter(|told| told.name == *name);
        act.writes.extend(told.iter().flat_map(groups::forget_chains));
        Ok(Some(act))
    }

    /// Makes a change to a group as it is now; `None` is a change that changes nothing.
    async fn change(
        &self,
        name: &Name,
        precondition: &Precondition,
        change: impl Fn(&GroupRecord) -> Result<Option<Change>, AdminError>,
        keep: impl Fn(&GroupRecord) -> Result<Option<Write>, AdminError>,
    ) -> Result<GroupRecord, AdminError> {
        // Somebody else may change the group in between; then look again.
        for _ in 0..ATTEMPTS {
            self.ledger.catch_up().await;
            let before = self.show(name)?;
            precondition.check(before.revision)?;
            let Some(Change { record, event, ends_keys }) = change(&before)? else { return Ok(before) };
            let (mut record, writes) = if ends_keys { self.next_chain(record) } else { (record, Vec::new()) };
            let chain = record.chain().filter(|_| ends_keys);
            let event = chain.map_or(event.clone(), |chain| {
                event.with("chain", chain.version).with("generation", chain.first.0)
            });
            record.revision = before.revision.saturating_add(1);
            record.updated_at = self.ledger.now();
            let mut act = Act::new(self.write(&record, Some(before.revision))?, event);
            act.writes.extend(writes);
            act.writes.extend(keep(&record)?);
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(record),
                Err(AdminError::Store(StoreError::DocumentChanged { .. })) => {}
                Err(AdminError::Store(StoreError::DocumentMissing { .. })) => return Err(missing(name)),
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    /// The first chain of a new group. A group of its name may have been before: whoever still holds its keys, or a ticket
    /// under them, must not meet their numbers again. An earlier life took a change of the groups for each of its chains,
    /// and each added two generations to those that went by with the time, of which none is shorter than a minute.
    fn first_chain(&self, mut record: GroupRecord) -> (GroupRecord, Vec<Write>) {
        let now = self.ledger.now().seconds();
        let changes = record.revision;
        let minutes = now.0 / u64::from(*LIFETIME.start());
        let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let earlier = Chain {
            version: number(changes),
            first: Generation(number(minutes.saturating_add(changes.saturating_mul(2)))),
            begins_at: now,
            lifetime_seconds: record.lifetime_seconds,
            ended_at: None,
        };
        record.chains.push(earlier);
        let (mut record, writes) = self.next_chain(record);
        record.chains.retain(|chain| chain.ended_at.is_none());
        (record, writes)
    }

    fn next_chain(&self, record: GroupRecord) -> (GroupRecord, Vec<Write>) {
        let random = &mut crate::random::system();
        groups::begin_chain(record, self.ledger.now(), self.ledger.keyring(), random)
    }

    fn write(&self, record: &GroupRecord, expected: Option<u64>) -> Result<Write, AdminError> {
        let document = self.ledger.document(Kind::Group, record.name.local(), record.revision, record)?;
        Ok(Write::PutDocument { document, expected })
    }
}

fn delete(name: &Name, expected: Option<u64>) -> Write {
    Write::DeleteDocument { kind: Kind::Group, id: name.local().to_owned(), expected }
}

fn missing(name: &Name) -> AdminError {
    AdminError::Missing(format!("group {name}"))
}

fn out_of_service(name: &Name) -> AdminError {
    AdminError::Refused(format!(
        "group {name} is out of service: its row does not hold, see the log of this KDC; what to do is in docs/operations.md, \
         KeycellGroupOutOfService"
    ))
}

/// Each loser of a race looks again; one of those that began together wins each time.
const ATTEMPTS: usize = 20;
