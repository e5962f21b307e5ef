//! How the directory keeps up with the database: everything at the start, then change by change.

mod kinds;
mod parties;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use keycell_protocol::{Generation, Name, UnixMillis};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use self::parties::told;
use super::documents;
use super::{Directory, FollowError, JoinTokenRecords, Rules, Seen, TokenRecords};
use crate::config::Tickets;
use crate::enrollment::Alternation;
use crate::keyring::Keyring;
use crate::store::{ChangeNumber, Kind, SeenRecord, Store, StoreError};
use crate::trust::Trusts;
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
        directory.saw(last_seen, None);
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
        follower.take_groups(&follower.store.documents(Kind::Group).await?, None).await?;
        let join_tokens = follower.store.documents(Kind::JoinToken).await?;
        let join_tokens = documents::join_tokens(&join_tokens, &follower.keyring, &JoinTokenRecords::new());
        follower.keep_join_tokens_revoked(&mut *follower.place.lock().await, join_tokens);
        let trusts = follower.store.documents(Kind::Trust).await?;
        follower.directory.set_trusts(documents::trusts(&trusts, &follower.keyring, &Trusts::default()));
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
        let place = &mut *self.place.lock().await;
        watermark.take_in(&*self.store).await?;
        place.decided = Some(watermark.take_in_denials(&*self.store).await?);
        place.revoked.iter().for_each(|(id, token)| watermark.saw_token(id, token));
        place.revoked_join.iter().for_each(|(id, token)| watermark.saw_join_token(*id, token));
        self.directory.groups().values().for_each(|record| watermark.saw_group(record));
        // Also those that were deleted while this KDC was down.
        let living = watermark.living_groups();
        watermark.saw_deleted_groups(living, &self.store.documents(Kind::Group).await?);
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
            place.decided = None;
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
            for kind in [Kind::Token, Kind::Group, Kind::JoinToken, Kind::Trust] {
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

    /// Learns who was seen elsewhere since a moment, and tells the database who was seen here. Says whose key is in two
    /// places, by what was learnt at `now`.
    ///
    /// # Errors
    /// [`StoreError`]: then it is told the next time.
    pub async fn exchange_seen(
        &self,
        since: UnixMillis,
        now: UnixMillis,
    ) -> Result<Vec<(Name, Alternation)>, StoreError> {
        // Looked at before: what others wrote of a party is what is written over here.
        let news: Vec<(Name, Arc<Seen>, UnixMillis)> = self.directory.news();
        let found = self.directory.saw(self.store.seen(since).await?, Some(now));
        let told: Vec<_> = news
            .iter()
            .map(|(name, seen, at)| SeenRecord { name: name.clone(), at: *at, by: seen.latest() })
            .collect();
        self.store.note_seen(&told).await?;
        news.iter().for_each(|(_, seen, at)| seen.note(*at));
        Ok(found)
    }

    /// The keys that were found not to unwrap since this was last asked, some hundreds at most; the log has them all.
    pub fn take_damaged(&self) -> BTreeSet<(Name, Generation)> {
        std::mem::take(&mut *self.damaged.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// The same of join tokens.
    revoked_join: JoinTokenRecords,
    /// The last record of the audit log up to which it is known who is denied.
    decided: Option<u64>,
}
