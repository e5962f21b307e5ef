//! How the KDC writes what it answers (docs/protocol.md §7).

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Entry, Grant, Metadata};
use crate::aead::{TAG, XNonce, xseal};
use crate::codec::{base64url_len, push_base64url};
use crate::derive::{Rkey, Sek};
use crate::key::{Generation, ReplyKey, Subkeys, TicketKey};
use crate::name::Name;
use crate::peer::PeerRequest;
use crate::problem::ProblemType;
use crate::purpose::{KeysFor, Peers};
use crate::request::{Nonce, TicketRequest};
use crate::ticket::{Ticket, TicketKind};
use crate::time::{UnixMillis, UnixSeconds};

/// Writes the reply to one request, destination by destination, in the order in which they were asked.
pub struct ReplyWriter<'a> {
    metadata: Metadata<'a>,
    /// Whom the next ticket is for: the source of the request, unless that is a zone that asks for its parties.
    speaker: &'a Name,
    records: Zeroizing<Vec<u8>>,
}

impl<'a> ReplyWriter<'a> {
    /// An empty reply to `request`.
    #[must_use]
    pub fn new(request: &'a TicketRequest, server_time: UnixMillis) -> Self {
        Self::answer(&request.source, request.nonce, request.destinations.len(), server_time)
    }

    /// An empty reply to a zone that asks for its parties: say for each ticket [for whom](Self::on_behalf_of) it is.
    #[must_use]
    pub fn to_zone(request: &'a PeerRequest, server_time: UnixMillis) -> Self {
        Self::answer(&request.source, request.nonce, request.requests.len(), server_time)
    }

    fn answer(source: &'a Name, nonce: Nonce, expected: usize, server_time: UnixMillis) -> Self {
        // Never grown, so that no half-filled buffer with keys in it is left behind. The nonce goes in front.
        let mut records = Zeroizing::new(Vec::with_capacity(XNonce::SIZE + expected * PARTY_RECORD + TAG));
        records.extend_from_slice(&[0; XNonce::SIZE]);
        Self {
            metadata: Metadata {
                source: Cow::Borrowed(source),
                nonce,
                server_time,
                rotate: false,
                tickets: Vec::with_capacity(expected),
            },
            speaker: source,
            records,
        }
    }

    /// The next tickets are for `speaker`, a party of the zone that asks.
    pub const fn on_behalf_of(&mut self, speaker: &'a Name) {
        self.speaker = speaker;
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
        let source = self.speaker;
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
        self.records.extend_from_slice(rkey.sek(self.speaker, destination, expiration).bytes());
        self.records.extend_from_slice(Ticket::seal_for_group(&rkey, generation, key, rng).as_bytes());
        self.given(destination, expiration, renew_after, author_proof);
    }

    /// Passes on to the source a ticket that the KDC of another zone gave for it, as it is.
    pub fn pass_on(&mut self, grant: &'a Grant) {
        let Grant { destination, expiration, renew_after, ticket, sek, reply_sek, author_proof } = grant;
        self.records.push(ticket.kind().byte());
        self.records.extend_from_slice(sek.bytes());
        if let Some(reply_sek) = reply_sek {
            self.records.extend_from_slice(reply_sek.bytes());
        }
        self.records.extend_from_slice(ticket.as_bytes());
        self.given(destination, *expiration, *renew_after, *author_proof);
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
        let Self { metadata, speaker: _, records } = self;
        write(&metadata, records, key, rng)
    }

    /// Seals the reply for the zone that asked and returns the JSON to send.
    pub fn seal_for_zone(self, keys: &KeysFor<Peers>, rng: &mut impl CryptoRng) -> Vec<u8> {
        self.seal(&keys.reply, rng)
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

/// The JSON of a reply around its two texts.
const METADATA: &str = r#"{"metadata":""#;
const SEALED: &str = r#"","sealed":""#;
const END: &str = r#""}"#;
/// `kind || SEK(A→B) || SEK(B→A) || ticket`
const PARTY_RECORD: usize = 1 + 2 * Sek::SIZE + Ticket::SIZE;
