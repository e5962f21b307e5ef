//! What the KDC vouches for.

use std::net::IpAddr;

use keycell_protocol::{SignedVoucherRequest, SignerKey};

use super::Kdc;
use crate::administration::RegisterError;
use crate::issuance::{self, Vouching};

impl Kdc {
    /// Answers a request for a voucher: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn voucher(
        &self,
        signed: &SignedVoucherRequest<'_>,
        request: Option<String>,
        address: Option<IpAddr>,
    ) -> Result<Vec<u8>, RegisterError> {
        let moment = self.moment();
        let asked = issuance::authenticate_voucher(
            signed,
            &self.directory,
            &self.nonces,
            &self.limits,
            moment,
            self.freshness(),
        )?;
        asked.party().seen().mark(moment.now);
        self.author_keys.register(&asked, request, address).await?;
        let vouching = Vouching {
            key: self.ledger.journal().key(),
            signers: &self.signers(),
            lifetime_seconds: self.config.load().groups.voucher_lifetime_seconds,
            skew_ms: self.skew_ms,
        };
        let (_, body) = asked.vouch(&vouching, moment, &mut crate::random::system());
        self.metrics.identities.vouchers.inc();
        Ok(body)
    }

    /// Whose vouchers hold in this zone: every identity's.
    #[must_use]
    pub fn signers(&self) -> Vec<SignerKey> {
        let settings = self.directory.settings();
        settings.identities.identities.iter().map(|identity| identity.signing_key).collect()
    }
}
