//! The tickets that a party holds, and those it wants.

mod lanes;

use core::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use keycell_protocol::{Grant, Name, ProblemType, UnixMillis, UnixSeconds, Zone};
use rand_core::CryptoRng;

use crate::SealError;
use crate::retry::Retry;
use crate::sealer::{Draft, Sealer};

use lanes::Lanes;

/// Tickets by destination. Bounded; times are corrected ones.
///
/// A ticket is renewed after its `renew_after` if it was used or is kept, and dropped at its end otherwise. While a
/// renewal fails, the old one goes on being used until its end.
pub(crate) struct Tickets {
    entries: HashMap<Name, Entry>,
    pub(crate) lanes: Lanes,
    /// When to look at an entry again; one that does not fit its entry any more is skipped.
    timers: BinaryHeap<Reverse<(UnixMillis, Name)>>,
    max: usize,
    refusal_ms: u64,
    /// Whether any destination ever took only what proves its author: seldom, and then nobody looks.
    proofs: bool,
}

impl Tickets {
    pub(crate) fn new(me: Name, retry: &Retry, max: usize, refusal_ms: u64) -> Self {
        Self {
            entries: HashMap::new(),
            lanes: Lanes::new(me, retry),
            timers: BinaryHeap::new(),
            max,
            refusal_ms,
            proofs: false,
        }
    }

    /// Writes a message under the ticket for `to`; without one, the ticket is wanted from now on.
    pub(crate) fn seal(
        &mut self,
        now: UnixMillis,
        to: &Name,
        draft: &Draft<'_>,
    ) -> Result<Vec<u8>, SealError> {
        if let Some(entry) = self.entries.get_mut(to)
            && let Some(held) = entry.live(now)
        {
            let message = held.sealer.write(now, draft);
            let renew = held.renew_after <= now.seconds();
            entry.used = true;
            if renew && entry.may_ask(now) {
                entry.want = Want::Queued;
                self.lanes.renew(to.clone());
            }
            return message;
        }
        self.prepare(now, to)?;
        Err(SealError::NoTicket { destination: to.clone() })
    }

    /// Wants a ticket for `to`; why there is none, if there is none.
    pub(crate) fn prepare(&mut self, now: UnixMillis, to: &Name) -> Result<(), SealError> {
        self.want(now, to, false)?;
        match self.entries.get(to) {
            Some(entry) if entry.is_live(now) => Ok(()),
            Some(Entry { want: Want::Refused { problem, until, .. }, .. }) => {
                Err(SealError::Refused { destination: to.clone(), problem: *problem, retry_at: *until })
            }
            Some(entry) if self.lanes.is_failing(to) => Err(match entry.ended(now) {
                Some(since) => SealError::Expired { destination: to.clone(), since },
                None => SealError::NoTicket { destination: to.clone() },
            }),
            _ => Err(SealError::NoTicket { destination: to.clone() }),
        }
    }

    /// Wants a ticket for `to`, unless one is held, on its way, or was refused just now. A ticket that is kept is
    /// renewed whether it is used or not.
    pub(crate) fn want(&mut self, now: UnixMillis, to: &Name, keep: bool) -> Result<(), SealError> {
        if !self.entries.contains_key(to) {
            if self.entries.len() >= self.max {
                self.tick(now);
            }
            if self.entries.len() >= self.max {
                return Err(SealError::TooManyDestinations);
            }
        }
        let entry = self.entries.entry(to.clone()).or_default();
        entry.kept |= keep;
        if entry.live(now).is_none() && entry.may_ask(now) {
            entry.want = Want::Queued;
            self.lanes.miss(to.clone());
        }
        Ok(())
    }

    /// Renews the ticket for `to` no longer unless it is used.
    pub(crate) fn release(&mut self, to: &Name) {
        if let Some(entry) = self.entries.get_mut(to) {
            entry.kept = false;
        }
    }

