//! Whom an agent believes as an author, and whether it takes messages without proof of one (docs/protocol.md §9).

use std::sync::Arc;

use keycell_protocol::{AuthorProof, Cause, Envelope, Name, SignerKey, Signers, Voucher, Zone};

/// Whose vouchers hold here.
#[derive(Debug)]
pub(crate) struct Proofs {
    signers: Signers,
    /// How often they changed: what was verified before is verified again.
    changes: u64,
    /// Whether every message needs a proof of its author.
    required: bool,
}

impl Proofs {
    pub(crate) const fn new(required: bool) -> Self {
        Self { signers: Signers::new(), changes: 0, required }
    }

    pub(crate) const fn required(&self) -> bool {
        self.required
    }

    /// Takes these keys for the zone, and no others. Whether that changes anything.
    pub(crate) fn trust(&mut self, zone: &Zone, keys: &[SignerKey]) -> bool {
        if self.signers.of(zone).eq(keys) {
            return false;
        }
        self.signers.set(zone, keys);
        self.changes += 1;
        true
    }

    /// The signing keys of a zone.
    pub(crate) fn of(&self, zone: &Zone) -> Vec<SignerKey> {
        self.signers.of(zone).copied().collect()
    }

    /// Checks who wrote `body`. A voucher that is `known` already costs a comparison only.
    pub(crate) fn verify(
        &self,
        proof: &AuthorProof<'_>,
        known: &mut Option<Vouched>,
        source: &Name,
        envelope: &Envelope<'_>,
        body: &[u8],
    ) -> Result<Arc<Voucher>, Cause> {
        let (sent_at, head) = (envelope.sent_at, envelope.head());
        if let Some(Vouched { voucher, changes }) = known
            && *changes == self.changes
            && voucher.as_bytes() == proof.voucher
        {
            proof.verify_known(voucher, sent_at, head, body)?;
            return Ok(Arc::clone(voucher));
        }
        let voucher = Arc::new(proof.verify(&self.signers, source, sent_at, head, body)?);
        *known = Some(Vouched { voucher: Arc::clone(&voucher), changes: self.changes });
        Ok(voucher)
    }
}

/// A voucher that was verified, for the source of one stream.
pub(crate) struct Vouched {
    voucher: Arc<Voucher>,
    /// Of the signers, when that was.
    changes: u64,
}
