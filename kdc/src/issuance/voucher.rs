//! Who asks for a voucher, and the voucher (docs/protocol.md §9).

use std::sync::{Arc, LazyLock};

use keycell_protocol::{
    Epoch, Generation, KeysFor, LongTermKey, SignedVoucherRequest, SignerKey, UnixSeconds, Voucher,
    VoucherReply, VoucherRequest, Vouchers,
};
use rand_core::CryptoRng;

use super::authenticate::{Stamp, accept, unauthenticated, unreadable};
use super::{Denied, Freshness, Moment, Nonces};
use crate::audit::AuditKey;
use crate::directory::{Directory, Party};
use crate::limit::Limits;

/// A request for a voucher whose signature holds, by who holds the signing key too, which is fresh, and which was not seen
/// before.
#[derive(Debug)]
pub struct AuthenticatedVoucher {
    party: Arc<Party>,
    keys: KeysFor<Vouchers>,
    request: VoucherRequest,
}

impl AuthenticatedVoucher {
    /// Who asks.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// What is asked.
    #[must_use]
    pub const fn request(&self) -> &VoucherRequest {
        &self.request
    }

    /// The reply with the voucher; that the key is the party's is for the caller to have seen.
    pub(crate) fn vouch(
        &self,
        vouching: &Vouching<'_>,
        moment: Moment,
        rng: &mut impl CryptoRng,
    ) -> (Voucher, Vec<u8>) {
        let Vouching { key, signers, lifetime_seconds, skew_ms } = *vouching;
        let now = moment.now.seconds().0;
        // A sender's clock may be behind this one.
        let from = UnixSeconds(now.saturating_sub(skew_ms.div_ceil(1000)));
        let until = UnixSeconds(now.saturating_add(lifetime_seconds.into()));
        let request = &self.request;
        let sign = |message: &[u8]| key.sign(message);
        let voucher = Voucher::issue(&request.source, request.public_key, (from, until), &key.signer(), sign);
        // Spread over 50 to 80 % of its time, as with tickets.
        let percent = 50 + rng.next_u64() % 31;
        let renew_after = UnixSeconds(now.saturating_add(u64::from(lifetime_seconds) * percent / 100));
        let given = (&voucher, renew_after);
        let body = VoucherReply::seal(request, moment.now, given, signers, &self.keys, rng);
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
    /// For how long.
    pub lifetime_seconds: u32,
    /// How far the clocks may be apart.
    pub skew_ms: u64,
}

/// Checks a request for a voucher as [`authenticate`](super::authenticate) does one for tickets. It costs the party as much
/// as 10 tickets.
///
/// # Errors
/// As [`authenticate`](super::authenticate); `malformed-request` when the party does not hold the signing key.
pub fn authenticate_voucher(
    signed: &SignedVoucherRequest<'_>,
    directory: &Directory,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<AuthenticatedVoucher, Denied> {
    let reference = signed.key();
    let known = directory.party(reference.name.as_str()).and_then(|party| {
        let keys = party.keys_for(reference.generation, reference.epoch, moment.epoch(), moment.now)?;
        Some((party, keys))
    });
    let Some((party, keys)) = known else {
        // Derived anew, as a known party's keys are.
        let _ = signed.verify(&DECOY.keys_for());
        return Err(unauthenticated("no such party, or no such key of it").into());
    };
    let request = signed.verify(&keys).map_err(unreadable)?;
    let stamp = Stamp { timestamp: request.timestamp, nonce: request.nonce, cost: COST };
    accept(&party, stamp, nonces, limits, moment, freshness)?;
    Ok(AuthenticatedVoucher { party, keys, request })
}

/// A key that nobody holds.
static DECOY: LazyLock<LongTermKey> =
    LazyLock::new(|| LongTermKey::generate(Generation(0), Epoch(0), &mut crate::random::system()));

/// What a voucher costs, in tickets.
const COST: usize = 10;
