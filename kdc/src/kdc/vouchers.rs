//! What the KDC vouches for.

use keycell_protocol::{SignedVoucherRequest, SignerKey, TrustedSigners, Vouchers};

use super::Kdc;
use crate::administration::{Asker, PartyError};
use crate::issuance::Vouching;

impl Kdc {
    /// Answers a request for a voucher: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`PartyError`].
    pub async fn voucher(
        &self,
        signed: &SignedVoucherRequest<'_>,
        asker: &Asker,
    ) -> Result<Vec<u8>, PartyError> {
        let moment = self.moment();
        let asked = self.authenticated::<Vouchers>(signed, moment, asker.address)?;
        asked.party().seen().mark(moment.now);
        self.author_keys.register(&asked, asker).await?;
        let vouching = Vouching {
            key: self.ledger.journal().key(),
            signers: &self.signers(),
            trusted: &self.trusted_signers(),
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

    /// Whose vouchers hold in the zones with which there is a trust.
    #[must_use]
    pub fn trusted_signers(&self) -> TrustedSigners {
        self.directory.trusts().signers(self.zone().as_str())
    }
}
