//! How the directory keeps up with the database: everything at the start, then change by change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use keycell_protocol::{Generation, LongTermKey, Name, UnixMillis};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::documents::{self, not_older};
use super::{Directory, FollowError, Party, Rules, Seen, TokenRecords};
use crate::config::Tickets;
use crate::groups::Memberships;
use crate::keyring::Keyring;
use crate::settings::MasterKeySetting;
use crate::store::{
    Change, ChangeNumber, Damaged, Documents, KeyRecord, KeyState, Kind, PartyRecord, Snapshot, Store,
    StoreError,
};
use crate::watermark::{self, Watermark};

/// Carries changes from the store into the directory, always in their order.
pub struct Follower {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    directory: Arc<Directory>,
    tickets: ArcSwap<Tickets>,
    place: Mutex<Place>,
    /// Whether there is something that cannot be read without a version of the master key.
    waits: AtomicBool,
    /// What is remembered of revocations beside the database.
    watermark: OnceLock<Arc<Watermark>>,
    /// Keys that did not unwrap, until somebody takes the news.
    damaged: std::sync::Mutex<BTreeSet<(Name, Generation)>>,
}

impl Follower {
    /// Reads everything. A key that does not unwrap is reported and left out: its party cannot speak until it gets a
    /// new one, and nobody else is touched. A rule or a setting that does not hold stops the start.
    ///
    /// # Errors
    /// [`FollowError`].
    pub async fn start(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        tickets: Tickets,
    ) -> Result<Self, FollowError> {
        // The parties first: what else changes meanwhile is after their change, and so is seen again.
        let snapshot = store.parties().await?;
        let last_seen = store.seen(UnixMillis(0)).await?;
        let settings = documents::settings(&store.documents(Kind::Setting).await?, &keyring)?;
        let lifetime = settings.ticket_lifetime_seconds(&tickets);
        let rules = Rules::read(&store.documents(Kind::Rule).await?, &keyring, lifetime)?;
        let known = TokenRecords::new();
        let tokens = documents::tokens(&store.documents(Kind::Token).await?, &keyring, &known);
        let directory = Arc::new(Directory::new(rules, settings, TokenRecords::new()));
        directory.saw(last_seen);
        let follower = Self {
            store,
            keyring,
            directory,
            tickets: ArcSwap::from_pointee(tickets),
            place: Mutex::new(Place { seen: snapshot.change, ..Place::default() }),
            watermark: OnceLock::new(),
            waits: AtomicBool::new(false),
            damaged: std::sync::Mutex::default(),
        };
        follower.replace(&snapshot);
        follower.take_groups(&follower.store.documents(Kind::Group).await?).await?;
        // What there is at the start does not begin.
        follower.directory.chains_begun.store(0, Ordering::Relaxed);
        follower.keep_revoked(&mut *follower.place.lock().await, tokens);
        Ok(follower)
    }

    /// The directory that is kept up.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// Remembers revocations in `watermark` from now on, beginning with all that the database knows of.
    ///
    /// # Errors
    /// The database's. A file that cannot be written is tried again, and told of.
    pub async fn remember(&self, watermark: Arc<Watermark>) -> Result<(), StoreError> {
        let place = self.place.lock().await;
        watermark.take_in(&*self.store).await?;
        place.revoked.iter().for_each(|(id, token)| watermark.saw_token(id, token));
        self.directory.groups().values().for_each(|record| watermark.saw_group(record));
        let _ = self.watermark.set(watermark);
        self.keep_watermark().await;
        Ok(())
    }

    /// Where revocations are remembered, if they are.
    pub fn watermark(&self) -> Option<&Arc<Watermark>> {
        self.watermark.get()
    }

    /// Brings to the disk what was taken in of revocations. A revocation holds whether that succeeds or not.
    pub async fn keep_watermark(&self) {
        let Some(watermark) = self.watermark.get() else { return };
        if let Err(error) = watermark.write(&*self.store).await {
            tracing::error!(%error, "revocations are not remembered beside the database");
        }
    }

