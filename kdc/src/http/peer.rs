//! `POST /v1/peer/tickets` (docs/protocol.md §12).

use keycell_protocol::{Name, Peers, RequestError, SignedPeerRequest};

use super::signed::{Answer, Origin, Served, Work, read};
use crate::administration::PartyError;
use crate::kdc::Kdc;

impl Served for Peers {
    type Signed<'a> = SignedPeerRequest<'a>;

    const MALFORMED: &'static str = "not the JSON of a zone's request for tickets";
    const REFUSED: &'static str = "a zone's request for tickets refused";

    fn work(size: usize) -> Work {
        if size > LONG { Work::Heavy } else { Work::Moment }
    }

    fn parse(json: &[u8]) -> Result<SignedPeerRequest<'_>, RequestError> {
        SignedPeerRequest::parse(json)
    }

    fn sender<'a>(signed: &'a SignedPeerRequest<'_>) -> &'a Name {
        &signed.key().name
    }

    async fn answer(kdc: &Kdc, json: &[u8], from: Origin) -> Result<Answer, PartyError> {
        let signed = read::<Self>(json)?;
        let issued = kdc.peer_tickets(&signed, Some(from.peer.ip()))?;
        tracing::debug!(party = %signed.key().name, granted = issued.granted, refused = issued.refused.len(), "tickets issued to another zone");
        Ok(issued.body.into())
    }
}

/// A body of about 30 tickets.
const LONG: usize = 4096;
