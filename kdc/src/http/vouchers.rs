//! `POST /v1/vouchers` (docs/protocol.md §9).

use keycell_protocol::{Name, RequestError, SignedVoucherRequest, Vouchers};

use super::signed::{Answer, Origin, Served, Work, read};
use crate::administration::PartyError;
use crate::kdc::Kdc;

impl Served for Vouchers {
    type Signed<'a> = SignedVoucherRequest<'a>;

    const MALFORMED: &'static str = "not the JSON of a request for a voucher";
    const REFUSED: &'static str = "voucher refused";

    fn work(_: usize) -> Work {
        Work::Change
    }

    fn parse(json: &[u8]) -> Result<SignedVoucherRequest<'_>, RequestError> {
        SignedVoucherRequest::parse(json)
    }

    fn sender<'a>(signed: &'a SignedVoucherRequest<'_>) -> &'a Name {
        &signed.key().name
    }

    async fn answer(kdc: &Kdc, json: &[u8], from: Origin) -> Result<Answer, PartyError> {
        let signed = read::<Self>(json)?;
        let body = kdc.voucher(&signed, &from.asker()).await?;
        tracing::debug!(party = %signed.key().name, "voucher given");
        Ok(body.into())
    }
}