    /// Takes in every change that is committed by now. Who changes something calls this before answering, so that
    /// the change holds on this KDC when the answer leaves.
    ///
    /// # Errors
    /// [`FollowError`] when the database cannot be read, or a rule or setting does not hold: then the ones before it stay
    /// in force, all else is taken in, and it is an error again until it holds.
    pub async fn catch_up(&self) -> Result<(), FollowError> {
        let place = &mut *self.place.lock().await;
        let outcome = self.take_in(place).await;
        // Before whoever made a change is answered; also what could be taken in before an error.
        self.keep_watermark().await;
        outcome
    }

    async fn take_in(&self, place: &mut Place) -> Result<(), FollowError> {
        let changes = self.store.changes_since(place.seen).await?;
        let went_back = changes.change < place.seen;
        if went_back {
            self.refuse_set_back().await?;
            tracing::error!(
                seen = place.seen.0,
                now = changes.change.0,
                "the database went back in time: reading it anew"
            );
            place.pending.extend(Kind::all());
        } else {
            place.pending.extend(&changes.documents);
        }
        let mut snapshot = if went_back { Some(self.store.parties().await) } else { None };
        // What stops somebody before what lets somebody in. A kind that does not hold must not keep a revocation from
        // taking effect: the rest is taken in, and this kind again at the next look.
        let mut outcome = Ok(());
        for kind in place.pending.clone() {
            match self.read(kind, place).await {
                Ok(()) => drop(place.pending.remove(&kind)),
                Err(error) => outcome = Err(error),
            }
        }
        if self.keyring.lacking().is_some() {
            self.waits.store(true, Ordering::Relaxed);
        } else if self.waits() {
            // What could not be read without it is read now, whenever it was changed.
            for kind in [Kind::Token, Kind::Group] {
                if let Err(error) = self.read(kind, place).await {
                    outcome = Err(error);
                }
            }
            snapshot = Some(self.store.parties().await);
        }
        place.seen = match snapshot {
            Some(snapshot) => {
                let snapshot = snapshot?;
                self.replace(&snapshot);
                self.waits.store(false, Ordering::Relaxed);
                snapshot.change
            }
            None => {
                told(&changes.damaged);
                changes.parties.iter().for_each(|change| self.take(change));
                changes.change
            }
        };
        outcome
    }

    /// Whether there is, or was until a moment ago, something that cannot be read without a version of the master key.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Goes over to what another configuration says of tickets, where the zone has no setting of its own.
    ///
    /// # Errors
    /// [`FollowError::Policy`].
    pub async fn set_tickets(&self, tickets: Tickets) -> Result<(), FollowError> {
        // While nobody reads: rules that are compiled meanwhile would have the lifetime from before.
        let _place = self.place.lock().await;
        let lifetime = self.directory.settings().ticket_lifetime_seconds(&tickets);
        let rules = self.directory.rules();
        if rules.policy.ticket_lifetime_seconds() != lifetime {
            self.directory.set_rules(rules.with_lifetime(lifetime)?);
        }
        self.tickets.store(Arc::new(tickets));
        Ok(())
    }

