//! What is to be asked for, by zone: one that does not answer keeps nobody waiting for another.

use std::collections::{BTreeMap, VecDeque};

use keycell_protocol::{Name, UnixMillis, Zone};
use rand_core::CryptoRng;

use crate::retry::Retry;

/// One lane for the party's own zone, and one for each other that something is wanted of.
pub(crate) struct Lanes {
    me: Name,
    home: Lane,
    abroad: BTreeMap<Zone, Lane>,
}

/// The names of one zone that are to be asked for.
pub(crate) struct Lane {
    /// Asked for first: somebody waits for these.
    missing: VecDeque<Name>,
    renewals: VecDeque<Name>,
    /// Those that the zone's KDC had no answer for: asked for again together.
    later: Vec<Name>,
    /// When to ask the own KDC again.
    pub(crate) retry: Retry,
    /// When to ask it for those for [`later`](Self::later).
    peer: Retry,
}

impl Lanes {
    pub(super) fn new(me: Name, retry: &Retry) -> Self {
        Self { me, home: Lane::new(retry), abroad: BTreeMap::new() }
    }

    /// The zone of a name, if it is another.
    fn zone(&self, name: &Name) -> Option<Zone> {
        if name.zone() == self.me.zone() { None } else { name.zone().parse().ok() }
    }

    fn get(&self, name: &Name) -> Option<&Lane> {
        if name.zone() == self.me.zone() { Some(&self.home) } else { self.abroad.get(name.zone()) }
    }

    /// The lane of the own zone, or of that other.
    pub(crate) fn at(&mut self, abroad: Option<&Zone>) -> &mut Lane {
        match abroad {
            None => &mut self.home,
            Some(zone) => self.abroad.entry(zone.clone()).or_insert_with(|| Lane::new(&self.home.retry)),
        }
    }

    fn of(&mut self, name: &Name) -> &mut Lane {
        let zone = self.zone(name);
        self.at(zone.as_ref())
    }

    pub(super) fn miss(&mut self, name: Name) {
        self.of(&name).missing.push_back(name);
    }

    pub(super) fn renew(&mut self, name: Name) {
        self.of(&name).renewals.push_back(name);
    }

    /// Whether nobody gives tickets for the zone of that name at the moment.
    pub(super) fn is_failing(&self, name: &Name) -> bool {
        self.get(name).is_some_and(|lane| lane.failing_since().is_some())
    }

    pub(super) fn clear(&mut self) {
        for lane in self.all_mut() {
            lane.missing.clear();
            lane.renewals.clear();
            lane.later.clear();
        }
    }

    /// Now is the time to ask.
    pub(crate) fn hurry(&mut self) {
        for lane in self.all_mut() {
            lane.retry.hurry();
            lane.peer.hurry();
        }
    }

    /// A KDC answered about that zone. A lane that nothing is wanted of is forgotten.
    pub(crate) fn answered(&mut self, abroad: Option<&Zone>) {
        let lane = self.at(abroad);
        lane.retry.success();
        if lane.later.is_empty() {
            lane.peer.success();
            if let Some(zone) = abroad
                && !self.at(abroad).is_wanting()
            {
                self.abroad.remove(zone);
            }
        }
    }

    /// The KDC of that zone had no answer for these.
    pub(super) fn unavailable(
        &mut self,
        now: UnixMillis,
        abroad: Option<&Zone>,
        names: impl IntoIterator<Item = Name>,
        rng: &mut impl CryptoRng,
    ) {
        let lane = self.at(abroad);
        let before = lane.later.len();
        lane.later.extend(names);
        // Who comes while others wait waits with them.
        if before == 0 && !lane.later.is_empty() {
            lane.peer.failure(now, None, rng);
        }
    }

    /// Those that waited long enough.
    pub(super) fn due_later(&mut self, now: UnixMillis) -> Vec<Name> {
        let due = self.all_mut().filter(|lane| lane.peer.is_due(now));
        due.flat_map(|lane| core::mem::take(&mut lane.later)).collect()
    }

    /// Since when nobody has given tickets of this zone, or of that other.
    #[cfg(feature = "https")]
    pub(crate) fn failing(&self, abroad: Option<&Zone>) -> Option<UnixMillis> {
        match abroad {
            None => self.home.failing_since(),
            Some(zone) => self.abroad.get(zone)?.failing_since(),
        }
    }

    /// Since when the KDCs of this zone have failed.
    pub(crate) fn failing_since(&self) -> Option<UnixMillis> {
        self.all().filter_map(|lane| lane.retry.failing_since()).min()
    }

    /// Since when those of other zones have.
    pub(crate) fn zones_failing(&self) -> impl Iterator<Item = (&Zone, UnixMillis)> {
        self.abroad.iter().filter_map(|(zone, lane)| Some((zone, lane.peer.failing_since()?)))
    }

    /// The other zones that something may be asked of now.
    pub(crate) fn due_abroad(&self, now: UnixMillis) -> impl Iterator<Item = &Zone> {
        self.abroad.iter().filter(move |(_, lane)| lane.may_ask(now)).map(|(zone, _)| zone)
    }

    /// When to look at the own zone's lane next.
    pub(crate) fn next_home(&self) -> Option<UnixMillis> {
        self.home.next()
    }

    /// When to look at the lanes of other zones next, but for those for which that is of no use.
    pub(crate) fn next_abroad(&self, useless: impl Fn(&Zone) -> bool) -> Option<UnixMillis> {
        let of_use = self.abroad.iter().filter(|(zone, _)| !useless(zone));
        of_use.filter_map(|(_, lane)| lane.next()).min()
    }

    fn all(&self) -> impl Iterator<Item = &Lane> {
        [&self.home].into_iter().chain(self.abroad.values())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        [&mut self.home].into_iter().chain(self.abroad.values_mut())
    }
}

impl Lane {
    fn new(retry: &Retry) -> Self {
        Self {
            missing: VecDeque::new(),
            renewals: VecDeque::new(),
            later: Vec::new(),
            retry: retry.anew(),
            peer: retry.anew(),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Name> {
        self.missing.pop_front().or_else(|| self.renewals.pop_front())
    }

    fn is_wanting(&self) -> bool {
        !self.missing.is_empty() || !self.renewals.is_empty()
    }

    /// Whether there is something to ask for now.
    pub(crate) fn may_ask(&self, now: UnixMillis) -> bool {
        self.is_wanting() && self.retry.is_due(now)
    }

    pub(crate) fn failing_since(&self) -> Option<UnixMillis> {
        [self.retry.failing_since(), self.peer.failing_since()].into_iter().flatten().min()
    }

    fn next(&self) -> Option<UnixMillis> {
        let asking = self.is_wanting().then(|| self.retry.not_before());
        let later = (!self.later.is_empty()).then(|| self.peer.not_before());
        [asking, later].into_iter().flatten().min()
    }
}
