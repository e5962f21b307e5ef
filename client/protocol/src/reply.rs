//! What the KDC answers to a request for tickets (docs/protocol.md §7).
//!
//! ```text
//! {"metadata": M', "sealed": base64url(nonce 24 || XChaCha20-Poly1305(sub(K_A, "keycell/1 reply"), nonce, M', records))}
//! M'      = base64url({"source", "nonce", "server_time", "tickets": [..]})
//! records = for each ticket given, in order:
//!           kind u8 || SEK(A→B) 64 || SEK(B→A) 64 (kind 1 only) || ticket 82
//! ```

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::aead::{TAG, XNonce, xopen, xseal};
use crate::codec::{Reader, Truncated, base64url_len, from_base64url, push_base64url};
use crate::derive::{Rkey, Sek};
use crate::key::{Generation, ReplyKey, Subkeys, TicketKey};
use crate::name::Name;
use crate::problem::ProblemType;
use crate::request::{Nonce, TicketRequest};
use crate::ticket::{Ticket, TicketError, TicketKind};
use crate::time::{UnixMillis, UnixSeconds};

/// Writes the reply to one request, destination by destination, in the order in which they were asked.
pub struct ReplyWriter<'a> {
    metadata: Metadata<'a>,
    records: Zeroizing<Vec<u8>>,
}

impl<'a> ReplyWriter<'a> {
    /// An empty reply to `request`.
    #[must_use]
    pub fn new(request: &'a TicketRequest, server_time: UnixMillis) -> Self {
        let expected = request.destinations.len();
        // Never grown, so that no half-filled buffer with keys in it is left behind. The nonce goes in front.
        let mut records = Zeroizing::new(Vec::with_capacity(XNonce::SIZE + expected * PARTY_RECORD + TAG));
        records.extend_from_slice(&[0; XNonce::SIZE]);
        Self {
            metadata: Metadata {
                source: Cow::Borrowed(&request.source),
                nonce: request.nonce,
                server_time,
                rotate: false,
                tickets: Vec::with_capacity(expected),
            },
            records,
        }
    }

    /// Asks the source to rotate its key as soon as it can (docs/protocol.md §4.4).
    pub const fn ask_to_rotate(&mut self) {
        self.metadata.rotate = true;
    }

    /// Gives the source a ticket for `destination`, a party that holds `keys`: a fresh Rkey, its two SEKs, and the
    /// Rkey sealed for the destination.
    pub fn grant_party(
        &mut self,
        destination: &'a Name,
        keys: &Subkeys,
        expiration: UnixSeconds,
        renew_after: UnixSeconds,
        rng: &mut impl CryptoRng,
    ) {
        let rkey = Rkey::generate(rng);
        let source = &self.metadata.source;
        self.records.push(TicketKind::Party.byte());
        self.records.extend_from_slice(rkey.sek(source, destination, expiration).bytes());
        self.records.extend_from_slice(rkey.sek(destination, source, expiration).bytes());
        self.records.extend_from_slice(Ticket::seal_for_party(&rkey, keys, rng).as_bytes());
        self.given(destination, expiration, renew_after, false);
    }

    /// Gives the source a ticket for `destination`, a group: a fresh Rkey, its one SEK, and the Rkey sealed for the members
    /// who hold the group's key of that generation. `author_proof`: the group requires it.
    pub fn grant_group(
        &mut self,
        destination: &'a Name,
        (generation, key): (Generation, &TicketKey),
        author_proof: bool,
        expiration: UnixSeconds,
        renew_after: UnixSeconds,
        rng: &mut impl CryptoRng,
    ) {
        let rkey = Rkey::generate(rng);
        self.records.push(TicketKind::Group.byte());
        self.records.extend_from_slice(rkey.sek(&self.metadata.source, destination, expiration).bytes());
        self.records.extend_from_slice(Ticket::seal_for_group(&rkey, generation, key, rng).as_bytes());
        self.given(destination, expiration, renew_after, author_proof);
    }

    fn given(
        &mut self,
        destination: &'a Name,
        expiration: UnixSeconds,
        renew_after: UnixSeconds,
        author_proof: bool,
    ) {
        self.metadata.tickets.push(Entry {
            destination: Cow::Borrowed(destination),
            expiration: Some(expiration),
            renew_after: Some(renew_after),
            author_proof,
            problem: None,
        });
    }

    /// Tells the source why there is no ticket for `destination`.
    pub fn refuse(&mut self, destination: &'a Name, problem: ProblemType) {
        self.metadata.tickets.push(Entry {
            destination: Cow::Borrowed(destination),
            expiration: None,
            renew_after: None,
            author_proof: false,
            problem: Some(Cow::Borrowed(problem.urn())),
        });
    }

    /// Seals the reply for the source and returns the JSON to send.
    pub fn seal(self, key: &ReplyKey, rng: &mut impl CryptoRng) -> Vec<u8> {
        let Self { metadata, records } = self;
        write(&metadata, records, key, rng)
    }
}

