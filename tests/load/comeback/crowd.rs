//! All hosts, and who of them has something to do next. Those whose time has come in the same tenth of a second ask at the
//! same time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use keycell_client::UnixMillis;
use tokio::task::JoinSet;

use super::cell::Cell;
use super::host::Host;
use super::kdc::Reached;
use super::tally::Events;

#[derive(Default)]
pub(crate) struct Crowd {
    hosts: Vec<Option<Host>>,
    wakeups: BinaryHeap<Reverse<(UnixMillis, usize)>>,
}

impl Crowd {
    pub(crate) fn join(&mut self, host: Host, now: UnixMillis) {
        if let Some(at) = host.wakeup(now) {
            self.wakeups.push(Reverse((at, self.hosts.len())));
        }
        self.hosts.push(Some(host));
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().flatten()
    }

    pub(crate) fn hosts_mut(&mut self) -> impl Iterator<Item = &mut Host> {
        self.hosts.iter_mut().flatten()
    }

    /// Those that a thief has recorded.
    pub(crate) fn recorded(&self) -> Vec<&Host> {
        self.hosts().filter(|host| host.recorded.is_some()).collect()
    }

    /// The same, on their own from now on.
    pub(crate) fn take_recorded(&mut self, now: UnixMillis) -> Self {
        let is_one = |place: &&mut Option<Host>| place.as_ref().is_some_and(|host| host.recorded.is_some());
        let taken = self.hosts.iter_mut().filter(is_one).filter_map(Option::take);
        let mut others = Self::default();
        taken.for_each(|host| others.join(host, now));
        others
    }

    /// Looks at a host that was given something to do.
    pub(crate) fn look_at(&mut self, number: usize, now: UnixMillis) {
        self.wakeups.push(Reverse((now, number)));
    }

    /// Lets time pass, with whatever KDC there is, until then or until nobody has anything to do.
    pub(crate) async fn pass(&mut self, cell: &Cell, until: UnixMillis) {
        self.pass_with(cell, &cell.reached(), until).await;
    }

    /// The same with another KDC in the place of the cell's.
    pub(crate) async fn pass_with(&mut self, cell: &Cell, kdc: &Reached, until: UnixMillis) {
        while let Some(Reverse((next, _))) =
            self.wakeups.peek().copied().filter(|Reverse((at, _))| *at < until)
        {
            let now = next.max(cell.now());
            cell.clock.set(now);
            let slot = UnixMillis(now.0 / SLOT * SLOT + SLOT).min(until);
            let mut turns = JoinSet::new();
            while let Some(Reverse((at, number))) = self.wakeups.peek().copied()
                && at < slot
            {
                self.wakeups.pop();
                let Some(mut host) = self.hosts.get_mut(number).and_then(Option::take) else { continue };
                let kdc = kdc.clone();
                turns.spawn(async move {
                    host.turn(now, &kdc).await;
                    (number, host)
                });
            }
            while let Some(done) = turns.join_next().await {
                let (number, host) = done.expect("a host does not panic");
                if let Some(at) = host.wakeup(now) {
                    self.wakeups.push(Reverse((at.max(slot), number)));
                }
                if let Some(place) = self.hosts.get_mut(number) {
                    *place = Some(host);
                }
            }
        }
        cell.clock.set(until);
    }

    /// What happened to all since this was last asked.
    pub(crate) fn events(&mut self) -> Events {
        let mut all = Events::default();
        for host in self.hosts_mut() {
            all.add(&std::mem::take(&mut host.events));
        }
        all
    }
}

/// In milliseconds.
const SLOT: u64 = 100;
