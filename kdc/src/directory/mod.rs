//! What is in memory: all that the path of a ticket reads. It never asks the database.

mod documents;
mod error;
mod follow;
#[cfg(test)]
mod mangled;
mod party;
mod seen;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use keycell_protocol::{Epoch, Name, UnixMillis};

use crate::enrollment::{Admission, Alternation};
use crate::groups::Memberships;
use crate::settings::Settings;
use crate::store::SeenRecord;
use crate::token::TokenRecord;
use crate::trust::Trusts;

pub use documents::{GroupRecords, JoinTokenRecords, Rules, TokenRecords, live};
pub use error::FollowError;
pub use follow::Follower;
pub(crate) use party::LONGEST_END_MS;
pub use party::Party;
pub use seen::Seen;

/// Every party of the zone with its keys unwrapped, by name, about 700 bytes each; the policy, the settings, the tokens.
#[derive(Debug)]
pub struct Directory {
    parties: RwLock<HashMap<Name, Arc<Party>>>,
    /// What other zones are here: principals with keys as parties have them, and nothing else of a party.
    zones: RwLock<HashMap<Name, Arc<Party>>>,
    names: RwLock<BTreeSet<Name>>,
    seen: RwLock<HashMap<Name, Arc<Seen>>>,
    rules: RwLock<Arc<Rules>>,
    settings: RwLock<Arc<Settings>>,
    tokens: RwLock<Arc<TokenRecords>>,
    join_tokens: RwLock<Arc<JoinTokenRecords>>,
    groups: RwLock<(Arc<GroupRecords>, Arc<Memberships>)>,
    trusts: RwLock<Arc<Trusts>>,
    /// The ids of groups whose rows do not hold.
    broken_groups: RwLock<Arc<BTreeSet<String>>>,
    /// How many parties came in by trust on first use. Changes while `parties` is locked.
    by_tofu: AtomicUsize,
    /// How many chains of group keys began while this KDC looked.
    chains_begun: AtomicU64,
    /// How often the documents of hosts that wait were changed while this KDC looked.
    waiting_changes: AtomicU64,
    /// The epoch that keys are turned by: the last that was believed.
    epoch: AtomicU32,
}

impl Directory {
    pub(crate) fn new(rules: Rules, settings: Settings, tokens: TokenRecords) -> Self {
        Self {
            parties: RwLock::default(),
            zones: RwLock::default(),
            names: RwLock::default(),
            seen: RwLock::default(),
            rules: RwLock::new(Arc::new(rules)),
            settings: RwLock::new(Arc::new(settings)),
            tokens: RwLock::new(Arc::new(tokens)),
            join_tokens: RwLock::default(),
            groups: RwLock::default(),
            trusts: RwLock::default(),
            broken_groups: RwLock::default(),
            by_tofu: AtomicUsize::new(0),
            chains_begun: AtomicU64::new(0),
            waiting_changes: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
        }
    }

