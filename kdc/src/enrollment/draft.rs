//! One transaction in the making: what is decided on some hosts, and what that writes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use keycell_protocol::{
    EnrollmentKeys, EnrollmentState, Epoch, Generation, HostName, JoinTokenId, LongTermKey, Name,
    ServiceName, UnixMillis,
};
use subtle::ConstantTimeEq as _;

use super::crowd::Waiting;
use super::found::Found;
use super::others::{alarm, others};
use super::{
    Admission, Admit, Applicant, EnrollmentRecord, EnrollmentSeal, EnrollmentSetting, How, JoinTokenRecord,
    Known, Request, SCHEMA, SameHost, Settled, Verdict, WaitingFor, WaitingRecord, WaitingState, decide,
};
use crate::administration::{AdminError, Ledger, States};
use crate::audit::{Action, Actor, Event};
use crate::keyring::KeyringError;
use crate::store::{Act, KeyState, Kind, PartyRecord, Write};

/// The transaction.
pub(super) struct Draft<'a> {
    ledger: &'a Ledger,
    states: States<'a>,
    setting: &'a EnrollmentSetting,
    /// Together, so that the store does them together.
    parties: Vec<Write>,
    documents: Vec<Write>,
    events: Vec<Event>,
    /// Join tokens with the uses of this transaction.
    tokens: BTreeMap<JoinTokenId, JoinTokenRecord>,
    /// New parties of this transaction, by service and host.
    hosts: HashMap<(ServiceName, HostName), Vec<Name>>,
    /// By which other names the new parties' hosts are known, as far as it was known when it was decided.
    known: HashMap<Name, Vec<Name>>,
    /// How many new parties of this transaction come in by trust on first use.
    by_tofu: usize,
    /// Those who wait, with those of this transaction.
    waiting: Waiting,
}