    /// Follows the database until told to stop: at once where it notifies, and at least every `at_least`. `report`
    /// hears how each look ended.
    pub async fn follow(
        &self,
        at_least: Duration,
        stop: CancellationToken,
        report: impl Fn(Result<(), FollowError>),
    ) {
        loop {
            let seen = self.place.lock().await.seen;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.store.wait_for_change(seen, at_least) => {}
            }
            report(self.catch_up().await);
        }
    }

    /// Refuses a database that was set back under this KDC and gives back what was taken: what is in memory stays in force.
    async fn refuse_set_back(&self) -> Result<(), FollowError> {
        let Some(watermark) = self.watermark.get() else { return Ok(()) };
        let undone = watermark::undone(&*self.store, &watermark.known()).await?;
        match undone.first() {
            None => Ok(()),
            Some(first) => Err(FollowError::SetBack { first: first.to_string(), count: undone.len() }),
        }
    }

    /// Tells the database who was seen here, and learns who was seen elsewhere since a moment.
    ///
    /// # Errors
    /// [`StoreError`]: then it is told the next time.
    pub async fn exchange_seen(&self, since: UnixMillis) -> Result<(), StoreError> {
        let news: Vec<(Name, Arc<Seen>, UnixMillis)> = self.directory.news();
        let told: Vec<_> = news.iter().map(|(name, _, at)| (name.clone(), *at)).collect();
        self.store.note_seen(&told).await?;
        news.iter().for_each(|(_, seen, at)| seen.note(*at));
        self.directory.saw(self.store.seen(since).await?);
        Ok(())
    }

    /// The keys that were found not to unwrap since this was last asked, some hundreds at most; the log has them all.
    pub fn take_damaged(&self) -> BTreeSet<(Name, Generation)> {
        std::mem::take(&mut *self.damaged.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read(&self, kind: Kind, place: &mut Place) -> Result<(), FollowError> {
        let found = self.store.documents(kind).await?;
        match kind {
            Kind::Token => {
                let tokens = documents::tokens(&found, &self.keyring, &self.directory.tokens());
                self.keep_revoked(place, tokens);
            }
            Kind::Setting => {
                self.hear_of_master_key(&found).await?;
                let settings = documents::settings(&found, &self.keyring)?;
                let before = self.directory.settings();
                not_older("zone", before.zone_revision, settings.zone_revision)?;
                not_older("limits", before.limits_revision, settings.limits_revision)?;
                not_older("master-key", before.master_key_revision, settings.master_key_revision)?;
                if let Some(master_key) = settings.master_key
                    && self.keyring.follow(master_key.active)
                {
                    tracing::info!(
                        version = master_key.active,
                        "this version of the master key wraps from now on"
                    );
                }
                let lifetime = settings.ticket_lifetime_seconds(&self.tickets.load());
                let rules = self.directory.rules();
                if rules.policy.ticket_lifetime_seconds() != lifetime {
                    self.directory.set_rules(rules.with_lifetime(lifetime)?);
                }
                self.directory.set_settings(settings);
            }
            Kind::Rule => {
                let lifetime = self.directory.settings().ticket_lifetime_seconds(&self.tickets.load());
                let rules = Rules::read(&found, &self.keyring, lifetime)?;
                let before = self.directory.rules();
                let known: BTreeMap<_, _> =
                    before.policy.rules().iter().map(|rule| (&rule.id, rule.revision)).collect();
                for rule in rules.policy.rules() {
                    let known = known.get(&rule.id).copied().unwrap_or_default();
                    not_older(rule.id.as_str(), known, rule.revision)?;
                }
                self.directory.set_rules(rules);
            }
            Kind::Group => self.take_groups(&found).await?,
        }
        Ok(())
    }

    /// Takes these groups, with the keys of those that are not here already. A group whose row was put back stays as it
    /// was; the others are taken all the same.
    async fn take_groups(&self, found: &Documents) -> Result<(), FollowError> {
        let documents::Groups { mut records, older } =
            documents::groups(found, &self.keyring, &self.directory.groups());
        let before = self.directory.groups();
        if let Some(watermark) = self.watermark.get() {
            // Also where the group was taken away in between, so that nothing in memory is newer.
            records.retain(|id, record| match watermark.group_goes_back(record) {
                Some(what) if before.get(id) != Some(record) => {
                    tracing::error!(group = %record.name, ?what, "the database row of a group was put back: it is out of service");
                    false
                }
                _ => true,
            });
        }
        let known = self.directory.memberships();
        // After the records: the secrets of a chain are there before a record names it.
        let secrets = match records.values().all(|record| known.has(record)) {
            true => Vec::new(),
            false => self.store.secrets().await?,
        };
        if let Some(watermark) = self.watermark.get() {
            let news = records.iter().filter(|(id, record)| before.get(*id) != Some(record));
            news.for_each(|(_, record)| watermark.saw_group(record));
            // One whose row does not open is not deleted.
            let ids: BTreeSet<_> = found.documents.iter().map(|document| document.id.as_str()).collect();
            let gone = before.iter().filter(|(id, _)| found.damaged.is_empty() && !ids.contains(id.as_str()));
            gone.for_each(|(_, record)| watermark.saw_deleted_group(record));
        }
        let memberships = Memberships::read(found.change, records.values(), &known, &self.keyring, &secrets);
        self.directory.set_groups(records, memberships);
        older.map_or(Ok(()), Err)
    }

    /// Reads the source of the master key again when the zone has gone over to a version that is not here. Whether it really
    /// has, only that version can tell: until it is here, what is in memory stays in force.
    async fn hear_of_master_key(&self, settings: &Documents) -> Result<(), StoreError> {
        let named = settings.documents.iter().find(|document| document.id == MasterKeySetting::ID);
        let active = self.keyring.master_version();
        let version = named.map_or(active, |document| document.master_version);
        if version <= active {
            self.keyring.expect(active);
        } else {
            // Also where there is one of its number: it has not been held against anything yet.
            let renewed = self.keyring.renew(&self.store.secrets().await?);
            if let Err(error) = renewed {
                tracing::error!(%error, "the master key cannot be read again");
            }
            self.keyring.expect(version);
            if let Some(error) = self.keyring.lacking() {
                tracing::error!(%error, "this KDC falls behind until it is given this version of the master key");
            }
        }
        Ok(())
    }

    /// Takes these tokens. One that was revoked stays so, whatever its row says now: Keycell never takes that back, so
    /// somebody else put an old row there.
    fn keep_revoked(&self, place: &mut Place, mut tokens: TokenRecords) {
        for (id, token) in &mut tokens {
            match (token.revoked_at, place.revoked.get(id)) {
                (Some(_), None) => {
                    self.watermark.get().inspect(|watermark| watermark.saw_token(id, token));
                    place.revoked.insert(id.clone(), token.clone());
                }
                (None, Some(revoked)) => {
                    tracing::error!(token = %id, "the database row of a revoked token was put back: it stays revoked");
                    *token = revoked.clone();
                }
                _ => {}
            }
        }
        self.directory.set_tokens(tokens);
    }

    fn take(&self, change: &Change) {
        match change {
            Change::Put(record) => {
                if let Some(watermark) = self.watermark.get() {
                    if let Some(what) = watermark.gives_back(record) {
                        tracing::error!(party = %record.name, ?what, "the database rows of a party were put back: it stays as it was");
                        return;
                    }
                    watermark.saw_party(record);
                }
                self.directory.put(self.unwrapped(record));
            }
            Change::Deleted(name) => {
                if let (Some(watermark), Some(party)) =
                    (self.watermark.get(), self.directory.party(name.as_str()))
                {
                    watermark.saw_deleted(party.record());
                }
                self.directory.remove(name);
            }
            // Whether it may still speak cannot be told, so it may not.
            Change::Unreadable { name, damaged } => {
                let Damaged { row, reason } = damaged;
                tracing::error!(party = %name, row, reason, "a party is taken out of service: its row is damaged");
                if let Some(party) = self.directory.party(name) {
                    self.directory.remove(party.name());
                }
            }
        }
    }

    fn replace(&self, snapshot: &Snapshot) {
        told(&snapshot.damaged);
        self.directory.replace(snapshot.parties.iter().map(|record| self.unwrapped(record)));
    }

    fn unwrapped(&self, record: &PartyRecord) -> Party {
        // Not damaged, but not to be read here yet: what it takes away holds all the same.
        let waits = |key: &KeyRecord| key.state != KeyState::Dead && self.keyring.expects(key.master_version);
        if record.keys.iter().any(waits)
            && let Some(known) = self.directory.party(record.name.as_str())
        {
            return known.restricted(record);
        }
        let open = |key: &KeyRecord| -> Option<(KeyState, LongTermKey)> {
            if key.state == KeyState::Dead || waits(key) {
                return None;
            }
            match self.keyring.open_key(record, key) {
                Ok(opened) => Some((key.state, opened)),
                Err(error) => {
                    tracing::error!(party = %record.name, generation = %key.generation, %error, "a key does not unwrap");
                    let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                    if damaged.len() < TOLD {
                        damaged.insert((record.name.clone(), key.generation));
                    }
                    None
                }
            }
        };
        Party::new(record, record.keys.iter().filter_map(open), self.directory.seen_of(&record.name))
    }
}

/// Where the follower is.
#[derive(Default)]
struct Place {
    /// The last change that was taken in.
    seen: ChangeNumber,
    /// The kinds of documents that are still to be read.
    pending: BTreeSet<Kind>,
    /// Tokens that are known to be revoked, also those whose rows are gone.
    revoked: TokenRecords,
}

fn told(damaged: &[Damaged]) {
    for Damaged { row, reason } in damaged {
        tracing::error!(row, reason, "a database row is left out: it is damaged");
    }
}

/// How many damaged keys are remembered until they are told of.
const TOLD: usize = 256;
