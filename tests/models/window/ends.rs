//! The two ends: what the sender writes, and what the receiver makes of it.

use std::collections::HashMap;

use chacha20::ChaCha20Rng;
use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard, Sealer};
use keycell_protocol::{
    Cause, Generation, Grant, LongTermKey, Mode, Name, RatchetPeriod, Rkey, Subkeys, Ticket, Topic,
};
use rand_core::SeedableRng as _;

use super::bounds::{Bounds, Weakness};
use super::{AHEAD, Message, Messages, Past, Run, START, Verdict, end};
use crate::memo::Memo;

impl Messages {
    pub(super) fn new(bounds: Bounds, found: &[&'static str]) -> Self {
        let key = LongTermKey::new(Generation(1), RatchetPeriod::DEFAULT.epoch(START.seconds()), [7; 32]);
        let (found, known) = (found.to_vec(), Memo::new());
        let own = (0..bounds.runs).map(|ticket| grant(&key.subkeys(), ticket)).collect();
        let mut messages = Self { bounds, found, weakness: None, key, own, messages: HashMap::new(), known };
        let tickets = if bounds.answers { bounds.runs } else { 1 };
        let sent = |at: &u64| bounds.aheads.iter().map(|ahead| at + ahead).collect::<Vec<_>>();
        for sent in bounds.instants.iter().flat_map(sent) {
            for (ticket, salt) in
                (0..tickets).flat_map(|ticket| (0..bounds.salts).map(move |salt| (ticket, salt)))
            {
                messages.write(Message { ticket, salt, number: 0, sent, forged: false });
            }
        }
        messages
    }

    /// Writes all that a sealer may write at one moment. The same salt makes the same sealer: what one process wrote at one
    /// moment, and would have written at another.
    fn write(&mut self, first: Message) {
        let beyond = self.bounds.beyond();
        let mut sealer = self.sealer(first);
        let last = if self.bounds.forgeries > 0 { beyond } else { self.bounds.most() - 1 };
        for number in 0..=last {
            let (at, topic) = (START.plus(first.sent), Topic::try_from("t").unwrap());
            let bytes = sealer.seal(at, Mode::Sealed, topic, b"x").unwrap();
            self.messages.insert(Message { number, ..first }, bytes);
        }
        if let Some(mut bytes) = self.messages.get(&Message { number: beyond, ..first }).cloned() {
            *bytes.last_mut().unwrap() ^= 1;
            self.messages.insert(Message { number: beyond, forged: true, ..first }, bytes);
        }
    }

    fn sealer(&self, Message { ticket, salt, .. }: Message) -> Sealer {
        let mut random = ChaCha20Rng::seed_from_u64(100 + u64::from(salt));
        let grant = &self.own[usize::from(ticket)];
        let (asker, other) = (name("a@z"), grant.destination.clone());
        if self.bounds.answers {
            let sek = grant.reply_sek.clone().unwrap();
            Sealer::for_replies(other, asker, grant.expiration, grant.ticket.id(), sek, &mut random)
        } else {
            Sealer::new(asker, grant, &mut random)
        }
    }

    fn guard(&self, run: &Run) -> RestartGuard {
        match self.weakness {
            Some(Weakness::NoGuard) => RestartGuard::Off,
            Some(Weakness::GuardWithoutAhead) if run.number > 0 => {
                RestartGuard::Until(START.plus(run.started).minus(AHEAD))
            }
            Some(Weakness::GuardAtFirst) => RestartGuard::Start,
            _ if run.number == 0 => RestartGuard::FirstUse,
            _ => RestartGuard::Start,
        }
    }

    /// What the opener of this process makes of a message.
    pub(super) fn open(&self, run: &Run, message: Message, clock: u64) -> Verdict {
        self.known.get((run.clone(), message, clock), || self.open_anew(run, message, clock))
    }

    fn open_anew(&self, run: &Run, message: Message, clock: u64) -> Verdict {
        let (mut opener, mut keys) = self.opener(run);
        let mut open = |opener: &mut Opener, message, at| {
            let at = match self.weakness {
                Some(Weakness::ClockBehind) => START.plus(at).minus(1_000),
                Some(Weakness::ClockAhead) => START.plus(at).plus(1),
                _ => START.plus(at),
            };
            opener.open(&mut keys, at, &self.messages[&message]).map(drop)
        };
        for past in &run.past {
            match *past {
                Past::Opened(message, at) => assert_eq!(open(&mut opener, message, at), Ok(())),
                Past::Refused(message, at) if message.forged && self.remembers_first() => {
                    let _ = open(&mut opener, Message { forged: false, ..message }, at);
                }
                Past::Refused(message, at) => assert!(open(&mut opener, message, at).is_err()),
                Past::Swept(at) => opener.sweep(START.plus(at)),
            }
        }
        open(&mut opener, message, clock).map_or_else(|cause: Cause| cause.code(), |()| "opened")
    }

    /// The opener with which this process begins.
    fn opener(&self, run: &Run) -> (Opener, Keys) {
        let config = OpenerConfig { restart_guard: self.guard(run), ..OpenerConfig::default() };
        let me = name(if self.bounds.answers { "a@z" } else { "b@z" });
        let started = START.plus(run.started);
        let mut opener = Opener::new(me, &config, started);
        if self.bounds.answers {
            let first = if self.weakness == Some(Weakness::KeepsTickets) { 0 } else { run.number };
            for grant in &self.own[usize::from(first)..=usize::from(run.number)] {
                assert!(opener.expect_replies(started, grant));
            }
        }
        (opener, Keys::new(self.key.clone(), RatchetPeriod::DEFAULT))
    }

    fn remembers_first(&self) -> bool {
        self.weakness == Some(Weakness::RemembersFirst)
    }
}

/// A ticket from one to the other, with the keys of both directions.
fn grant(keys: &Subkeys, ticket: u8) -> Grant {
    let (a, b) = (name("a@z"), name("b@z"));
    let mut random = ChaCha20Rng::seed_from_u64(1 + u64::from(ticket));
    let rkey = Rkey::generate(&mut random);
    let expiration = START.plus(end(ticket)).seconds();
    Grant {
        destination: b.clone(),
        expiration,
        renew_after: expiration,
        author_proof: false,
        sek: rkey.sek(&a, &b, expiration),
        reply_sek: Some(rkey.sek(&b, &a, expiration)),
        ticket: Ticket::seal_for_party(&rkey, keys, &mut random),
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
