//! What the KDC answers to a request for tickets (docs/protocol.md §7).
//!
//! ```text
//! {"metadata": M', "sealed": base64url(nonce 24 || XChaCha20-Poly1305(sub(K_A, "keycell/1 reply"), nonce, M', records))}
//! M'      = base64url({"source", "nonce", "server_time", "tickets": [..]})
//! records = for each ticket given, in order:
//!           kind u8 || SEK(A→B) 64 || SEK(B→A) 64 (kind 1 only) || ticket 82
//! ```

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::aead::{TAG, XNonce, xopen};
use crate::codec::{Reader, Truncated, from_base64url};
use crate::derive::Sek;
use crate::key::ReplyKey;
use crate::name::Name;
use crate::peer::PeerRequest;
use crate::problem::ProblemType;
use crate::purpose::{KeysFor, Peers};
use crate::request::{Nonce, TicketRequest};
use crate::ticket::{Ticket, TicketError, TicketKind};
use crate::time::{UnixMillis, UnixSeconds};

mod writer;

pub use writer::ReplyWriter;
pub(crate) use writer::write;

/// A reply as it travels.
#[derive(Debug, Deserialize)]
pub struct SealedReply<'a> {
    #[serde(borrow)]
    metadata: Cow<'a, str>,
    #[serde(borrow)]
    sealed: Cow<'a, str>,
}

impl<'a> SealedReply<'a> {
    /// Reads the JSON of a reply.
    ///
    /// # Errors
    /// [`ReplyError::Malformed`] when it is none.
    pub fn parse(json: &'a [u8]) -> Result<Self, ReplyError> {
        serde_json::from_slice(json).map_err(|_| ReplyError::Malformed)
    }

    /// Opens the reply with the key that signed `request`, and checks that it answers just that request.
    ///
    /// # Errors
    /// [`ReplyError`]; then nothing of the reply may be used.
    pub fn open(&self, key: &ReplyKey, request: &TicketRequest) -> Result<TicketReply, ReplyError> {
        self.tickets(key, &request.source, request.nonce, request.destinations.iter())
    }

    /// The same of the reply to a zone that asked for its parties.
    ///
    /// # Errors
    /// [`ReplyError`]; then nothing of the reply may be used.
    pub fn open_for_zone(
        &self,
        keys: &KeysFor<Peers>,
        request: &PeerRequest,
    ) -> Result<TicketReply, ReplyError> {
        let asked = request.requests.iter().map(|pair| &pair.destination);
        self.tickets(&keys.reply, &request.source, request.nonce, asked)
    }

    fn tickets<'n>(
        &self,
        key: &ReplyKey,
        source: &Name,
        nonce: Nonce,
        asked: impl Iterator<Item = &'n Name>,
    ) -> Result<TicketReply, ReplyError> {
        let (metadata, records) = self.read::<Metadata<'_>>(key)?;
        if *metadata.source != *source || metadata.nonce != nonce {
            return Err(ReplyError::AnotherRequest);
        }
        if !metadata.tickets.iter().map(|entry| entry.destination.as_ref()).eq(asked) {
            return Err(ReplyError::Destinations);
        }
        let mut records = Reader::new(records.bytes());
        let outcomes =
            metadata.tickets.into_iter().map(|entry| entry.read(&mut records)).collect::<Result<_, _>>()?;
        if !records.is_empty() {
            return Err(ReplyError::Malformed);
        }
        Ok(TicketReply { server_time: metadata.server_time, rotate: metadata.rotate, outcomes })
    }

    /// Metadata and records, if the holder of `key` sealed them.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &ReplyKey) -> Result<(T, Records), ReplyError> {
        let mut buffer = Zeroizing::new(from_base64url(&self.sealed).ok_or(ReplyError::Malformed)?);
        let (nonce, sealed) =
            buffer.split_first_chunk_mut::<{ XNonce::SIZE }>().ok_or(ReplyError::Malformed)?;
        xopen(key.as_bytes(), XNonce::from_bytes(*nonce), self.metadata.as_bytes(), sealed)
            .map_err(|_| ReplyError::Forged)?;
        let json = from_base64url(&self.metadata).ok_or(ReplyError::Malformed)?;
        let metadata = serde_json::from_slice(&json).map_err(|_| ReplyError::Malformed)?;
        Ok((metadata, Records(buffer)))
    }
}

