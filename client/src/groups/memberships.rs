//! When to ask for the keys of groups.

use std::collections::{HashMap, HashSet};

use keycell_protocol::{Generation, GroupKeysRequest, HeldGroup, Name, Nonce, ProblemType, UnixMillis};
use rand_core::CryptoRng;

use super::MemberOf;
use crate::pending::AskedGroups;
use crate::retry::Retry;

/// The groups that a party listens to, and when to ask the KDC about each. Times are corrected ones.
///
/// A member asks when the KDC told it to: at a moment drawn for it, when it holds the key in use and the next one. A message
/// under a key that it does not hold comes from after a change; then it asks within the spread that the KDC gave, so that
/// all members together do not fall upon it (docs/decisions/0032-how-members-refresh.md).
pub(crate) struct Memberships {
    entries: HashMap<Name, Entry>,
    /// For who listens to all of its groups: when to look for others, and which it has left.
    all: Option<All>,
    pub(crate) retry: Retry,
    pub(crate) asked: Option<AskedGroups>,
}

struct All {
    look: Timer,
    left: HashSet<Name>,
}

struct Entry {
    refresh: Timer,
    refetch: Option<Refetch>,
    /// Of a key, in milliseconds.
    lifetime: u64,
    spread: u64,
    /// Refetches in a row that brought nothing, and when the last one was.
    useless: u32,
    last_useless: UnixMillis,
    /// A KDC that could not give keys is not asked again before this, whatever messages come.
    busy_until: UnixMillis,
    refused: Option<Refused>,
}

/// Asking because of a message.
struct Refetch {
    timer: Timer,
    /// The least that a message named: the one that is most likely to be there.
    wanted: Generation,
}

struct Refused {
    problem: Option<ProblemType>,
    times: u32,
}

/// What to ask for.
pub(crate) struct Due {
    /// Nobody named means all.
    pub(crate) groups: Vec<Name>,
    /// Whether a message made it due, and not the time.
    pub(crate) by_message: bool,
}

impl Memberships {
    pub(crate) fn new(of: &MemberOf, now: UnixMillis, retry: Retry) -> Self {
        let mut memberships = Self { entries: HashMap::new(), all: None, retry, asked: None };
        match of {
            MemberOf::Nothing => {}
            MemberOf::Groups(groups) => groups.iter().for_each(|group| memberships.join(now, group)),
            MemberOf::All => {
                memberships.all = Some(All { look: Timer::new(now, now), left: HashSet::new() });
            }
        }
        memberships
    }

    /// Asks for the group's keys at once.
    pub(crate) fn join(&mut self, now: UnixMillis, group: &Name) {
        if let Some(all) = &mut self.all {
            all.left.remove(group);
            all.look = Timer::new(now, now);
            return;
        }
        let entry = self.entries.entry(group.clone()).or_insert_with(|| Entry::new(now));
        if entry.refused.is_some() {
            *entry = Entry::new(now);
        }
    }

    pub(crate) fn leave(&mut self, group: &Name) {
        self.entries.remove(group);
        if let Some(all) = &mut self.all {
            all.left.insert(group.clone());
        }
    }

    /// Asks for the keys of all groups anew, at once; those that are held go on.
    pub(crate) fn look_again(&mut self, now: UnixMillis) {
        if let Some(all) = &mut self.all {
            all.look = Timer::new(now, now);
        }
        for entry in self.entries.values_mut() {
            entry.refresh = Timer::new(now, now);
        }
    }

    /// A message came under a later generation than any that is held.
    pub(crate) fn missed(
        &mut self,
        now: UnixMillis,
        group: &Name,
        generation: Generation,
        rng: &mut impl CryptoRng,
    ) {
        let Some(entry) = self.entries.get_mut(group) else { return };
        if let Some(refetch) = &mut entry.refetch {
            refetch.wanted = refetch.wanted.min(generation);
            return;
        }
        if now.distance(entry.last_useless) > 2 * entry.lifetime {
            entry.useless = 0;
        }
        let at = now.plus(below(rng, entry.spread.saturating_add(1))).max(entry.not_before());
        entry.refetch = Some(Refetch { timer: Timer::new(now, at), wanted: generation });
    }

