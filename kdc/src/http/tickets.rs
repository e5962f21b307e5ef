//! `POST /v1/tickets` (docs/protocol.md §7).

use keycell_protocol::{Name, RequestError, SignedRequest};

use super::signed::{Answer, Origin, Served, Work, read};
use crate::administration::PartyError;
use crate::issuance::Tickets;
use crate::kdc::{Asked, Kdc};

impl Served for Tickets {
    type Signed<'a> = SignedRequest<'a>;

    const MALFORMED: &'static str = "not the JSON of a ticket request";
    const REFUSED: &'static str = "ticket request refused";

    fn work(size: usize) -> Work {
        if size > LONG { Work::Heavy } else { Work::Moment }
    }

    fn parse(json: &[u8]) -> Result<SignedRequest<'_>, RequestError> {
        SignedRequest::parse(json)
    }

    fn sender<'a>(signed: &'a SignedRequest<'_>) -> &'a Name {
        &signed.key().name
    }

    async fn answer(kdc: &Kdc, json: &[u8], from: Origin) -> Result<Answer, PartyError> {
        let signed = read::<Self>(json)?;
        let Origin { id, peer } = from;
        // Only at debug, where a line for each ticket needs the request's name.
        let _span = tracing::debug_span!("request", %id).entered();
        let issued = match kdc.ask(&signed, Some(peer.ip()))? {
            Asked::Issued(issued) => issued,
            Asked::Abroad(journey) => return Ok(Answer::Abroad(journey)),
        };
        tracing::debug!(%id, party = %signed.key().name, granted = issued.granted, refused = issued.refused.len(), "tickets issued");
        Ok(issued.body.into())
    }
}

/// A body of about 40 destinations.
const LONG: usize = 4096;