/// The JSON of a reply. `records` begin with room for the nonce, and end with room for the tag.
pub(crate) fn write(
    metadata: &impl Serialize,
    mut records: Zeroizing<Vec<u8>>,
    key: &ReplyKey,
    rng: &mut impl CryptoRng,
) -> Vec<u8> {
    // Strings and numbers only: there is nothing that JSON could not say.
    let metadata = serde_json::to_vec(metadata).unwrap_or_default();
    let nonce = XNonce::generate(rng);
    if let Some((room, _)) = records.split_first_chunk_mut() {
        *room = *nonce.as_bytes();
    }

    // Written as it travels, in one buffer: base64url needs no escaping in JSON.
    let size = METADATA.len() + base64url_len(metadata.len());
    let mut out = String::with_capacity(size + SEALED.len() + base64url_len(records.len() + TAG) + END.len());
    out.push_str(METADATA);
    push_base64url(&mut out, &metadata);
    let aad = out.as_bytes().get(METADATA.len()..).unwrap_or_default();
    let (_, body) = records.split_at_mut(XNonce::SIZE);
    let tag = xseal(key.as_bytes(), nonce, aad, body);
    records.extend_from_slice(&tag);
    out.push_str(SEALED);
    push_base64url(&mut out, &records);
    out.push_str(END);
    out.into_bytes()
}

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
        let (metadata, records) = self.read::<Metadata<'_>>(key)?;
        if *metadata.source != request.source || metadata.nonce != request.nonce {
            return Err(ReplyError::AnotherRequest);
        }
        let asked = request.destinations.iter();
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

/// The JSON of a reply around its two texts.
const METADATA: &str = r#"{"metadata":""#;
const SEALED: &str = r#"","sealed":""#;
const END: &str = r#""}"#;
/// `kind || SEK(A→B) || SEK(B→A) || ticket`
const PARTY_RECORD: usize = 1 + 2 * Sek::SIZE + Ticket::SIZE;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Epoch, Generation, LongTermKey};
    use crate::request::Instance;
    use crate::test_rng;

    fn keys(byte: u8) -> Subkeys {
        LongTermKey::new(Generation(1), Epoch(20_000), [byte; 32]).subkeys()
    }

    fn request(nonce: u8) -> TicketRequest {
        TicketRequest {
            source: "a@z".parse().unwrap(),
            destinations: ["b@z", "nobody@z", "c@z"].map(|name| name.parse().unwrap()).into(),
            timestamp: UnixMillis(1_766_000_000_000),
            nonce: Nonce([nonce; 16]),
            instance: Instance([2; 16]),
        }
    }

    fn reply(request: &TicketRequest) -> Vec<u8> {
        let mut rng = test_rng();
        let mut writer = ReplyWriter::new(request, UnixMillis(1_766_000_000_050));
        for (destination, keys) in request.destinations.iter().zip([Some(keys(2)), None, Some(keys(3))]) {
            match keys {
                Some(keys) => {
                    writer.grant_party(destination, &keys, UnixSeconds(900), UnixSeconds(600), &mut rng)
                }
                None => writer.refuse(destination, ProblemType::UnknownDestination),
            }
        }
        writer.seal(&keys(1).reply, &mut rng)
    }

    #[test]
    fn both_ends_hold_the_same_seks() {
        let request = request(1);
        let json = reply(&request);
        let opened = SealedReply::parse(&json).unwrap().open(&keys(1).reply, &request).unwrap();
        let [Outcome::Granted(first), Outcome::Refused { destination, problem }, Outcome::Granted(_)] =
            &opened.outcomes[..]
        else {
            panic!("{opened:?}")
        };
        assert_eq!(destination.as_str(), "nobody@z");
        assert_eq!(*problem, Some(ProblemType::UnknownDestination));
        let rkey = first.ticket.open(&keys(2).ticket).unwrap();
        let (a, b) = (&request.source, &first.destination);
        assert_eq!(rkey.sek(a, b, first.expiration).bytes(), first.sek.bytes());
        assert_eq!(rkey.sek(b, a, first.expiration).bytes(), first.reply_sek.as_ref().unwrap().bytes());
        assert!(!format!("{opened:?}").contains(&format!("{:?}", first.sek.bytes())));
    }

    #[test]
    fn a_party_is_asked_to_rotate_in_what_is_sealed_for_it() {
        let request = request(1);
        let open = |ask: bool| {
            let mut writer = ReplyWriter::new(&request, UnixMillis(7));
            for destination in &request.destinations {
                writer.refuse(destination, ProblemType::NotAllowed);
            }
            if ask {
                writer.ask_to_rotate();
            }
            let json = writer.seal(&keys(1).reply, &mut test_rng());
            SealedReply::parse(&json).unwrap().open(&keys(1).reply, &request).unwrap().rotate
        };
        assert_eq!([open(false), open(true)], [false, true]);
    }

    #[test]
    fn a_reply_answers_one_request_of_one_party() {
        let json = reply(&request(1));
        let sealed = SealedReply::parse(&json).unwrap();
        assert_eq!(sealed.open(&keys(9).reply, &request(1)).unwrap_err(), ReplyError::Forged);
        assert_eq!(sealed.open(&keys(1).reply, &request(2)).unwrap_err(), ReplyError::AnotherRequest);
        let mut other = request(1);
        other.destinations.swap(0, 2);
        assert_eq!(sealed.open(&keys(1).reply, &other).unwrap_err(), ReplyError::Destinations);
        other.destinations.pop();
        assert_eq!(sealed.open(&keys(1).reply, &other).unwrap_err(), ReplyError::Destinations);
    }

    #[test]
    fn a_changed_byte_spoils_it() {
        let request = request(1);
        let json = reply(&request);
        for at in 0..json.len() {
            let mut changed = json.clone();
            changed[at] ^= 1;
            let outcome =
                SealedReply::parse(&changed).and_then(|sealed| sealed.open(&keys(1).reply, &request));
            assert!(outcome.is_err(), "byte {at} does not matter");
        }
    }
}