/// A transaction that is ready.
pub(super) struct Finished {
    pub(super) act: Act,
    pub(super) waiting: Waiting,
    /// The new parties, with the others of their hosts that were known.
    pub(super) known: HashMap<Name, Vec<Name>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        ledger: &'a Ledger,
        states: States<'a>,
        setting: &'a EnrollmentSetting,
        waiting: Waiting,
    ) -> Self {
        Self {
            ledger,
            states,
            setting,
            parties: Vec::new(),
            documents: Vec::new(),
            events: Vec::new(),
            tokens: BTreeMap::new(),
            hosts: HashMap::new(),
            known: HashMap::new(),
            by_tofu: 0,
            waiting,
        }
    }

    /// Decides on one, after those before it.
    pub(super) fn add(&mut self, request: &Request, found: &Found) -> Result<Settled, AdminError> {
        let Request { applicant, name, .. } = request;
        let directory = self.ledger.directory();
        let party = found.parties.get(name);
        let waiting = found.waiting(applicant);
        let token = applicant.token.as_ref().map(keycell_protocol::JoinToken::id);
        let token = token.and_then(|id| {
            self.tokens.get(&id).cloned().or_else(|| directory.join_tokens().get(&id).cloned())
        });
        let others = if party.is_some() { Vec::new() } else { self.others(applicant, name) };
        let known = Known {
            setting: self.setting,
            party,
            sealed: self.is_sealed(party)?,
            disabled: directory.party(name.as_str()).is_some_and(|party| !party.enabled()),
            waiting,
            token: token.as_ref(),
            contested: !others.is_empty(),
            is_full: others.len() >= SameHost::KEYS,
            by_tofu: directory.by_tofu().saturating_add(self.by_tofu),
            crowd: self.waiting.crowd(applicant.address),
            now: self.states.now,
            skew_ms: self.states.skew_ms,
        };
        match (decide(applicant, name, known), party) {
            (Verdict::Admit(admit), _) => self.admit(request, &admit, token, &others, found),
            (Verdict::Renew, Some(party)) => self.renew(request, party.clone(), found),
            (Verdict::Again, Some(party)) => Ok(self.again(request, party)),
            (Verdict::Wait { because, replaces }, _) => self.wait(request, because, replaces),
            (Verdict::Waits(since), _) => Ok(Settled::Pending { since, again: true }),
            (Verdict::Refuse(refusal), _) => Ok(Settled::Refused(refusal)),
            (Verdict::TooSoon(wait), _) => Ok(Settled::TooSoon(wait)),
            (Verdict::Replayed | Verdict::Renew | Verdict::Again, _) => Ok(Settled::Replayed),
        }
    }

    /// Whether Keycell wrote what the database has of a party. Where only another version of the master key can tell, it is
    /// asked again.
    fn is_sealed(&self, party: Option<&PartyRecord>) -> Result<bool, AdminError> {
        let Some(party) = party else { return Ok(true) };
        match self.states.keyring.check_enrollment(party) {
            Ok(()) => Ok(true),
            Err(error @ KeyringError::Damaged { .. }) => {
                tracing::error!(party = %party.name, %error, "a host is refused: the row of how it came aboard is damaged");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is to be written; nothing where all was there already.
    pub(super) fn finish(self) -> Result<Finished, AdminError> {
        let mut act = Act { writes: self.parties, events: self.events };
        if !act.writes.is_empty() {
            act.writes.push(Write::NeedSchema(SCHEMA));
        }
        act.writes.extend(self.documents);
        for (id, record) in self.tokens {
            let (expected, revision) = (Some(record.revision), record.revision.saturating_add(1));
            let document = self.ledger.document(Kind::JoinToken, &id.to_string(), revision, &record)?;
            act.writes.push(Write::PutDocument { document, expected });
        }
        Ok(Finished { act, waiting: self.waiting, known: self.known })
    }

    /// The enabled parties of the same service and host.
    fn others(&self, applicant: &Applicant, name: &Name) -> Vec<Name> {
        let Applicant { service, host, .. } = applicant;
        let mut others = others(self.ledger, applicant, name);
        let here = self.hosts.get(&(service.clone(), host.clone()));
        others.extend(here.into_iter().flatten().cloned());
        others
    }

    fn admit(
        &mut self,
        request: &Request,
        admit: &Admit,
        token: Option<JoinTokenRecord>,
        others: &[Name],
        found: &Found,
    ) -> Result<Settled, AdminError> {
        let Request { applicant, name, .. } = request;
        let now = self.states.now;
        let earlier = found.earlier.get(name).map(|earlier| earlier.generation);
        let mut record = PartyRecord::new(name.clone(), now);
        let joined = self.join(request, &mut record, earlier)?;
        record.enrollment = Some(Box::new(EnrollmentRecord {
            service: applicant.service.clone(),
            host: applicant.host.clone(),
            public_key: applicant.public_key,
            identity: applicant.identity,
            generation: joined.generation,
            timestamp: applicant.timestamp,
            request: applicant.request.clone(),
            admission: admit.admission,
            token: admit.token,
            address: applicant.address,
            enrolled_at: now,
            renewed_at: now,
            seal: EnrollmentSeal::default(),
        }));
        self.states.keyring.seal_enrollment(&mut record, &mut crate::random::system());
        self.parties.push(Write::PutParty { party: record, expected: None });
        let id = applicant.fingerprint().to_string();
        self.documents.push(match admit.document {
            Some(revision) => Write::DeleteDocument { kind: Kind::Enrollment, id, expected: Some(revision) },
            // Nobody denies it in this moment.
            None => Write::NoDocument { kind: Kind::Enrollment, id },
        });
        if let (Some(id), Some(mut token)) = (admit.token, token) {
            token.used = token.used.saturating_add(1);
            self.tokens.insert(id, token);
        }
        let event = joined.told(request, self.event(request, Action::PartyEnroll));
        let event = event.with("admission", admit.admission.as_str());
        self.events.push(match admit.token {
            Some(id) => event.with("token", id.to_string()),
            None => event,
        });
        if admit.alarm {
            let (write, event) = alarm(self.ledger, request, others, now)?;
            self.documents.push(write);
            self.events.push(event);
        }
        let host = (applicant.service.clone(), applicant.host.clone());
        self.hosts.entry(host).or_default().push(name.clone());
        self.by_tofu += usize::from(admit.admission == Admission::Tofu);
        self.known.insert(name.clone(), others.to_vec());
        Ok(joined.settled(How::New))
    }

    fn renew(
        &mut self,
        request: &Request,
        mut record: PartyRecord,
        found: &Found,
    ) -> Result<Settled, AdminError> {
        let Request { applicant, name, .. } = request;
        let last = found.earlier.get(name).map(|earlier| earlier.generation);
        let joined = self.join(request, &mut record, last)?;
        let Some(enrollment) = &mut record.enrollment else { return Ok(Settled::Replayed) };
        enrollment.identity = applicant.identity;
        enrollment.generation = joined.generation;
        enrollment.timestamp = applicant.timestamp;
        enrollment.request.clone_from(&applicant.request);
        enrollment.address = applicant.address;
        enrollment.renewed_at = self.states.now;
        self.states.keyring.seal_enrollment(&mut record, &mut crate::random::system());
        let expected = Some(record.revise(self.states.now));
        self.parties.push(Write::PutParty { party: record, expected });
        if found.waiting(applicant).is_none() {
            let id = applicant.fingerprint().to_string();
            self.documents.push(Write::NoDocument { kind: Kind::Enrollment, id });
        }
        for generation in &joined.erased {
            let event = self.event(request, Action::KeyErase).with("generation", generation.0);
            self.events.push(event);
        }
        let event = joined.told(request, self.event(request, Action::PartyReenroll));
        self.events.push(event);
        Ok(joined.settled(How::Renewed))
    }

    /// Gives a party the key that it made.
    fn join(
        &self,
        request: &Request,
        record: &mut PartyRecord,
        last: Option<Generation>,
    ) -> Result<Joined, AdminError> {
        let exhausted =
            || AdminError::Refused(format!("{} has used up all its key generations", request.name));
        let generation = match last {
            Some(last) => last.next().ok_or_else(exhausted)?,
            None => Generation::FIRST,
        };
        let key = request.keys.long_term_key(generation, self.states.epoch);
        let author_key = request.applicant.public_key;
        let joined = self.states.enroll(record, &key, author_key, &mut crate::random::system())?;
        Ok(Joined { generation, epoch: key.epoch(), state: state(joined.state), erased: joined.erased })
    }

    /// The answer to a request that was answered before: the key that it made, if it is still good for what it was.
    fn again(&self, request: &Request, record: &PartyRecord) -> Settled {
        let generation = record.enrollment.as_ref().map(|enrollment| enrollment.generation);
        let row = record.keys.iter().find(|key| Some(key.generation) == generation);
        let row = row.filter(|key| matches!(key.state, KeyState::Active | KeyState::Staged));
        let made = row.and_then(|row| {
            let stored = self.states.keyring.open_key(record, row).ok()?;
            made(&request.keys, &stored).map(|key| (row.state, key))
        });
        match made {
            Some((kept, key)) => Settled::Enrolled {
                generation: key.generation(),
                epoch: key.epoch(),
                state: state(kept),
                how: How::Again,
            },
            // It has got another one since.
            None => Settled::Replayed,
        }
    }

    fn wait(
        &mut self,
        request: &Request,
        because: WaitingFor,
        replaces: Option<u64>,
    ) -> Result<Settled, AdminError> {
        let Request { applicant, .. } = request;
        let now = self.states.now;
        let token = applicant.token.as_ref().map(keycell_protocol::JoinToken::id);
        let record = WaitingRecord {
            state: WaitingState::Waiting,
            because: Some(because),
            service: Some(applicant.service.clone()),
            host: Some(applicant.host.clone()),
            public_key: Some(applicant.public_key),
            token,
            address: Some(applicant.address),
            first_at: now,
            decided_at: None,
            decided_by: None,
            until: Some(now.plus(u64::from(self.setting.pending_days) * DAY_MS)),
            note: String::new(),
            revision: 0,
        };
        let id = applicant.fingerprint().to_string();
        let revision = revision(now, replaces);
        let document = self.ledger.document(Kind::Enrollment, &id, revision, &record)?;
        self.documents.push(Write::PutDocument { document, expected: replaces });
        let event = self.event(request, Action::EnrollmentWait);
        let event = event.with("because", because.as_str()).with("fingerprint", id);
        self.events.push(match token {
            Some(token) => event.with("token", token.to_string()),
            None => event,
        });
        self.waiting.add(applicant.address);
        Ok(Settled::Pending { since: now, again: false })
    }

    fn event(&self, request: &Request, action: Action) -> Event {
        event(request, action, self.states.now)
    }
}

/// What became of a host's key.
struct Joined {
    generation: Generation,
    epoch: Epoch,
    state: EnrollmentState,
    erased: Vec<Generation>,
}

impl Joined {
    fn told(&self, request: &Request, event: Event) -> Event {
        let state = match self.state {
            EnrollmentState::Active => KeyState::Active,
            EnrollmentState::Staged => KeyState::Staged,
        };
        event
            .with("generation", self.generation.0)
            .with("fingerprint", request.applicant.fingerprint().to_string())
            .with("state", state.as_str())
    }

    const fn settled(&self, how: How) -> Settled {
        let Self { generation, epoch, state, erased: _ } = *self;
        Settled::Enrolled { generation, epoch, state, how }
    }
}

pub(super) fn event(request: &Request, action: Action, now: UnixMillis) -> Event {
    let address: IpAddr = request.applicant.address;
    let mut event = Event::new(now, Actor::Address(address), action, request.name.as_str());
    event.request.clone_from(&request.id);
    event.address = Some(address);
    event
}

/// The revision that a document begins with: later than of any that was there before under its id.
pub(super) fn revision(now: UnixMillis, replaces: Option<u64>) -> u64 {
    now.0.max(replaces.map_or(0, |before| before.saturating_add(1)))
}

const fn state(state: KeyState) -> EnrollmentState {
    match state {
        KeyState::Staged => EnrollmentState::Staged,
        KeyState::Active | KeyState::Retiring | KeyState::Dead => EnrollmentState::Active,
    }
}

/// The key that a request made, as it was then: what is stored of it turns with the epochs, and so does the host's.
fn made(keys: &EnrollmentKeys, stored: &LongTermKey) -> Option<LongTermKey> {
    (0..=EPOCHS).find_map(|back| {
        let epoch = Epoch(stored.epoch().0.checked_sub(back)?);
        let made = keys.long_term_key(stored.generation(), epoch);
        let turned = made.clone().advance(stored.epoch()).ok()?;
        bool::from(turned.expose_secret().ct_eq(stored.expose_secret())).then_some(made)
    })
}

/// How many epochs may begin while a request is still new: clocks may be ten minutes off, and an epoch lasts a minute at
/// the least.
const EPOCHS: u32 = 25;
const DAY_MS: u64 = 86_400_000;