    /// Notes that it is `epoch`: whoever is taken in from now on is turned by it. Those that are here are for
    /// [`Party::turn`]. It may be an earlier one than before, when the clock was wrong: what has turned stays so, and what
    /// is new is not to be turned as far.
    pub(crate) fn believe(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::SeqCst);
    }

    /// The epoch of a key that is made now, by a clock that says `clock`: one that is not believed makes no keys of the
    /// future, which would never turn.
    pub(crate) fn epoch_of_new_keys(&self, clock: Epoch) -> Epoch {
        match self.epoch() {
            Epoch(0) => clock,
            // The turn of the epoch may not have come by yet.
            believed => clock.min(Epoch(believed.0.saturating_add(1))),
        }
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    /// The policy in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tokens that are known, good or not.
    #[must_use]
    pub fn tokens(&self) -> Arc<TokenRecords> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token of that id.
    #[must_use]
    pub fn token(&self, id: &str) -> Option<TokenRecord> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The join tokens that are known, good or not.
    #[must_use]
    pub fn join_tokens(&self) -> Arc<JoinTokenRecords> {
        self.join_tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the database has of groups.
    #[must_use]
    pub fn groups(&self) -> Arc<GroupRecords> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The groups with their keys, and who is a member.
    #[must_use]
    pub fn memberships(&self) -> Arc<Memberships> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// What this zone and others let each other do.
    #[must_use]
    pub fn trusts(&self) -> Arc<Trusts> {
        self.trusts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ids of groups whose rows do not hold: nobody is given their keys.
    #[must_use]
    pub fn broken_groups(&self) -> Arc<BTreeSet<String>> {
        self.broken_groups.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often what is kept of hosts that wait for an administrator was changed, as far as this KDC looked.
    pub(crate) fn waiting_changes(&self) -> u64 {
        self.waiting_changes.load(Ordering::SeqCst)
    }

    /// Notes that it was changed.
    fn note_waiting_change(&self) {
        self.waiting_changes.fetch_add(1, Ordering::SeqCst);
    }

    /// How many chains of group keys began while this KDC looked.
    pub(crate) fn chains_begun(&self) -> u64 {
        self.chains_begun.load(Ordering::Relaxed)
    }

    /// The party of that full name.
    #[must_use]
    pub fn party(&self, name: &str) -> Option<Arc<Party>> {
        self.parties.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// What another zone is here (docs/protocol.md §12), by that full name. It is no party: nobody speaks to it, and it is a
    /// member of nothing.
    #[must_use]
    pub fn zone(&self, name: &str) -> Option<Arc<Party>> {
        self.zones.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Whoever has keys under that full name: a party or a zone.
    #[must_use]
    pub fn principal(&self, name: &str) -> Option<Arc<Party>> {
        self.party(name).or_else(|| self.zone(name))
    }

    /// What other zones are here, in no order.
    #[must_use]
    pub fn zones(&self) -> Vec<Arc<Party>> {
        self.zones.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many parties there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parties.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All parties, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Party>> {
        self.parties.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Up to `limit` parties that `wanted` holds for, in the order of their names, from the first after `after`.
    #[must_use]
    pub fn page(
        &self,
        after: Option<&Name>,
        limit: usize,
        wanted: impl Fn(&Party) -> bool,
    ) -> Vec<Arc<Party>> {
        let mut page = Vec::new();
        let mut after = after.cloned();
        // In steps, so that a search that finds little keeps no writer waiting.
        while page.len() < limit {
            let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let names: Vec<Name> = {
                let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
                names.range::<Name, _>((from, Bound::Unbounded)).take(STEP).cloned().collect()
            };
            let Some(last) = names.last() else { break };
            after = Some(last.clone());
            let parties = names.iter().filter_map(|name| self.party(name.as_str()));
            page.extend(parties.filter(|party| wanted(party)).take(limit - page.len()));
        }
        page
    }

    /// How many parties there are that came in by trust on first use.
    #[must_use]
    pub fn by_tofu(&self) -> usize {
        self.by_tofu.load(Ordering::SeqCst)
    }

    /// The enabled parties whose full name begins with `prefix`, in the order of their names, the first `most` of them.
    #[must_use]
    pub fn enabled_beginning_with(&self, prefix: &str, most: usize) -> Vec<Arc<Party>> {
        let names: Vec<Name> = {
            let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
            let from = names.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
            from.take_while(|name| name.as_str().starts_with(prefix)).cloned().collect()
        };
        let parties = names.iter().filter_map(|name| self.party(name.as_str()));
        parties.filter(|party| party.enabled()).take(most).collect()
    }

    /// What is remembered of when a party was seen; kept while the party changes.
    fn seen_of(&self, name: &Name) -> Arc<Seen> {
        if let Some(seen) = self.seen.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return seen.clone();
        }
        let mut all = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.clone()).or_default().clone()
    }

    /// Takes in when parties were seen elsewhere, which was heard at `now`; without it, long ago. Says whose key is in two
    /// places.
    fn saw(&self, seen: Vec<SeenRecord>, now: Option<UnixMillis>) -> Vec<(Name, Alternation)> {
        let mut all = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for SeenRecord { name, at, by } in seen {
            let known = all.entry(name.clone()).or_insert_with(|| Arc::new(Seen::noted(at)));
            known.mark(at);
            known.note(at);
            let heard = by.and_then(|by| known.heard(by, now.unwrap_or(by.at)));
            found.extend(heard.map(|found| (name, found)));
        }
        found
    }

    /// Who was seen here since the database was told.
    fn news(&self) -> Vec<(Name, Arc<Seen>, UnixMillis)> {
        let all = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let news = all.iter().filter_map(|(name, seen)| Some((name.clone(), seen.clone(), seen.news()?)));
        news.collect()
    }

    fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn set_groups(&self, records: GroupRecords, memberships: Memberships, broken: BTreeSet<String>) {
        *self.broken_groups.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(broken);
        let known = self.groups();
        let before = |id| known.get(id).and_then(|record| record.chain()).map(|chain| chain.version);
        let begun =
            records.iter().filter(|(id, record)| before(*id) != record.chain().map(|chain| chain.version));
        self.chains_begun.fetch_add(begun.count() as u64, Ordering::Relaxed);
        let groups = (Arc::new(records), Arc::new(memberships));
        *self.groups.write().unwrap_or_else(PoisonError::into_inner) = groups;
    }

    fn set_tokens(&self, tokens: TokenRecords) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    fn set_trusts(&self, trusts: Trusts) {
        *self.trusts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trusts);
    }

    fn set_join_tokens(&self, tokens: JoinTokenRecords) {
        *self.join_tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Takes these principals, and no others.
    fn replace(&self, principals: impl Iterator<Item = Party>) {
        let all = principals.map(|party| (party.name().clone(), Arc::new(party)));
        let (zones, all): (HashMap<_, _>, HashMap<_, _>) =
            all.partition(|(name, _)| name.is_kept_for_zones());
        // Again: the epoch may have been reached since each was made.
        all.values().chain(zones.values()).for_each(|party| party.turn(self.epoch()));
        let known = |name: &Name| all.contains_key(name) || zones.contains_key(name);
        self.seen.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| known(name));
        *self.zones.write().unwrap_or_else(PoisonError::into_inner) = zones;
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = all.keys().cloned().collect();
        let by_tofu = all.values().filter(|party| is_by_tofu(party)).count();
        let mut parties = self.parties.write().unwrap_or_else(PoisonError::into_inner);
        *parties = all;
        self.by_tofu.store(by_tofu, Ordering::SeqCst);
    }

    fn put(&self, party: Party) {
        party.turn(self.epoch());
        let name = party.name().clone();
        if name.is_kept_for_zones() {
            self.zones.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(party));
            return;
        }
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        let is_one = is_by_tofu(&party);
        let mut parties = self.parties.write().unwrap_or_else(PoisonError::into_inner);
        let was_one = parties.insert(name, Arc::new(party)).is_some_and(|before| is_by_tofu(&before));
        self.count_by_tofu(was_one, is_one);
    }

    fn count_by_tofu(&self, was_one: bool, is_one: bool) {
        match (was_one, is_one) {
            (false, true) => drop(self.by_tofu.fetch_add(1, Ordering::SeqCst)),
            (true, false) => drop(self.by_tofu.fetch_sub(1, Ordering::SeqCst)),
            _ => {}
        }
    }

    fn remove(&self, name: &Name) {
        self.zones.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        {
            let mut parties = self.parties.write().unwrap_or_else(PoisonError::into_inner);
            let was_one = parties.remove(name).is_some_and(|before| is_by_tofu(&before));
            self.count_by_tofu(was_one, false);
        }
        self.names.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.seen.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Whether a party came in by trust on first use.
fn is_by_tofu(party: &Party) -> bool {
    party.record().enrollment.as_ref().is_some_and(|enrollment| enrollment.admission == Admission::Tofu)
}

/// How many names are looked at under one lock.
const STEP: usize = 1024;

#[cfg(test)]
pub(crate) mod tests;