    /// Takes names of one zone to ask for, the missing ones first: as many as its KDC gives at a time.
    pub(crate) fn batch(&mut self, abroad: Option<&Zone>) -> Vec<Name> {
        let lane = self.lanes.at(abroad);
        let max = lane.retry.batch();
        let mut names = Vec::new();
        while names.len() < max {
            let Some(name) = lane.pop() else { break };
            if let Some(entry) = self.entries.get_mut(&name)
                && matches!(entry.want, Want::Queued)
            {
                entry.want = Want::Asked;
                names.push(name);
            }
        }
        names
    }

    /// The KDC gave a ticket.
    pub(crate) fn granted(&mut self, grant: &Grant, sealer: Sealer) {
        let entry = self.entries.entry(grant.destination.clone()).or_default();
        entry.want = Want::Nothing;
        entry.used = false;
        entry.ended = None;
        self.proofs |= grant.author_proof;
        let (renew_after, author_proof) = (grant.renew_after, grant.author_proof);
        entry.held = Some(Held { sealer, renew_after, author_proof });
        self.timers.push(Reverse((grant.renew_after.millis(), grant.destination.clone())));
        self.timers.push(Reverse((grant.expiration.millis(), grant.destination.clone())));
    }

    /// The KDC gave none: not asked again for a while. A ticket that is held goes on until its end.
    pub(crate) fn refused(&mut self, now: UnixMillis, name: &Name, problem: Option<ProblemType>) {
        let until = now.plus(self.refusal_ms);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.want = Want::Refused { problem, since: now, until };
            // Without a ticket it takes another message to ask again: nobody asks forever for a party that is gone.
            entry.used &= entry.held.is_some();
            self.timers.push(Reverse((until, name.clone())));
        }
    }

    /// A refusal of this party, and not of `name`: it is asked for again once the refusal is over, whether it is used or not.
    pub(crate) fn ask_again(&mut self, name: &Name) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.used = true;
        }
    }

    /// Drops the tickets that are held, and asks for others: who gave them may have been somebody with a key of this party that
    /// no KDC has any more.
    pub(crate) fn ask_anew(&mut self, now: UnixMillis) {
        self.lanes.clear();
        for (name, entry) in &mut self.entries {
            let asked = matches!(entry.want, Want::Queued | Want::Asked);
            let held = entry.held.take().is_some();
            entry.ended = None;
            if asked || (held || entry.kept) && entry.may_ask(now) {
                entry.want = Want::Queued;
                self.lanes.miss(name.clone());
            }
        }
    }

    /// What was refused is asked for again now: this party has another key.
    pub(crate) fn retry_refused(&mut self, now: UnixMillis) {
        for (name, entry) in &mut self.entries {
            if let Want::Refused { problem: Some(ProblemType::Unauthenticated), until, .. } = &mut entry.want
            {
                *until = now;
                entry.used = true;
                self.timers.push(Reverse((now, name.clone())));
            }
        }
    }

    /// A request failed: its names are wanted again.
    pub(crate) fn requeue(&mut self, now: UnixMillis, names: &[Name]) {
        for name in names {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            if matches!(entry.want, Want::Asked) {
                entry.want = Want::Queued;
                self.queue(now, name);
            }
        }
    }

    /// The KDC of another zone had no answer for these: they are asked for again after a wait by the host's clock.
    pub(crate) fn unavailable(
        &mut self,
        now: UnixMillis,
        abroad: Option<&Zone>,
        names: &[Name],
        rng: &mut impl CryptoRng,
    ) {
        let asked = |name: &&Name| {
            let entry = self.entries.get_mut(*name).filter(|entry| matches!(entry.want, Want::Asked));
            entry.map(|entry| entry.want = Want::Queued).is_some()
        };
        let names: Vec<_> = names.iter().filter(asked).cloned().collect();
        self.lanes.unavailable(now, abroad, names, rng);
    }

    /// Wants those again whose wait is over: by the host's clock and the corrected one.
    pub(crate) fn ask_later(&mut self, host: UnixMillis, now: UnixMillis) {
        for name in self.lanes.due_later(host) {
            self.queue(now, &name);
        }
    }

    /// Puts a name whose entry says so into its queue.
    fn queue(&mut self, now: UnixMillis, name: &Name) {
        match self.entries.get(name) {
            Some(entry) if !matches!(entry.want, Want::Queued) => {}
            Some(entry) if entry.is_live(now) => self.lanes.renew(name.clone()),
            Some(_) => self.lanes.miss(name.clone()),
            None => {}
        }
    }

    /// Looks at every entry whose time has come: renewals, ends, refusals that are over.
    pub(crate) fn tick(&mut self, now: UnixMillis) {
        while let Some(Reverse((due, _))) = self.timers.peek()
            && *due <= now
        {
            let Some(Reverse((_, name))) = self.timers.pop() else { break };
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            if let Some(ended) = entry.ended(now) {
                entry.ended = Some(ended);
                entry.held = None;
            }
            let active = entry.used || entry.kept;
            if !entry.may_ask(now) {
                continue;
            }
            match &entry.held {
                Some(held) if active && held.renew_after <= now.seconds() => {
                    entry.want = Want::Queued;
                    self.lanes.renew(name);
                }
                Some(_) => entry.want = Want::Nothing,
                None if active => {
                    entry.want = Want::Queued;
                    self.lanes.miss(name);
                }
                None => {
                    self.entries.remove(&name);
                }
            }
        }
    }

    /// When to [`tick`](Self::tick) next.
    pub(crate) fn next_timer(&self) -> Option<UnixMillis> {
        self.timers.peek().map(|Reverse((due, _))| *due)
    }

    /// Whether what is for `to` opens only with a proof of its author, as far as it is known.
    pub(crate) fn requires_proof(&self, to: &Name) -> bool {
        self.proofs
            && self
                .entries
                .get(to)
                .and_then(|entry| entry.held.as_ref())
                .is_some_and(|held| held.author_proof)
    }

    /// When the ticket for `to` ends, if one is held.
    pub(crate) fn expiration(&self, now: UnixMillis, to: &Name) -> Option<UnixSeconds> {
        let end = self.entries.get(to)?.held.as_ref()?.sealer.expiration();
        (end.millis() > now).then_some(end)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[derive(Default)]
struct Entry {
    held: Option<Held>,
    /// The end of the last ticket, while there is no other.
    ended: Option<UnixSeconds>,
    want: Want,
    /// Since the ticket was granted.
    used: bool,
    kept: bool,
}

impl Entry {
    fn live(&mut self, now: UnixMillis) -> Option<&mut Held> {
        self.held.as_mut().filter(|held| held.sealer.expiration().millis() > now)
    }

    fn is_live(&self, now: UnixMillis) -> bool {
        self.held.as_ref().is_some_and(|held| held.sealer.expiration().millis() > now)
    }

    /// When the last ticket ended, if there was one and it is over.
    fn ended(&self, now: UnixMillis) -> Option<UnixSeconds> {
        match &self.held {
            Some(held) => {
                let end = held.sealer.expiration();
                (end.millis() <= now).then_some(end)
            }
            None => self.ended,
        }
    }

    fn may_ask(&self, now: UnixMillis) -> bool {
        match self.want {
            Want::Nothing => true,
            Want::Queued | Want::Asked => false,
            // A clock that was set back since must not make the wait longer.
            Want::Refused { since, until, .. } => until <= now || now < since,
        }
    }
}

struct Held {
    sealer: Sealer,
    renew_after: UnixSeconds,
    author_proof: bool,
}

#[derive(Default)]
enum Want {
    #[default]
    Nothing,
    Queued,
    Asked,
    Refused {
        problem: Option<ProblemType>,
        since: UnixMillis,
        until: UnixMillis,
    },
}
