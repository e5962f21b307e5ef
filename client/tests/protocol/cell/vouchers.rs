//! Vouchers, as a KDC gives them.

use std::collections::HashMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use keycell_protocol::{
    AuthorPublicKey, Name, Problem, ProblemType, SignedVoucherRequest, SignerKey, TrustedSigners,
    UnixSeconds, Voucher, VoucherReply, Vouchers,
};

use super::Cell;

/// A KDC's signing key, and what it has signed for.
pub(crate) struct Desk {
    pub(crate) key: Ed25519KeyPair,
    /// The first key of each party counts.
    pub(crate) registered: HashMap<Name, AuthorPublicKey>,
    pub(crate) given: usize,
    pub(crate) problem: Option<ProblemType>,
    /// The signers of other zones.
    pub(crate) trusted: TrustedSigners,
}

/// Of a voucher, in seconds.
pub(crate) const VALID: u64 = 86_400;

pub(crate) fn signer(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

impl Desk {
    pub(crate) fn new(key: Ed25519KeyPair) -> Self {
        Self { key, registered: HashMap::new(), given: 0, problem: None, trusted: TrustedSigners::default() }
    }

    pub(crate) fn signer(&self) -> SignerKey {
        public(&self.key)
    }
}

pub(crate) fn public(key: &Ed25519KeyPair) -> SignerKey {
    SignerKey::new(key.public_key().as_ref().try_into().unwrap())
}

/// What the holder of `signer` says.
pub(crate) fn voucher(
    signer: &Ed25519KeyPair,
    name: &Name,
    key: AuthorPublicKey,
    valid: (UnixSeconds, UnixSeconds),
) -> Voucher {
    let sign = |message: &[u8]| signer.sign(message).as_ref().try_into().unwrap();
    Voucher::issue(name, key, valid, &public(signer), sign)
}

impl Cell {
    pub(crate) fn desk_of(&mut self, name: &Name) -> &mut Desk {
        if name.zone() == "z" { &mut self.desk } else { &mut self.desk_abroad }
    }

    /// A voucher as it would be given now.
    pub(crate) fn voucher(&self, name: &Name, key: AuthorPublicKey) -> Voucher {
        let now = self.now.seconds();
        let desk = if name.zone() == "z" { &self.desk } else { &self.desk_abroad };
        voucher(&desk.key, name, key, (UnixSeconds(now.0 - 60), now.plus(VALID)))
    }

    pub(super) fn vouch(&mut self, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let signed = SignedVoucherRequest::parse(body).unwrap();
        if let Some(problem) = self.desk_of(&signed.key().name).problem {
            return Err(Problem::new(problem));
        }
        let (key, _) = self.known(signed.key()).ok_or_else(|| self.stranger())?;
        let keys = key.keys_for::<Vouchers>();
        let request = signed.verify(&keys).unwrap();
        if request.timestamp.distance(self.now) > 60_000 {
            let mut problem = Problem::new(ProblemType::ClockSkew);
            problem.server_time = Some(self.now);
            return Err(problem);
        }
        let voucher = self.voucher(&request.source, request.public_key);
        let renew = self.now.seconds().plus(VALID / 2);
        let desk = self.desk_of(&request.source);
        let registered = desk.registered.entry(request.source.clone()).or_insert(request.public_key);
        if *registered != request.public_key {
            return Err(Problem::new(ProblemType::Conflict));
        }
        desk.given += 1;
        let (signers, trusted) = ([desk.signer()], desk.trusted.clone());
        let signers = (&signers[..], &trusted);
        Ok(VoucherReply::seal(&request, self.now, (&voucher, renew), signers, &keys, &mut self.rng))
    }
}
