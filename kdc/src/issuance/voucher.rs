//! Requests for a voucher, and the voucher (docs/protocol.md §9).

use keycell_protocol::{
    KeyReference, KeysFor, SignedVoucherRequest, SignerKey, TrustedSigners, UnixSeconds, Voucher,
    VoucherReply, VoucherRequest, Vouchers,
};
use rand_core::CryptoRng;

use super::authenticate::{decoy, unreadable};
use super::{Authenticated, Kind, Moment, Refusal, Stamp};
use crate::audit::AuditKey;
use crate::directory::Party;

/// Who asks holds the signing key too. A voucher costs the party as much as 10 tickets.
impl Kind for Vouchers {
    type Signed<'a> = SignedVoucherRequest<'a>;
    type Keys = KeysFor<Self>;
    type Request = VoucherRequest;

    fn key<'a>(signed: &'a SignedVoucherRequest<'_>) -> &'a KeyReference {
        signed.key()
    }

    fn keys(party: &Party, key: &KeyReference, moment: Moment) -> Option<KeysFor<Self>> {
        party.keys_for(key.generation, key.epoch, moment.epoch(), moment.now)
    }

    fn decoy() -> KeysFor<Self> {
        decoy().keys_for()
    }

    fn verify(signed: &SignedVoucherRequest<'_>, keys: &KeysFor<Self>) -> Result<VoucherRequest, Refusal> {
        signed.verify(keys).map_err(unreadable)
    }

    fn stamp(request: &VoucherRequest) -> Stamp {
        Stamp { timestamp: request.timestamp, nonce: request.nonce, instance: request.instance, cost: COST }
    }
}

impl Authenticated<Vouchers> {
    /// The reply with the voucher; that the key is the party's is for the caller to have seen.
    pub(crate) fn vouch(
        &self,
        vouching: &Vouching<'_>,
        moment: Moment,
        rng: &mut impl CryptoRng,
    ) -> (Voucher, Vec<u8>) {
        let Vouching { key, signers, trusted, lifetime_seconds, skew_ms } = *vouching;
        let now = moment.now.seconds().0;
        // A sender's clock may be behind this one.
        let from = UnixSeconds(now.saturating_sub(skew_ms.div_ceil(1000)));
        let until = UnixSeconds(now.saturating_add(lifetime_seconds.into()));
        let request = self.request();
        let sign = |message: &[u8]| key.sign(message);
        let voucher = Voucher::issue(&request.source, request.public_key, (from, until), &key.signer(), sign);
        // Spread over 50 to 80 % of its time, as with tickets.
        let percent = 50 + rng.next_u64() % 31;
        let renew_after = UnixSeconds(now.saturating_add(u64::from(lifetime_seconds) * percent / 100));
        let given = (&voucher, renew_after);
        let body = VoucherReply::seal(request, moment.now, given, (signers, trusted), self.keys(), rng);
        (voucher, body)
    }
}

/// With what the KDC vouches.
#[derive(Debug, Clone, Copy)]
pub struct Vouching<'a> {
    /// The primary identity's signing key.
    pub key: &'a AuditKey,
    /// Whose vouchers hold in this zone.
    pub signers: &'a [SignerKey],
    /// And whose in those that it trusts.
    pub trusted: &'a TrustedSigners,
    /// For how long.
    pub lifetime_seconds: u32,
    /// How far the clocks may be apart.
    pub skew_ms: u64,
}

/// What a voucher costs, in tickets.
const COST: usize = 10;
