//! The members that one thread looks after.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use keycell_client::{Agent, AgentConfig, AgentKey, Cause, KdcAddress, Membership, UnixMillis};
use keycell_protocol::RatchetPeriod;
use rand_core::{Rng as _, SeedableRng as _};

use super::report::Report;
use super::zone::{REMOVED, Random, START, Zone};

pub(crate) struct Share<'a> {
    zone: &'a Zone,
    members: Vec<Member>,
    /// Who looks what there is to do, and when.
    wakeups: BinaryHeap<Reverse<(UnixMillis, usize)>>,
    rng: Random,
    report: Report,
}

struct Member {
    number: u32,
    agent: Agent,
    /// Messages that it has opened.
    opened: u32,
    refetches: u64,
    /// Since when a message waits.
    waits: Option<UnixMillis>,
}

impl<'a> Share<'a> {
    /// Members that start one after the other, within the time of one key.
    pub(crate) fn new(zone: &'a Zone, share: u32, numbers: impl Iterator<Item = u32>) -> Self {
        let mut rng = Random::seed_from_u64(1 << 60 | u64::from(share));
        let config = AgentConfig::default().first_use().member_of([zone.group.clone()]);
        let mut wakeups = BinaryHeap::new();
        let members = numbers.enumerate().map(|(at, number)| {
            let start = START.millis().plus(rng.next_u64() % (zone.lifetime * 1_000));
            wakeups.push(Reverse((start, at)));
            let (name, key) = (Zone::member(number), Zone::key(number));
            let file = AgentKey::new(name, key, RatchetPeriod::DEFAULT, KdcAddress::default());
            let agent = Agent::new(file, &config, start, Random::seed_from_u64(1 << 50 | u64::from(number)));
            Member { number, agent, opened: 0, refetches: 0, waits: None }
        });
        let members = members.collect();
        Self { zone, members, wakeups, rng, report: Report::new() }
    }

    /// The whole hour.
    pub(crate) fn run(mut self, messages: &[(UnixMillis, Vec<u8>)]) -> Report {
        for (number, (at, message)) in messages.iter().enumerate() {
            // On the way for a moment.
            let now = at.plus(5);
            self.pass(now);
            for member in 0..self.members.len() {
                self.deliver(member, now, number, message);
            }
        }
        self.pass(self.zone.end().millis());
        let now = self.zone.end().millis();
        for member in &self.members {
            let lost = messages.len() as u32 - member.opened;
            match member.agent.groups(now)[..] {
                _ if member.number == REMOVED => {}
                [(_, Membership::Member { .. })] if lost == 0 => {}
                _ => self.report.locked_out += 1,
            }
            self.report.lost += if member.number == REMOVED { 0 } else { u64::from(lost) };
            self.report.requests_of_tickets += member.agent.stats().requests;
        }
        self.report
    }

    fn pass(&mut self, end: UnixMillis) {
        while let Some(Reverse((now, at))) = self.wakeups.peek().copied()
            && now < end
        {
            self.wakeups.pop();
            self.wake(at, now);
        }
    }

    /// A member asks what it has to ask, and opens what waited.
    fn wake(&mut self, at: usize, now: UnixMillis) {
        let Some(member) = self.members.get_mut(at) else { return };
        while let Some(request) = member.agent.wants(now) {
            let refetches = member.agent.stats().group_refetches;
            self.report.asked(now, refetches > member.refetches);
            member.refetches = refetches;
            let reply = self.zone.answer(member.number, now, &request, &mut self.rng);
            member.agent.take_reply(now, &request, &reply).expect("the KDC's reply");
        }
        for opened in member.agent.open_waiting(now) {
            if opened.is_ok() {
                member.opened += 1;
                self.report.opened_late += 1;
                self.report.longest_wait =
                    self.report.longest_wait.max(member.waits.map_or(0, |since| now.distance(since)));
            }
        }
        if member.agent.stats().waiting == 0 {
            member.waits = None;
        }
        self.sleep(at, now);
    }

    fn deliver(&mut self, at: usize, now: UnixMillis, number: usize, message: &[u8]) {
        let Some(member) = self.members.get_mut(at) else { return };
        match member.agent.open(now, message) {
            Ok(opened) => {
                assert_eq!(opened.body, (number as u32).to_be_bytes(), "what was sent");
                member.opened += 1;
                self.report.opened += 1;
                if member.number == REMOVED && now.seconds() >= self.zone.removed() {
                    self.report.opened_after_removal.push(number);
                }
            }
            Err(error) => {
                if matches!(error.cause(), Cause::Waiting { .. }) {
                    self.report.waited += 1;
                    member.waits.get_or_insert(now);
                    self.sleep(at, now);
                } else if member.number != REMOVED {
                    *self.report.refused.entry(error.cause().code()).or_default() += 1;
                }
            }
        }
    }

    fn sleep(&mut self, at: usize, now: UnixMillis) {
        if let Some(next) = self.members.get(at).and_then(|member| member.agent.next_wakeup(now)) {
            self.wakeups.push(Reverse((next.max(now.plus(1)), at)));
        }
    }
}
