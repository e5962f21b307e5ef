//! The group itself: its chains, what the KDC gives of them, and what comes of messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard, Sealer};
use keycell_kdc::groups::{Group, GroupRecord, begin_chain};
use keycell_kdc::keyring::{Keyring, MasterKey};
use keycell_kdc::store::{SecretRecord, Write};
use keycell_protocol::{
    Epoch, Generation, Grant, HeldGroup, HeldKey, LongTermKey, Mode, Name, RatchetPeriod, Rkey, Ticket,
    Topic, UnixSeconds,
};
use rand_core::SeedableRng as _;

use super::{Given, LIFETIME, START, Weakness};
use crate::memo::Memo;

/// The group with the keys that it has given, and what members make of them.
pub(super) struct Chains {
    pub(super) weakness: Option<Weakness>,
    keyring: Keyring,
    groups: Memo<Vec<u64>, Arc<Group>>,
    keys: Memo<Given, Arc<Vec<HeldKey>>>,
    prints: Memo<Given, Arc<Prints>>,
    in_time: Memo<Given, bool>,
    tickets: Memo<Given, Option<(Ticket, UnixSeconds, Vec<u8>)>>,
    opened: Memo<(Given, Given, u64), &'static str>,
    forged: Memo<(Given, Given, u64), bool>,
    readable: Memo<(Given, Given), bool>,
}

/// Generations, each with what only its key makes.
type Prints = Vec<(Generation, [u8; Ticket::SIZE])>;