    /// What to ask for now, if it is time for anything.
    pub(crate) fn due(&self, now: UnixMillis) -> Option<Due> {
        if self.asked.is_some() {
            return None;
        }
        let due = |entry: &Entry| entry.refresh.is_due(now) || entry.is_missed(now);
        let mut groups: Vec<_> =
            self.entries.iter().filter(|(_, entry)| due(entry)).map(|(group, _)| group).collect();
        let look = self.all.as_ref().is_some_and(|all| all.look.is_due(now));
        if groups.is_empty() && !look {
            return None;
        }
        let planned = |group: &&Name| self.entries.get(*group).is_some_and(|entry| entry.refresh.is_due(now));
        let by_message = !look && !groups.iter().any(planned);
        if self.all.is_some() {
            groups.clear();
        }
        groups.sort_unstable();
        groups.truncate(GroupKeysRequest::MAX_GROUPS);
        Some(Due { groups: groups.into_iter().cloned().collect(), by_message })
    }

    /// When to look at [`due`](Self::due) next.
    pub(crate) fn next_timer(&self) -> Option<UnixMillis> {
        let entries = self.entries.values().map(Entry::next);
        entries.chain(self.all.as_ref().map(|all| all.look.at)).min()
    }

    /// Takes what was asked, if this is its answer.
    pub(crate) fn answered(&mut self, nonce: Nonce) -> Option<AskedGroups> {
        self.asked.take_if(|asked| asked.request.nonce == nonce)
    }

    /// When what was asked counts as lost.
    pub(crate) fn lost_at(&self, timeout_ms: u64) -> Option<UnixMillis> {
        self.asked.as_ref().map(|asked| asked.at.plus(timeout_ms))
    }

    /// Whether the party listens to the group: it may have left it while the answer was on its way.
    pub(crate) fn listens(&self, group: &Name) -> bool {
        match &self.all {
            Some(all) => !all.left.contains(group),
            None => self.entries.contains_key(group),
        }
    }

    /// The KDC gave keys of a group. `waiting`: whether a message still waits for a later one.
    pub(crate) fn granted(
        &mut self,
        now: UnixMillis,
        given: &HeldGroup,
        waiting: Option<Generation>,
        rng: &mut impl CryptoRng,
    ) {
        let entry = self.entries.entry(given.group.clone()).or_insert_with(|| Entry::new(now));
        let Some(last) = given.keys.last() else { return };
        entry.lifetime = last.ends.0.saturating_sub(last.begins.0).saturating_mul(1000) / 2;
        entry.spread = given.spread.min(entry.lifetime);
        entry.refused = None;
        entry.busy_until = UnixMillis(0);
        let newest = last.key.generation();
        if let Some(refetch) = entry.refetch.take() {
            entry.judge(now, newest >= refetch.wanted);
        }
        // Before the last key that is known ends to be in use, however late the KDC wants to see this member.
        let latest = last.begins.millis().plus(entry.lifetime);
        let at = if given.refresh_at <= now {
            now.plus(LEAST_MS).plus(below(rng, entry.lifetime / 2))
        } else {
            given.refresh_at.min(latest).max(now.plus(LEAST_MS))
        };
        entry.refresh = Timer::new(now, at);
        if let Some(wanted) = waiting.filter(|wanted| *wanted > newest) {
            self.missed(now, &given.group, wanted, rng);
        }
    }

