//! A party that asks for a voucher, made of the protocol's own types and nothing else.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use keycell_client::system_rng;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_protocol::{
    AuthorKey, GivenVoucher, Instance, KeysFor, Nonce, SealedVoucher, SignedVoucherRequest, VoucherRequest,
    Vouchers,
};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::http::{Answer, Http};
use crate::party::Party;

impl Party {
    /// A request for a voucher for `key`, made now.
    #[must_use]
    pub fn voucher_request(&self, key: &AuthorKey) -> VoucherRequest {
        let random = &mut system_rng();
        let (nonce, instance) = (Nonce::generate(random), Instance::generate(random));
        VoucherRequest::new(self.name.clone(), key, SystemClock.now(), nonce, instance)
    }

    /// The JSON of a request, signed with this party's key.
    #[must_use]
    pub fn sign_voucher(&self, request: &VoucherRequest) -> Vec<u8> {
        SignedVoucherRequest::sign(request, &self.voucher_keys()).to_json()
    }

    /// Asks for a voucher for `key`.
    ///
    /// # Errors
    /// The KDC refuses it.
    pub async fn voucher(&self, kdc: &Http, key: &AuthorKey) -> Result<GivenVoucher, Answer> {
        let request = self.voucher_request(key);
        let answer = kdc.voucher(self.sign_voucher(&request)).await;
        if answer.status != 200 {
            return Err(answer);
        }
        let sealed = SealedVoucher::parse(&answer.body).expect("the form of an answer");
        Ok(sealed.open(&self.voucher_keys(), &request).expect("the answer opens"))
    }

    /// The keys for requests for vouchers of the epoch that it is now.
    #[must_use]
    pub fn voucher_keys(&self) -> KeysFor<Vouchers> {
        let now = self.ratchet_period.epoch(SystemClock.now().seconds());
        self.key.clone().advance(now).expect("the key is not of the future").keys_for()
    }
}

impl Http {
    /// Sends a request for a voucher.
    pub async fn voucher(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, "/v1/vouchers");
        Answer::of(request.header(CONTENT_TYPE, "application/json").body(body.into())).await
    }
}
