//! `POST /v1/group-keys` (docs/protocol.md §11).

use keycell_protocol::{GroupKeys, Name, RequestError, SignedGroupRequest};

use super::signed::{Answer, Origin, Served, Work, read};
use crate::administration::PartyError;
use crate::kdc::Kdc;

impl Served for GroupKeys {
    type Signed<'a> = SignedGroupRequest<'a>;

    const MALFORMED: &'static str = "not the JSON of a request for group keys";
    const REFUSED: &'static str = "group keys refused";

    fn work(_: usize) -> Work {
        Work::Moment
    }

    fn parse(json: &[u8]) -> Result<SignedGroupRequest<'_>, RequestError> {
        SignedGroupRequest::parse(json)
    }

    fn sender<'a>(signed: &'a SignedGroupRequest<'_>) -> &'a Name {
        &signed.key().name
    }

    async fn answer(kdc: &Kdc, json: &[u8], from: Origin) -> Result<Answer, PartyError> {
        let signed = read::<Self>(json)?;
        let given = kdc.group_keys(&signed, Some(from.peer.ip()))?;
        tracing::debug!(party = %signed.key().name, granted = given.granted, refused = given.refused.len(), "group keys given");
        Ok(given.body.into())
    }
}