    /// The KDC gave none. Whether what is held of the group is to be dropped.
    pub(crate) fn refused(
        &mut self,
        now: UnixMillis,
        group: &Name,
        problem: Option<ProblemType>,
        rng: &mut impl CryptoRng,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(group) else { return true };
        entry.refetch = None;
        if problem.is_some_and(is_passing) {
            entry.busy_until = now.plus(SOON_MS).plus(below(rng, 2 * SOON_MS));
            entry.refresh = Timer::new(now, entry.busy_until);
            return false;
        }
        let times = entry.refused.as_ref().map_or(0, |refused| refused.times);
        let longest = (SELDOM_MS << times.min(10)).min(SELDOMEST_MS);
        entry.refresh = Timer::new(now, now.plus(longest / 2).plus(below(rng, longest / 2)));
        entry.refused = Some(Refused { problem, times: times.saturating_add(1) });
        // Why a newer KDC gives none is not known; what is held ends by itself.
        problem.is_some()
    }

    /// An answer told of all groups. The others are given back, to be dropped.
    pub(crate) fn only(&mut self, now: UnixMillis, told: &[Name], rng: &mut impl CryptoRng) -> Vec<Name> {
        let Some(all) = &mut self.all else { return Vec::new() };
        let at = now.plus(SELDOM_MS).plus(below(rng, SELDOM_MS));
        all.look = Timer::new(now, at);
        self.entries.extract_if(|group, _| !told.contains(group)).map(|(group, _)| group).collect()
    }

    /// Why the KDC gives no keys of a group.
    pub(crate) fn refusal(&self, group: &Name) -> Option<Option<ProblemType>> {
        self.entries.get(group)?.refused.as_ref().map(|refused| refused.problem)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }
}

impl Entry {
    const fn new(now: UnixMillis) -> Self {
        Self {
            refresh: Timer::new(now, now),
            refetch: None,
            lifetime: 0,
            spread: 0,
            useless: 0,
            last_useless: UnixMillis(0),
            busy_until: UnixMillis(0),
            refused: None,
        }
    }

    fn is_missed(&self, now: UnixMillis) -> bool {
        self.refetch.as_ref().is_some_and(|refetch| refetch.timer.is_due(now))
    }

    fn next(&self) -> UnixMillis {
        let refetch = self.refetch.as_ref().map(|refetch| refetch.timer.at);
        refetch.map_or(self.refresh.at, |at| at.min(self.refresh.at))
    }

    /// Whoever names generations that do not exist is listened to less and less: in the end once a lifetime.
    fn not_before(&self) -> UnixMillis {
        match self.useless.checked_sub(1) {
            None => self.busy_until,
            Some(times) => {
                let least = USELESS_MS.max(self.spread);
                let wait = least.saturating_mul(1 << times.min(20)).min(self.lifetime.max(least));
                self.last_useless.plus(wait).max(self.busy_until)
            }
        }
    }

    const fn judge(&mut self, now: UnixMillis, useful: bool) {
        if useful {
            self.useless = 0;
        } else {
            self.useless = self.useless.saturating_add(1);
            self.last_useless = now;
        }
    }
}

/// A moment, and when it was decided on: a clock that was set back since must not make the wait longer.
struct Timer {
    at: UnixMillis,
    decided: UnixMillis,
}

impl Timer {
    const fn new(decided: UnixMillis, at: UnixMillis) -> Self {
        Self { at, decided }
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        now >= self.at || now < self.decided
    }
}

/// Whether the KDC may give keys of the group a moment later.
const fn is_passing(problem: ProblemType) -> bool {
    matches!(
        problem,
        ProblemType::Unavailable
            | ProblemType::Overloaded
            | ProblemType::RateLimited
            | ProblemType::Timeout
            | ProblemType::Internal
    )
}

/// A random number below `bound`, or 0.
pub(crate) fn below(rng: &mut impl CryptoRng, bound: u64) -> u64 {
    rng.next_u64().checked_rem(bound).unwrap_or(0)
}

/// However short a KDC wants it.
const LEAST_MS: u64 = 1_000;
/// Another KDC of the zone may hear of a change a moment later.
const USELESS_MS: u64 = 2_000;
const SOON_MS: u64 = 10_000;
/// Five minutes: who is no member asks twice as seldom each time, and in the end every half to whole hour.
const SELDOM_MS: u64 = 300_000;
const SELDOMEST_MS: u64 = 3_600_000;