impl Chains {
    pub(super) fn new(weakness: Option<Weakness>) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let (keyring, _) = Keyring::create(MasterKey::generate(1, &mut random), &mut random);
        Self {
            weakness,
            keyring,
            groups: Memo::new(),
            keys: Memo::new(),
            prints: Memo::new(),
            in_time: Memo::new(),
            tickets: Memo::new(),
            opened: Memo::new(),
            forged: Memo::new(),
            readable: Memo::new(),
        }
    }

    /// The group whose chains began at these moments.
    fn group(&self, chains: &[u64]) -> Arc<Group> {
        self.groups.get(chains.to_vec(), || {
            let mut secrets: Vec<SecretRecord> = Vec::new();
            let mut record = record();
            for (number, at) in chains.iter().enumerate() {
                let mut random = ChaCha20Rng::seed_from_u64(number as u64);
                let (next, writes) = begin_chain(record, instant(*at).millis(), &self.keyring, &mut random);
                record = next;
                secrets.extend(writes.into_iter().filter_map(|write| match write {
                    Write::AddSecret(secret) => Some(secret),
                    _ => None,
                }));
                if self.weakness == Some(Weakness::SameNumbers)
                    && let [.., before, last] = &mut record.chains[..]
                {
                    last.first = before.generation(last.begins_at);
                }
            }
            let secret = |version| secrets.iter().find(|secret| secret.version == version);
            Arc::new(Group::new(&record, &self.keyring, secret))
        })
    }

    fn keys(&self, given: &Given) -> Arc<Vec<HeldKey>> {
        self.keys.get(given.clone(), || {
            let mut keys = self.group(&given.chains).keys(instant(given.at)).unwrap();
            for held in &mut keys {
                match self.weakness {
                    Some(Weakness::KeysLastLonger) => held.ends = held.ends.plus(LIFETIME),
                    Some(Weakness::EndedKeysLast) => held.ends = held.begins.plus(2 * LIFETIME),
                    _ => {}
                }
            }
            Arc::new(keys)
        })
    }

    /// The generations that were given, each with what only its key makes.
    pub(super) fn prints(&self, given: &Given) -> Arc<Prints> {
        self.prints.get(given.clone(), || {
            let random = || ChaCha20Rng::seed_from_u64(1);
            let print = |held: &HeldKey| {
                let (rkey, generation) = (Rkey::generate(&mut random()), held.key.generation());
                let ticket = Ticket::seal_for_group(&rkey, generation, &held.key.ticket_key(), &mut random());
                (generation, *ticket.as_bytes())
            };
            Arc::new(self.keys(given).iter().map(print).collect())
        })
    }

    /// When a member that was given keys asks again at the latest.
    pub(super) fn refresh_at(&self, given: &Given) -> u64 {
        let at = self.refresh(given, u32::MAX);
        let late = if self.weakness == Some(Weakness::AsksLate) { LIFETIME } else { 0 };
        at + late
    }

    pub(super) fn refresh(&self, given: &Given, random: u32) -> u64 {
        self.group(&given.chains).refresh_at(instant(given.at).millis(), random).seconds().0 - START.0
    }

    /// A ticket as the KDC gives one, and a message under it.
    pub(super) fn ticket(&self, given: &Given) -> Option<(Ticket, UnixSeconds, Vec<u8>)> {
        self.tickets.get(given.clone(), || {
            let now = instant(given.at);
            let sealing = self.group(&given.chains).sealing(now)?;
            let mut random = ChaCha20Rng::seed_from_u64(given.at);
            let rkey = Rkey::generate(&mut random);
            let ticket = Ticket::seal_for_group(&rkey, sealing.generation, &sealing.key, &mut random);
            let end = now.plus(sealing.lifetime_seconds.into()).min(sealing.ends);
            Some((ticket, end, message(&rkey, ticket, end, now)))
        })
    }

    /// What comes of a message at a member.
    fn open(&self, held: &Given, message: &[u8], now: u64) -> &'static str {
        let config = OpenerConfig { restart_guard: RestartGuard::FirstUse, ..OpenerConfig::default() };
        let mut opener = Opener::new(name("b.h@z"), &config, START.millis());
        opener.hold(HeldGroup {
            group: name("g@z"),
            author_proof: false,
            refresh_at: START.millis(),
            spread: 0,
            keys: self.keys(held).to_vec(),
        });
        let key = LongTermKey::new(Generation(1), Epoch(1), [7; 32]);
        let mut keys = Keys::new(key, RatchetPeriod::DEFAULT);
        opener.open(&mut keys, instant(now).millis(), message).map_or_else(|cause| cause.code(), |_| "opened")
    }

    /// What comes of a message under a ticket of the KDC's at a member.
    pub(super) fn opens(&self, held: &Given, given: &Given, now: u64) -> &'static str {
        self.opened.get((held.clone(), given.clone(), now), || match self.ticket(given) {
            Some((.., message)) => self.open(held, &message, now),
            None => "no-ticket",
        })
    }

    /// Whether a member opens anything that is written now with the keys that were given to another.
    pub(super) fn is_fooled(&self, held: &Given, by: &Given, now: u64) -> bool {
        self.forged.get((held.clone(), by.clone(), now), || {
            self.keys(by).iter().any(|own| {
                let mut random = ChaCha20Rng::seed_from_u64(now);
                let rkey = Rkey::generate(&mut random);
                let key = own.key.ticket_key();
                let ticket = Ticket::seal_for_group(&rkey, own.key.generation(), &key, &mut random);
                // The sooner it ends the less is against it.
                let end = instant(now).plus(1);
                self.open(held, &message(&rkey, ticket, end, instant(now)), now) == "opened"
            })
        })
    }

    /// Whether the bare keys that were given open a ticket, whatever the time.
    pub(super) fn is_readable(&self, by: &Given, given: &Given) -> bool {
        self.readable.get((by.clone(), given.clone()), || {
            let Some((ticket, ..)) = self.ticket(given) else { return false };
            self.keys(by).iter().any(|own| ticket.open(&own.key.ticket_key()).is_ok())
        })
    }

    /// Whether who holds what was given opens what is sealed until it asks again, if no other chain begins.
    pub(super) fn is_in_time(&self, held: &Given) -> bool {
        self.in_time.get(held.clone(), || {
            (held.at..=self.refresh_at(held)).all(|at| {
                let sealing = self.group(&held.chains).sealing(instant(at)).unwrap();
                let seals =
                    |own: &HeldKey| own.key.generation() == sealing.generation && own.ends > instant(at);
                self.keys(held).iter().any(seals)
            })
        })
    }
}

fn record() -> GroupRecord {
    GroupRecord {
        name: name("g@z"),
        members: vec!["b.*@z".parse().unwrap()],
        excluded: BTreeSet::default(),
        lifetime_seconds: u32::try_from(LIFETIME).unwrap(),
        author_proof: false,
        note: String::new(),
        created_at: START.millis(),
        updated_at: START.millis(),
        revision: 1,
        chains: Vec::new(),
    }
}

fn message(rkey: &Rkey, ticket: Ticket, expiration: UnixSeconds, now: UnixSeconds) -> Vec<u8> {
    let (from, to) = (name("a@z"), name("g@z"));
    let sek = rkey.sek(&from, &to, expiration);
    let (reply_sek, author_proof, renew_after) = (None, false, expiration);
    let grant = Grant { destination: to, expiration, renew_after, ticket, sek, reply_sek, author_proof };
    let mut sealer = Sealer::new(from, &grant, &mut ChaCha20Rng::seed_from_u64(now.0));
    sealer.seal(now.millis(), Mode::Sealed, Topic::try_from("t").unwrap(), b"x").unwrap()
}

pub(super) fn instant(at: u64) -> UnixSeconds {
    START.plus(at)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}
