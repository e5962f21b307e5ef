//! The KDC's half: one party's record, and what is answered to it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use keycell_client::Sealer;
use keycell_kdc::administration::due;
use keycell_kdc::administration::keys::{Next, Refused, States};
use keycell_kdc::directory::{Party, Seen};
use keycell_kdc::issuance::{Kind, Moment, Tickets};
use keycell_kdc::keyring::{Keyring, Life, MasterKey, Standing};
use keycell_kdc::store::{KeyRecord, KeyState, PartyRecord};
use keycell_protocol::{
    Generation, Grant, KeyReference, LongTermKey, Mode, Name, Problem, ProblemType, RatchetPeriod,
    ReplyWriter, Rkey, Rotation, RotationReply, SignedRequest, SignedRotation, Step, Ticket, Topic,
    UnixMillis,
};
use rand_core::SeedableRng as _;

use super::party::Disk;
use super::{START, Weakness};

pub(super) struct Kdc {
    weakness: Option<Weakness>,
    keyring: Keyring,
    other: LongTermKey,
}

/// What the database has of the party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) party: PartyRecord,
    /// The highest generation that it ever had.
    last: Generation,
    /// How often anything was drawn by chance.
    drawn: u64,
}

/// A wrapped key is what it is wrapped from: by the same draw for the same key.
impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.last, self.drawn, self.party.rotate_after).hash(state);
        for key in &self.party.keys {
            (key.generation, key.epoch, key.state.as_str(), key.created_at, key.ends_at).hash(state);
        }
    }
}

/// What a request came to.
pub(super) struct Served {
    pub(super) answer: Answer,
    /// A key that was given out, and what tells it from others.
    pub(super) given: Option<(u32, [u8; 8])>,
    /// Whether the key that signed had not ended, where it was accepted.
    pub(super) is_alive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    pub(super) is_ticket: bool,
    /// What was sealed; else why not, and for how many seconds to wait.
    pub(super) body: Option<Arc<[u8]>>,
    refused: (bool, Option<u64>),
}

impl Answer {
    pub(super) fn unauthenticated() -> Self {
        Self { is_ticket: false, body: None, refused: (false, None) }
    }

    fn conflict(retry_after: Option<u64>) -> Self {
        Self { is_ticket: false, body: None, refused: (true, retry_after) }
    }

    fn sealed(is_ticket: bool, body: Vec<u8>) -> Self {
        Self { is_ticket, body: Some(body.into()), refused: (false, None) }
    }

    pub(super) fn problem(&self) -> Problem {
        let (is_conflict, retry_after) = self.refused;
        let kind = if is_conflict { ProblemType::Conflict } else { ProblemType::Unauthenticated };
        Problem { retry_after, ..Problem::new(kind) }
    }
}