/// What a reply keeps secret: opened where it lay, between its nonce and its tag.
pub(crate) struct Records(Zeroizing<Vec<u8>>);

impl Records {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.get(XNonce::SIZE..self.0.len().saturating_sub(TAG)).unwrap_or_default()
    }
}

/// What the KDC answered.
#[derive(Debug)]
pub struct TicketReply {
    /// The KDC's clock when it answered.
    pub server_time: UnixMillis,
    /// Whether the KDC asks for a new key: the party is to rotate when it can.
    pub rotate: bool,
    /// One for each destination, in the order asked.
    pub outcomes: Vec<Outcome>,
}

/// What came of one destination.
#[derive(Debug)]
pub enum Outcome {
    /// A ticket for it.
    Granted(Box<Grant>),
    /// Why there is none.
    Refused {
        /// The destination.
        destination: Name,
        /// The reason; `None` when a newer KDC gave one that is not known here.
        problem: Option<ProblemType>,
    },
}

/// What a sender needs in order to speak to one destination.
#[derive(Debug)]
pub struct Grant {
    /// The destination.
    pub destination: Name,
    /// When ticket and SEKs end.
    pub expiration: UnixSeconds,
    /// When to ask for the next one.
    pub renew_after: UnixSeconds,
    /// For the destination; opaque to the sender.
    pub ticket: Ticket,
    /// `SEK(A→B)`: seals messages to the destination.
    pub sek: Sek,
    /// `SEK(B→A)`: opens its replies. A group never answers, so there is none for one.
    pub reply_sek: Option<Sek>,
    /// Whether the destination, a group, takes only messages that prove their author.
    pub author_proof: bool,
}

/// Why a reply is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not the JSON of a reply, or its records do not add up.
    #[error("the KDC's reply does not have the form of one")]
    Malformed,
    /// Not sealed with this party's key.
    #[error("the reply was not sealed by a KDC that knows this party's key")]
    Forged,
    /// It answers another request.
    #[error("the reply answers another request")]
    AnotherRequest,
    /// Its destinations are not the ones asked for.
    #[error("the reply is about other destinations than were asked for")]
    Destinations,
    /// The bundle in it is not of the zone, or not of the identity, that was asked.
    #[error("the reply's bundle is not that of the KDC that was asked")]
    AnotherKdc,
}

impl From<Truncated> for ReplyError {
    fn from(Truncated: Truncated) -> Self {
        Self::Malformed
    }
}

impl From<TicketError> for ReplyError {
    fn from(_: TicketError) -> Self {
        Self::Malformed
    }
}

#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    source: Cow<'a, Name>,
    nonce: Nonce,
    server_time: UnixMillis,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    rotate: bool,
    tickets: Vec<Entry<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    destination: Cow<'a, Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiration: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renew_after: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    author_proof: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Cow<'a, str>>,
}

impl Entry<'_> {
    fn read(self, records: &mut Reader<'_>) -> Result<Outcome, ReplyError> {
        let destination = self.destination.into_owned();
        match (self.expiration, self.renew_after, self.problem) {
            (Some(expiration), Some(renew_after), None) => {
                let kind = TicketKind::from_byte(records.u8()?).ok_or(ReplyError::Malformed)?;
                let sek = read_sek(records)?;
                let reply_sek = match kind {
                    TicketKind::Party => Some(read_sek(records)?),
                    TicketKind::Group => None,
                };
                let ticket = Ticket::parse(records.array::<{ Ticket::SIZE }>()?)?;
                if ticket.kind() != kind {
                    return Err(ReplyError::Malformed);
                }
                let author_proof = self.author_proof;
                let grant =
                    Grant { destination, expiration, renew_after, ticket, sek, reply_sek, author_proof };
                Ok(Outcome::Granted(Box::new(grant)))
            }
            (None, None, Some(problem)) => {
                Ok(Outcome::Refused { destination, problem: problem.parse().ok() })
            }
            _ => Err(ReplyError::Malformed),
        }
    }
}

fn read_sek(records: &mut Reader<'_>) -> Result<Sek, Truncated> {
    let mut sek = Sek::zero();
    sek.bytes_mut().copy_from_slice(records.array::<{ Sek::SIZE }>()?);
    Ok(sek)
}

#[cfg(test)]
mod tests;
