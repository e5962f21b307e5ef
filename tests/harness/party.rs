//! A party that asks for tickets, made of the protocol's own types and nothing else.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_client::AgentKey;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_protocol::{
    Envelope, Epoch, Extras, Generation, Grant, Header, Instance, LongTermKey, Mode, Name, Nonce, Outcome,
    ProblemType, RatchetPeriod, ReplyError, Salt, SealedReply, Sek, SignedRequest, StreamKey, Subkeys,
    TicketReply, TicketRequest, Topic, Under, UnixMillis,
};
use serde_json::Value;

use crate::http::{Answer, Http};

/// A party and its long-term key.
#[derive(Debug)]
pub struct Party {
    /// Its full name.
    pub name: Name,
    /// Its key, as it was handed out.
    pub key: LongTermKey,
    /// How long an epoch lasts.
    pub ratchet_period: RatchetPeriod,
}

impl Party {
    /// Reads a key file.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let AgentKey { name, key, ratchet_period, .. } = AgentKey::load(path).expect("a key file");
        Self { name, key, ratchet_period }
    }

    /// From the answer to the request that made it.
    #[must_use]
    pub fn created(answer: &Value) -> Self {
        let field = |name: &str| answer.get(name).expect("the answer has it").clone();
        let number = |name: &str| field(name).as_u64().and_then(|n| n.try_into().ok()).expect("a number");
        let secret = URL_SAFE_NO_PAD.decode(field("key").as_str().expect("text")).expect("base64url");
        let secret = secret.try_into().expect("32 bytes");
        let name = answer.pointer("/party/name").and_then(Value::as_str).expect("the party has a name");
        Self {
            name: name.parse().expect("a name"),
            key: LongTermKey::new(Generation(number("generation")), Epoch(number("epoch")), secret),
            ratchet_period: RatchetPeriod::from_seconds(number("ratchet_period")).expect("not zero"),
        }
    }

    /// The subkeys of the epoch that it is now.
    #[must_use]
    pub fn subkeys(&self) -> Subkeys {
        let key = LongTermKey::new(self.key.generation(), self.key.epoch(), *self.key.expose_secret());
        key.advance(self.ratchet_period.epoch(now().seconds()))
            .expect("the key is not of the future")
            .subkeys()
    }

    /// A request for tickets to these full names, made now.
    #[must_use]
    pub fn request(&self, destinations: &[&str]) -> TicketRequest {
        let random = &mut keycell_kdc::random::system();
        TicketRequest {
            source: self.name.clone(),
            destinations: destinations.iter().map(|name| name.parse().expect("a name")).collect(),
            timestamp: now(),
            nonce: Nonce::generate(random),
            instance: Instance::generate(random),
        }
    }

    /// The JSON of a request, signed with this party's key.
    #[must_use]
    pub fn sign(&self, request: &TicketRequest) -> Vec<u8> {
        SignedRequest::sign(request, &self.subkeys()).expect("1 to 1,000 destinations").to_json()
    }

    /// Opens a reply.
    ///
    /// # Errors
    /// It is no reply to this request.
    pub fn open(&self, reply: &[u8], request: &TicketRequest) -> Result<TicketReply, ReplyError> {
        SealedReply::parse(reply)?.open(&self.subkeys().reply, request)
    }

    /// Asks for tickets: what came of each destination, or the answer that is no reply.
    ///
    /// # Errors
    /// The KDC refuses the whole request.
    pub async fn ask(&self, kdc: &Http, destinations: &[&str]) -> Result<Vec<Outcome>, Answer> {
        let request = self.request(destinations);
        // The answer is under the keys of the request, even when the epoch turns in between.
        let keys = self.subkeys();
        let signed = SignedRequest::sign(&request, &keys).expect("1 to 1,000 destinations").to_json();
        let answer = kdc.tickets(signed).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let reply = SealedReply::parse(&answer.body).and_then(|sealed| sealed.open(&keys.reply, &request));
        Ok(reply.expect("the reply opens").outcomes)
    }

    /// Whether this party, by the ticket alone, opens what its sender seals and signs under `grant`, and the other way
    /// round.
    #[must_use]
    pub fn understands(&self, sender: &Name, grant: &Grant) -> bool {
        let Ok(rkey) = grant.ticket.open(&self.subkeys().ticket) else { return false };
        let there = rkey.sek(sender, &self.name, grant.expiration);
        let back = rkey.sek(&self.name, sender, grant.expiration);
        let Some(reply_sek) = &grant.reply_sek else { return false };
        carries(grant.sek.clone(), &there, (sender, &self.name), grant)
            && carries(back, reply_sek, (&self.name, sender), grant)
    }

    /// Why the KDC gives no ticket to one destination; `None` when it gives one.
    ///
    /// # Panics
    /// When the KDC refuses the whole request.
    pub async fn refusal(&self, kdc: &Http, destination: &str) -> Option<ProblemType> {
        let outcomes = self.ask(kdc, &[destination]).await.expect("the request as a whole is good");
        match outcomes.into_iter().next().expect("one outcome for one destination") {
            Outcome::Granted(_) => None,
            Outcome::Refused { problem, .. } => Some(problem.expect("a known problem")),
        }
    }
}

/// Whether what is written under one SEK is read under the other.
fn carries(from: Sek, to: &Sek, (source, destination): (&Name, &Name), grant: &Grant) -> bool {
    let salt = Salt::generate(&mut keycell_kdc::random::system());
    let (writer, body) = (StreamKey::new(from, salt), b"Keycell");
    let topic = Topic::try_from("test").expect("a topic");
    [Mode::Sealed, Mode::Signed].into_iter().all(|mode| {
        let under = Under::Ticket(grant.ticket.as_bytes());
        let expiration = grant.expiration;
        let header = Header {
            mode,
            extras: Extras::NONE,
            expiration,
            sent_at: now(),
            sequence: 0,
            source,
            destination,
            topic,
            under,
        };
        let message = writer.write(&header, body);
        let envelope = Envelope::parse(&message).expect("it was just written");
        let reader = StreamKey::new(to.clone(), Salt::of(&envelope));
        reader.read(&envelope).is_ok_and(|read| read == body)
    })
}

/// The clock.
#[must_use]
pub fn now() -> UnixMillis {
    SystemClock.now()
}