impl Kdc {
    pub(super) fn new(weakness: Option<Weakness>) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let (keyring, _) = Keyring::create(MasterKey::generate(1, &mut random), &mut random);
        let other = LongTermKey::generate(Generation::FIRST, moment(START).epoch(), &mut random);
        Self { weakness, keyring, other }
    }

    /// A party with one key, which an administrator wants replaced.
    pub(super) fn first(&self) -> (Record, Disk) {
        let mut random = ChaCha20Rng::seed_from_u64(2);
        let key = LongTermKey::generate(Generation::FIRST, moment(START).epoch(), &mut random);
        let made = START.minus(1);
        let sealed = self.keyring.seal_key(&me(), Standing::NEW, &key, Life::active(made), &mut random);
        let party =
            PartyRecord { keys: vec![sealed], rotate_after: Some(START), ..PartyRecord::new(me(), made) };
        (Record { party, last: Generation::FIRST, drawn: 0 }, Disk::new(key))
    }

    fn party(&self, record: &PartyRecord) -> Party {
        let mut record = record.clone();
        if self.weakness == Some(Weakness::KeepsEnded) {
            record.keys =
                record.keys.iter().map(|key| self.endless(&record, key.state, key.generation)).collect();
        }
        let open = |row| self.keyring.open_key(&record, row).unwrap();
        let keys: Vec<_> = record.keys.iter().map(|row| (row.state, open(row))).collect();
        Party::new(&record, keys, Arc::<Seen>::default())
    }

    /// The same key, with no end.
    fn endless(&self, record: &PartyRecord, state: KeyState, generation: Generation) -> KeyRecord {
        let row = record.keys.iter().find(|row| row.generation == generation).unwrap();
        let key = self.keyring.open_key(record, row).unwrap();
        let life = Life { state, created_at: row.created_at, ends_at: None };
        self.keyring.seal_key(
            &record.name,
            Standing::of(record),
            &key,
            life,
            &mut ChaCha20Rng::seed_from_u64(3),
        )
    }

    /// Whether a reply asks the party to rotate.
    pub(super) fn is_due(&self, record: &Record, now: UnixMillis) -> bool {
        due(&self.party(&record.party), now, None)
    }

    pub(super) fn serve(&self, record: &mut Record, now: UnixMillis, body: &[u8], rotates: bool) -> Served {
        record.drawn += 1;
        let random = &mut ChaCha20Rng::seed_from_u64(1_000 + record.drawn);
        let party = self.party(&record.party);
        let lives = |record: &Record, key: &KeyReference| {
            let row = record.party.keys.iter().find(|row| row.generation == key.generation);
            row.is_some_and(|row| row.ends_at.is_none_or(|end| now < end))
        };
        let refused = |answer| Served { answer, given: None, is_alive: true };
        if rotates {
            let signed = SignedRotation::parse(body).unwrap();
            let is_alive = lives(record, signed.key());
            let keys = Rotation::keys(&party, signed.key(), moment(now));
            let request = keys.as_ref().and_then(|keys| Rotation::verify(&signed, keys).ok());
            let (Some((_, keys)), Some(request)) = (keys, request) else {
                return refused(Answer::unauthenticated());
            };
            match self.turn(record, now, signed.key().generation, request.step, random) {
                Ok(Some(key)) => {
                    let body = RotationReply::seal_staged(&request, now, &key, &keys, random);
                    let given = Some((key.generation().0, *key.expose_secret().first_chunk().unwrap()));
                    Served { answer: Answer::sealed(false, body), given, is_alive }
                }
                Ok(None) => {
                    let body = RotationReply::seal_committed(&request, now, &keys, random);
                    Served { answer: Answer::sealed(false, body), given: None, is_alive }
                }
                Err(answer) => refused(answer),
            }
        } else {
            let signed = SignedRequest::parse(body).unwrap();
            let is_alive = lives(record, signed.key());
            let keys = Tickets::keys(&party, signed.key(), moment(now));
            let request = keys.as_ref().and_then(|keys| Tickets::verify(&signed, keys).ok());
            let (Some(keys), Some(request)) = (keys, request) else {
                return refused(Answer::unauthenticated());
            };
            let mut reply = ReplyWriter::new(&request, now);
            let is_active = party.active().is_some_and(|active| active.generation == signed.key().generation);
            if is_active && due(&party, now, None) {
                reply.ask_to_rotate();
            }
            let (end, renew) = (now.seconds().plus(900), now.seconds().plus(600));
            for to in &request.destinations {
                reply.grant_party(to, &self.other.subkeys(), end, renew, random);
            }
            Served { answer: Answer::sealed(true, reply.seal(&keys.reply, random)), given: None, is_alive }
        }
    }

    /// One step of a rotation: stored whole, or not at all.
    fn turn(
        &self,
        record: &mut Record,
        now: UnixMillis,
        signer: Generation,
        step: Step,
        random: &mut ChaCha20Rng,
    ) -> Result<Option<LongTermKey>, Answer> {
        let mut party = record.party.clone();
        // By the zone's ticket lifetime and twice the skew.
        let states = States {
            keyring: &self.keyring,
            now,
            epoch: moment(now).epoch(),
            retire_ms: 1_020_000,
            skew_ms: 60_000,
        };
        if self.weakness != Some(Weakness::KeepsEnded) {
            states.expire(&mut party);
        }
        let last = match self.weakness {
            Some(Weakness::ForgetsNumbers) => party.keys.iter().map(|key| key.generation).max().unwrap(),
            _ => record.last,
        };
        let turned = match step {
            Step::Stage => {
                states.stage(&mut party, signer, last, None, random).map(|Next { key, .. }| Some(key))
            }
            Step::Commit => states.activate(&mut party, signer, random).map(|_| None),
        };
        let key = turned.map_err(|refused| match refused {
            Refused::Unknown => Answer::unauthenticated(),
            Refused::Superseded => Answer::conflict(None),
            Refused::TooSoon(wait) | Refused::Apart(wait) => Answer::conflict(Some(wait.as_secs() + 1)),
            refused => panic!("{refused:?}"),
        })?;
        record.party = party;
        record.last = record.last.max(key.as_ref().map_or(record.last, LongTermKey::generation));
        Ok(key)
    }

    /// A message for the party, under a ticket that the KDC would give now.
    pub(super) fn message(&self, record: &Record, now: UnixMillis) -> Vec<u8> {
        let keys = self.party(&record.party).ticket_keys(moment(now).epoch()).unwrap();
        let random = &mut ChaCha20Rng::seed_from_u64(4);
        let (rkey, end) = (Rkey::generate(random), now.seconds().plus(900));
        let grant = Grant {
            destination: me(),
            expiration: end,
            renew_after: end,
            ticket: Ticket::seal_for_party(&rkey, &keys, random),
            sek: rkey.sek(&other(0), &me(), end),
            reply_sek: None,
            author_proof: false,
        };
        let topic = Topic::try_from("t").unwrap();
        Sealer::new(other(0), &grant, random).seal(now, Mode::Sealed, topic, b"x").unwrap()
    }
}

fn moment(now: UnixMillis) -> Moment {
    Moment { now, ratchet_period: RatchetPeriod::DEFAULT }
}

pub(super) fn me() -> Name {
    "a@z".parse().unwrap()
}

/// Whom the party speaks to: somebody else each time, so that it needs another ticket.
pub(super) fn other(number: usize) -> Name {
    format!("b.{number}@z").parse().unwrap()
}
