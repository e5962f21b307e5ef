//! What the KDC answers.

use std::borrow::Cow;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Voucher, VoucherRequest};
use crate::aead::{TAG, XNonce};
use crate::name::{Name, Zone};
use crate::purpose::{KeysFor, Vouchers};
use crate::reply::{self, ReplyError, SealedReply};
use crate::request::Nonce;
use crate::signer::{SignerKey, Signers, TrustedSigners, ZoneSigners};
use crate::time::{UnixMillis, UnixSeconds};

/// Writes the KDC's answers, sealed under the keys that signed the request.
#[derive(Debug)]
pub enum VoucherReply {}

impl VoucherReply {
    /// Gives the party its voucher. `signers` are the KDC's own, whose vouchers hold; `trusted` those of other zones.
    pub fn seal(
        request: &VoucherRequest,
        server_time: UnixMillis,
        (voucher, renew_after): (&Voucher, UnixSeconds),
        (signers, trusted): (&[SignerKey], &TrustedSigners),
        keys: &KeysFor<Vouchers>,
        rng: &mut impl CryptoRng,
    ) -> Vec<u8> {
        let metadata = Metadata {
            source: Cow::Borrowed(&request.source),
            nonce: request.nonce,
            server_time,
            renew_after,
            signers: signers.to_vec(),
            trusted: trusted.iter().cloned().collect(),
        };
        let voucher = voucher.as_bytes();
        let mut records = Zeroizing::new(Vec::with_capacity(XNonce::SIZE + voucher.len() + TAG));
        records.extend_from_slice(&[0; XNonce::SIZE]);
        records.extend_from_slice(voucher);
        reply::write(&metadata, records, &keys.reply, rng)
    }
}

/// The KDC's answer as it travels.
#[derive(Debug)]
pub struct SealedVoucher<'a>(SealedReply<'a>);

impl<'a> SealedVoucher<'a> {
    /// Reads the JSON of an answer.
    ///
    /// # Errors
    /// [`ReplyError::Malformed`] when it is none.
    pub fn parse(json: &'a [u8]) -> Result<Self, ReplyError> {
        SealedReply::parse(json).map(Self)
    }

    /// Opens the answer with the keys that signed `request`, and checks that it answers just that request: with a voucher
    /// for its key and name, signed by one of the signers that the answer names.
    ///
    /// # Errors
    /// [`ReplyError`]; then nothing of the answer may be used.
    pub fn open(
        &self,
        keys: &KeysFor<Vouchers>,
        request: &VoucherRequest,
    ) -> Result<GivenVoucher, ReplyError> {
        let (metadata, records) = self.0.read::<Metadata<'_>>(&keys.reply)?;
        let Metadata { source, nonce, server_time, renew_after, signers, trusted } = metadata;
        if *source != request.source || nonce != request.nonce {
            return Err(ReplyError::AnotherRequest);
        }
        let voucher = Voucher::parse(records.bytes()).map_err(|_| ReplyError::Malformed)?;
        if *voucher.name() != request.source || voucher.public_key() != request.public_key {
            return Err(ReplyError::AnotherRequest);
        }
        let mut known = Signers::new();
        let zone: Zone = request.source.zone().parse().map_err(|_| ReplyError::Malformed)?;
        known.set(&zone, &signers);
        voucher.verify(&known).map_err(|_| ReplyError::Malformed)?;
        let trusted = TrustedSigners::new(zone.as_str(), trusted).map_err(|_| ReplyError::Malformed)?;
        Ok(GivenVoucher { voucher, renew_after, server_time, signers, trusted })
    }
}

/// What the KDC answered.
#[derive(Debug)]
pub struct GivenVoucher {
    /// The voucher.
    pub voucher: Voucher,
    /// When to ask for the next one.
    pub renew_after: UnixSeconds,
    /// The KDC's clock when it answered.
    pub server_time: UnixMillis,
    /// Whose vouchers hold in this zone.
    pub signers: Vec<SignerKey>,
    /// And whose of the zones that this one trusts: no others.
    pub trusted: TrustedSigners,
}

#[derive(Serialize, Deserialize)]
struct Metadata<'a> {
    source: Cow<'a, Name>,
    nonce: Nonce,
    server_time: UnixMillis,
    renew_after: UnixSeconds,
    signers: Vec<SignerKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trusted: Vec<ZoneSigners>,
}
