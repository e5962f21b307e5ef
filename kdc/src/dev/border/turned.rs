//! A KDC that turned: it has the key of its zone's trust with another, and asks for what that zone does not let it have.

use std::time::Duration;

use keycell_client::https::{Answer, Https, Transport as _};
use keycell_client::protocol::{
    Correlation, Instance, KeysFor, LongTermKey, Name, Nonce, Outcome, PeerPair, PeerRequest, Peers, Problem,
    ProblemType, SealedReply, SignedPeerRequest,
};
use keycell_client::system_rng;
use rand_core::Rng as _;

use super::super::Failure;
use super::super::cell::DevCell;
use crate::clock::{Clock as _, SystemClock};
use crate::trust::{HeldKeys, secret_name};

/// The KDC of one cell, with what it holds of another's.
pub(super) struct Turned<'a> {
    near: &'a DevCell,
    far: &'a DevCell,
    me: Name,
    key: LongTermKey,
}

/// What it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It got a ticket.
    Given,
    /// It got none.
    Refused(ProblemType),
    /// Neither.
    Unclear,
}

impl<'a> Turned<'a> {
    /// Takes the key out of the database of `near`, which only its KDC can unwrap.
    ///
    /// # Errors
    /// There is no such key.
    pub(super) async fn of(near: &'a DevCell, far: &'a DevCell) -> Result<Self, Failure> {
        let (ledger, zone) = (near.kdc().ledger(), far.kdc().zone());
        let secret = ledger.store().secret(&secret_name(zone)).await?;
        let held = HeldKeys::open(ledger.keyring(), &secret.ok_or(NO_KEY)?)?;
        let key = held.active.ok_or(NO_KEY)?;
        Ok(Self { near, far, me: Name::of_zone(near.kdc().zone(), zone), key })
    }

    /// Asks the far KDC for a ticket in the name of `source`.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn ask(&self, source: &Name, destination: &Name) -> Result<Told, Failure> {
        let keys = self.keys()?;
        let request = request(&self.me, source, destination);
        let answer = post(self.far, signed(&request, &keys)?).await?;
        told(&answer, &request, &keys)
    }

    /// Says the same to the far KDC twice, and gives the answer to the second.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn say_again(&self, source: &Name, destination: &Name) -> Result<Told, Failure> {
        let keys = self.keys()?;
        let request = request(&self.me, source, destination);
        let body = signed(&request, &keys)?;
        post(self.far, body.clone()).await?;
        told(&post(self.far, body).await?, &request, &keys)
    }

    /// Sends what its KDC asks the far one for back to its own.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn reflect(&self, source: &Name, destination: &Name) -> Result<Told, Failure> {
        let keys = self.keys()?;
        let request = request(&self.me, source, destination);
        told(&post(self.near, signed(&request, &keys)?).await?, &request, &keys)
    }

    /// Asks as a zone that there is no trust with, with a key that it made up.
    ///
    /// # Errors
    /// The far KDC does not answer.
    pub(super) async fn ask_as_third(&self, source: &Name, destination: &Name) -> Result<Told, Failure> {
        let mut secret = [0; LongTermKey::SIZE];
        system_rng().fill_bytes(&mut secret);
        let key = LongTermKey::new(self.key.generation(), self.key.epoch(), secret);
        let keys = key.advance(self.epoch())?.keys_for();
        let third = Name::of_zone(&source.zone().parse()?, self.far.kdc().zone());
        let request = request(&third, source, destination);
        told(&post(self.far, signed(&request, &keys)?).await?, &request, &keys)
    }

    fn keys(&self) -> Result<KeysFor<Peers>, Failure> {
        Ok(self.key.clone().advance(self.epoch())?.keys_for())
    }

    fn epoch(&self) -> keycell_client::protocol::Epoch {
        self.far.kdc().zone_record().ratchet_period.epoch(SystemClock.now().seconds())
    }
}

fn request(asking: &Name, source: &Name, destination: &Name) -> PeerRequest {
    let random = &mut system_rng();
    PeerRequest {
        source: asking.clone(),
        requests: vec![PeerPair { source: source.clone(), destination: destination.clone() }],
        lifetime_seconds: LIFETIME,
        correlation: Correlation::generate(random),
        timestamp: SystemClock.now(),
        nonce: Nonce::generate(random),
        instance: Instance::generate(random),
    }
}

fn signed(request: &PeerRequest, keys: &KeysFor<Peers>) -> Result<Vec<u8>, Failure> {
    Ok(SignedPeerRequest::sign(request, keys)?.to_json())
}

async fn post(cell: &DevCell, body: Vec<u8>) -> Result<Answer, Failure> {
    let https = Https::new(cell.roots(), PATIENCE)?;
    let url = format!("{}/v1/peer/tickets", cell.url());
    let answer = tokio::time::timeout(PATIENCE, https.post(&url, body, MAX_ANSWER)).await;
    Ok(answer.map_err(|_| "a KDC does not answer another")??)
}

fn told(answer: &Answer, request: &PeerRequest, keys: &KeysFor<Peers>) -> Result<Told, Failure> {
    if answer.status != 200 {
        return Ok(Told::Refused(serde_json::from_slice::<Problem>(&answer.body)?.kind));
    }
    let reply = SealedReply::parse(&answer.body)?.open_for_zone(keys, request)?;
    Ok(match reply.outcomes.first() {
        Some(Outcome::Granted(_)) => Told::Given,
        Some(Outcome::Refused { problem: Some(problem), .. }) => Told::Refused(*problem),
        _ => Told::Unclear,
    })
}

impl Told {
    /// In one word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Refused(problem) => problem.urn().rsplit(':').next().unwrap_or_default(),
            Self::Unclear => "unclear",
        }
    }
}

const NO_KEY: &str = "the KDC holds no key of the trust";
const LIFETIME: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 1 << 20;
