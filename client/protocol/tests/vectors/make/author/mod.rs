//! §8.4 and §9: vouchers, proofs of authors, evidence, and bodies that travel apart.

mod content;
mod message;
mod voucher;

use super::file;
use crate::format::author::{Signer, Voucher};
use crate::raw::author::{self, KDC};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file("voucher/voucher.json", "voucher", "Vouchers, checked by who knows signers (§9.2).", {
            voucher::vouchers()
        }),
        file(
            "voucher/request.json",
            "voucher-request",
            "Signed requests for vouchers, checked with the party's key (§9.2).",
            voucher::requests(),
        ),
        file(
            "voucher/reply.json",
            "voucher-reply",
            "Answers to them, opened by the party that asked (§9.2).",
            voucher::replies(),
        ),
        file(
            "author/message.json",
            "author",
            "Messages that prove their author, opened by who holds the key of their ticket (§9.1).",
            message::messages(),
        ),
        file(
            "author/evidence.json",
            "evidence",
            "What is kept of such messages (§9.3).",
            message::evidence(),
        ),
        file("content/body.json", "content", "Bodies that travel apart, opened with a part (§8.4).", {
            content::bodies()
        }),
    ]
}

const ZONE: &str = "cell.example";

fn signer(zone: &str, who: &str) -> Signer {
    Signer { zone: zone.to_owned(), key: author::public(who).into() }
}

/// Whom a party of the zone believes.
fn signers() -> Vec<Signer> {
    vec![signer("other.example", "#KDC#00001@other.example"), signer(ZONE, KDC)]
}

fn parts(voucher: &author::Voucher) -> Voucher {
    Voucher {
        signer: voucher.signer.into(),
        not_before: voucher.not_before,
        not_after: voucher.not_after,
        name: String::from_utf8(voucher.name.clone()).unwrap(),
        public_key: voucher.public_key.into(),
    }
}

/// S of a signature, and the order of the base point: the same number, spelt otherwise.
pub(super) fn respelt(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 16] = *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14";
    let mut signature = signature.to_vec();
    let s = signature.len() - 32;
    let order = ORDER.into_iter().chain([0; 15]).chain([0x10]);
    let mut carry = 0;
    for (byte, more) in signature[s..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    signature
}

/// A key of small order, and a signature that fits it and every message for who does not look: R = B, S = 1.
pub(super) fn for_everything() -> ([u8; 32], [u8; 64]) {
    let (mut neutral, mut signature) = ([0; 32], [0; 64]);
    neutral[0] = 1;
    signature[..32].fill(0x66);
    (signature[0], signature[32]) = (0x58, 1);
    (neutral, signature)
}
