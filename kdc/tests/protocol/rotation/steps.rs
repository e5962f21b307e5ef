//! The steps of a rotation, as a party takes them by function call.

use keycell_client::system_rng;
use keycell_kdc::administration::{AdminError, Asker, Caller, NewKey, PartyError, Precondition, Selection};
use keycell_kdc::kdc::Kdc;
use keycell_kdc::store::{KeyRecord, KeyState};
use keycell_protocol::{
    Generation, Instance, LongTermKey, Nonce, Outcome, ProblemType, Rotated, RotationRequest, SealedReply,
    SealedRotation, SignedRequest, SignedRotation, Step, TicketRequest,
};
use zeroize::Zeroizing;

use crate::zone::Zone;

impl Zone {
    /// Takes a step with `key`.
    pub(crate) async fn rotate(
        &self,
        local: &str,
        step: Step,
        key: &LongTermKey,
    ) -> Result<Rotated, PartyError> {
        self.rotate_at(&self.kdc, local, step, key).await
    }

    /// Takes a step with `key`, at one of several KDCs.
    pub(crate) async fn rotate_at(
        &self,
        kdc: &Kdc,
        local: &str,
        step: Step,
        key: &LongTermKey,
    ) -> Result<Rotated, PartyError> {
        let request = RotationRequest {
            source: self.name(local),
            step,
            timestamp: self.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance([1; 16]),
        };
        let keys = self.turned(key).keys_for();
        let json = SignedRotation::sign(&request, &keys).to_json();
        let answer = kdc.rotate(&SignedRotation::parse(&json).unwrap(), &Asker::default()).await?;
        Ok(SealedRotation::parse(&answer).unwrap().open(&keys, &request).unwrap())
    }

    /// A key as its holder uses it now.
    pub(crate) fn turned(&self, key: &LongTermKey) -> LongTermKey {
        let now = self.kdc.zone_record().ratchet_period.epoch(self.now().seconds());
        key.clone().advance(now.max(key.epoch())).unwrap()
    }

    pub(crate) async fn stage(&self, local: &str, key: &LongTermKey) -> LongTermKey {
        match self.rotate(local, Step::Stage, key).await.unwrap() {
            Rotated::Staged { key, server_time } => {
                assert_eq!(server_time, self.now());
                key
            }
            Rotated::Committed { .. } => panic!("not staged"),
        }
    }

    pub(crate) async fn commit(&self, local: &str, key: &LongTermKey) {
        let rotated = self.rotate(local, Step::Commit, key).await.unwrap();
        let Rotated::Committed { generation, .. } = rotated else { panic!("not committed") };
        assert_eq!(generation, key.generation());
    }

    /// Asks for a ticket from one party to another. Says whether the party is asked to rotate.
    pub(crate) fn ticket(&self, from: &str, key: &LongTermKey, to: &str) -> Result<Ticketed, ProblemType> {
        let request = TicketRequest {
            source: self.name(from),
            destinations: vec![self.name(to)],
            timestamp: self.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance([1; 16]),
        };
        let keys = self.turned(key).subkeys();
        let json = SignedRequest::sign(&request, &keys).unwrap().to_json();
        let issued = self.kdc.tickets(&SignedRequest::parse(&json).unwrap(), None);
        let issued = issued.map_err(|denied| denied.problem())?;
        let reply = SealedReply::parse(&issued.body).unwrap().open(&keys.reply, &request).unwrap();
        let [outcome] = &reply.outcomes[..] else { panic!("one was asked for") };
        match outcome {
            Outcome::Granted(grant) => {
                Ok(Ticketed { generation: grant.ticket.generation(), rotate: reply.rotate })
            }
            Outcome::Refused { problem, .. } => Err(problem.unwrap()),
        }
    }

    pub(crate) async fn states(&self, local: &str) -> Vec<(u32, KeyState)> {
        let party = self.kdc.directory().party(self.name(local).as_str()).unwrap();
        let stored = self.kdc.ledger().store().party(party.name()).await.unwrap().unwrap();
        let states =
            |keys: &[KeyRecord]| keys.iter().map(|key| (key.generation.0, key.state)).collect::<Vec<_>>();
        assert_eq!(states(&stored.keys), states(&party.record().keys), "memory and database agree");
        states(&stored.keys)
    }

    pub(crate) async fn replace(
        &self,
        local: &str,
        secret: [u8; 32],
        erase_old: bool,
    ) -> (LongTermKey, bool) {
        let new = NewKey { secret: Some(Zeroizing::new(secret)), erase_old };
        let (caller, name) = (Caller::console(), self.name(local));
        let made =
            self.kdc.keys().replace(&caller, &name, &new, &Precondition::NONE, |_| Ok(None)).await.unwrap();
        (made.key, made.retried)
    }

    pub(crate) async fn ask_for_a_new_key(&self, local: &str) {
        let selection = Selection::Named(vec![self.name(local)]);
        let selected = self.kdc.keys().select(&selection, None).unwrap();
        assert_eq!((selected.parties.len(), selected.next.clone()), (1, None));
        self.kdc.keys().ask(&Caller::console(), &selected).await.unwrap();
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticketed {
    /// Of the key that the ticket is sealed under.
    pub(crate) generation: Generation,
    pub(crate) rotate: bool,
}

pub(crate) fn problem(outcome: Result<Rotated, PartyError>) -> ProblemType {
    match outcome.unwrap_err() {
        PartyError::Denied(denied) => denied.problem(),
        PartyError::Admin(error) => panic!("{error}"),
    }
}

/// When to come back, in milliseconds.
pub(crate) fn too_soon(outcome: Result<Rotated, PartyError>) -> u64 {
    match outcome.unwrap_err() {
        PartyError::Admin(AdminError::NotYet { retry_after, .. }) => {
            u64::try_from(retry_after.as_millis()).unwrap()
        }
        error => panic!("{error}"),
    }
}
