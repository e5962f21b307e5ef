//! `POST /v1/keys/rotate` (docs/protocol.md §4.4).

use keycell_protocol::{Name, RequestError, Rotation, SignedRotation};

use super::signed::{Answer, Origin, Served, Work, read};
use crate::administration::PartyError;
use crate::kdc::Kdc;

impl Served for Rotation {
    type Signed<'a> = SignedRotation<'a>;

    const MALFORMED: &'static str = "not the JSON of a request to rotate";
    const REFUSED: &'static str = "key rotation refused";

    fn work(_: usize) -> Work {
        Work::Change
    }

    fn parse(json: &[u8]) -> Result<SignedRotation<'_>, RequestError> {
        SignedRotation::parse(json)
    }

    fn sender<'a>(signed: &'a SignedRotation<'_>) -> &'a Name {
        &signed.key().name
    }

    async fn answer(kdc: &Kdc, json: &[u8], from: Origin) -> Result<Answer, PartyError> {
        let signed = read::<Self>(json)?;
        let body = kdc.rotate(&signed, &from.asker()).await?;
        let key = signed.key();
        tracing::info!(party = %key.name, generation = %key.generation, "a step of a key rotation is done");
        Ok(body.into())
    }
}
