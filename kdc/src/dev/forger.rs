//! Somebody who broke into one nanoprobe, and writes messages byte by byte with its key.

use std::path::Path;
use std::time::Duration;

use keycell_client::https::{Https, Transport as _};
use keycell_client::protocol::{
    AuthorKey, Envelope, Extras, Grant, Header, Instance, KeysFor, LongTermKey, Mode, Name, Nonce, Outcome,
    Purpose, RatchetPeriod, Salt, SealedReply, Sek, SignedRequest, StreamKey, Ticket, TicketRequest, Topic,
    Under, UnixSeconds,
};
use keycell_client::{AgentKey, KdcAddress, system_rng};

use super::Failure;
use super::fleet::facts::Kind;
use super::fleet::wire::{Command, DISCOVER, body};
use crate::clock::{Clock as _, SystemClock};

/// Holds the stolen key.
pub(super) struct Forger {
    me: Name,
    key: LongTermKey,
    period: RatchetPeriod,
    kdc: KdcAddress,
    author: Option<AuthorKey>,
}

impl Forger {
    /// Takes a nanoprobe's key file.
    ///
    /// # Errors
    /// The file.
    pub(super) fn steal(key_file: &Path) -> Result<Self, Failure> {
        let AgentKey { name, key, ratchet_period, kdc, author, .. } = AgentKey::load(key_file)?;
        Ok(Self { me: name, key, period: ratchet_period, kdc, author })
    }

    /// Asks the KDC for a ticket, as anybody may who holds the key.
    ///
    /// # Errors
    /// The KDC does not give one.
    pub(super) async fn ticket(&self, to: &Name) -> Result<Grant, Failure> {
        match self.outcome(to).await? {
            Outcome::Granted(grant) => Ok(*grant),
            Outcome::Refused { .. } => Err(format!("the KDC gives {} no ticket for {to}", self.me).into()),
        }
    }

    /// Asks the KDC for a ticket, and tells what comes of it.
    ///
    /// # Errors
    /// The KDC does not answer as it should.
    pub(super) async fn outcome(&self, to: &Name) -> Result<Outcome, Failure> {
        let keys = self.key.clone().advance(self.period.epoch(SystemClock.now().seconds()))?.subkeys();
        let request = TicketRequest {
            source: self.me.clone(),
            destinations: vec![to.clone()],
            timestamp: SystemClock.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance::generate(&mut system_rng()),
        };
        let answer = self.ask("/v1/tickets", SignedRequest::sign(&request, &keys)?.to_json()).await?;
        let reply = SealedReply::parse(&answer)?.open(&keys.reply, &request)?;
        reply.outcomes.into_iter().next().ok_or_else(|| "the KDC says nothing of the destination".into())
    }

    /// Who it was stolen from.
    pub(super) const fn me(&self) -> &Name {
        &self.me
    }

    /// What its host proves with that it wrote something.
    ///
    /// # Errors
    /// The key file has none.
    pub(super) fn author(&self) -> Result<AuthorKey, Failure> {
        self.author
            .clone()
            .ok_or_else(|| format!("the key file of {} has no key to sign with", self.me).into())
    }

    /// The stolen key as it signs requests of this kind.
    ///
    /// # Errors
    /// The clock is far behind.
    pub(super) fn keys_for<P: Purpose>(&self) -> Result<KeysFor<P>, Failure> {
        let epoch = self.period.epoch(SystemClock.now().seconds());
        Ok(self.key.clone().advance(epoch)?.keys_for())
    }

    /// Posts a request to the KDC.
    ///
    /// # Errors
    /// It does not answer as it should.
    pub(super) async fn ask(&self, path: &str, signed: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let url = self.kdc.urls.first().ok_or("the key file names no KDC")?;
        let https = Https::new(&self.kdc.tls_roots, PATIENCE)?;
        let answer = https.post(&format!("{url}{path}"), signed, MAX_ANSWER).await?;
        if answer.status != 200 {
            return Err(format!("the KDC answers the forger with status {}", answer.status).into());
        }
        Ok(answer.body)
    }

    /// A command to the destination of `grant` that names `source` as its author, under the SEK of that grant.
    ///
    /// # Errors
    /// None that happens: the topic is one.
    pub(super) fn command(source: &Name, grant: &Grant) -> Result<Vec<u8>, Failure> {
        let under = Under::Ticket(grant.ticket.as_bytes());
        write(source, &grant.destination, grant.expiration, under, grant.sek.clone())
    }

    /// A command to `victim` in the name of whoever wrote `message` to this party: the ticket in it opens with the
    /// stolen key, and so any SEK of it can be derived.
    ///
    /// # Errors
    /// The message is not one with a ticket for this party.
    pub(super) fn command_under(&self, message: &[u8], victim: &Name) -> Result<Vec<u8>, Failure> {
        let (source, expiration, ticket) = taken_apart(message)?;
        let key = self.key.clone().advance(ticket.epoch())?.subkeys();
        let sek = ticket.open(&key.ticket)?.sek(&source, victim, expiration);
        write(&source, victim, expiration, Under::Ticket(ticket.as_bytes()), sek)
    }

    /// An answer to whoever wrote `message` to this party, in the name of `victim`.
    ///
    /// # Errors
    /// The message is not one with a ticket for this party.
    pub(super) fn answer_as(&self, victim: &Name, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let (source, expiration, ticket) = taken_apart(message)?;
        let key = self.key.clone().advance(ticket.epoch())?.subkeys();
        let sek = ticket.open(&key.ticket)?.sek(victim, &source, expiration);
        write(victim, &source, expiration, Under::Id(ticket.id()), sek)
    }
}

fn taken_apart(message: &[u8]) -> Result<(Name, UnixSeconds, Ticket), Failure> {
    let envelope = Envelope::parse(message).map_err(|cause| cause.to_string())?;
    match envelope.under {
        Under::Ticket(ticket) => {
            Ok((Name::try_from(envelope.source)?, envelope.expiration, Ticket::parse(ticket)?))
        }
        Under::Id(_) => Err("a reply carries no ticket".into()),
    }
}

fn write(
    source: &Name,
    destination: &Name,
    expiration: UnixSeconds,
    under: Under<'_>,
    key: Sek,
) -> Result<Vec<u8>, Failure> {
    let header = Header {
        mode: Mode::Sealed,
        extras: Extras::NONE,
        expiration,
        sent_at: SystemClock.now(),
        sequence: 0,
        source,
        destination,
        topic: Topic::try_from(DISCOVER)?,
        under,
    };
    let key = StreamKey::new(key, Salt::generate(&mut system_rng()));
    Ok(key.write(&header, &body(&Command { want: Kind::Os })))
}

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 1 << 20;
