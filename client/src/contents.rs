//! What is in a message whose tag holds: the proof of its author and its body, wherever that travels (docs/protocol.md §8,
//! §9).

use std::sync::Arc;

use keycell_protocol::{
    AuthorProof, Cause, ContentPart, Envelope, Evidence, Extras, Name, UnixMillis, Voucher,
};
use zeroize::Zeroizing;

use crate::proofs::{Proofs, Vouched};

/// A message's plaintext, of which only the form was looked at.
pub(crate) struct Contents<'a> {
    envelope: &'a Envelope<'a>,
    plaintext: Zeroizing<Vec<u8>>,
    /// The body that came apart from the message.
    common: Option<&'a [u8]>,
}

impl<'a> Contents<'a> {
    /// Whether the proof of an author is there that the message announces, or that is `required`.
    pub(crate) fn new(
        envelope: &'a Envelope<'a>,
        plaintext: Vec<u8>,
        common: Option<&'a [u8]>,
        required: bool,
    ) -> Result<Self, Cause> {
        let plaintext = Zeroizing::new(plaintext);
        if envelope.extras.author_proof {
            AuthorProof::split(&plaintext)?;
        } else if required {
            return Err(Cause::AuthorMissing);
        }
        Ok(Self { envelope, plaintext, common })
    }

    /// Checks the author, then the body that came apart. `known` is the voucher that the source had before.
    pub(crate) fn verify(
        mut self,
        proofs: &Proofs,
        source: &Name,
        known: &mut Option<Vouched>,
    ) -> Result<(Vec<u8>, Option<Box<Authored>>), Cause> {
        let Self { envelope, plaintext, common } = &mut self;
        if envelope.extras == Extras::NONE && common.is_none() {
            return Ok((core::mem::take(&mut **plaintext), None));
        }
        let (proof, body) = if envelope.extras.author_proof {
            let (proof, body) = AuthorProof::split(plaintext)?;
            (Some(proof), body)
        } else {
            (None, &plaintext[..])
        };
        let voucher = match &proof {
            Some(proof) => Some(proofs.verify(proof, known, source, envelope, body)?),
            None => None,
        };
        let (body, part) = match (envelope.extras.detached, common) {
            (false, None) => (body.to_vec(), None),
            (true, Some(common)) => {
                let part = ContentPart::parse(body)?;
                (part.open(common)?, Some(part))
            }
            (true, None) => return Err(Cause::Detached),
            (false, Some(_)) => return Err(Cause::Body),
        };
        let authored = proof.zip(voucher).map(|(proof, voucher)| {
            let (signature, sent_at, head) = (*proof.signature, envelope.sent_at, envelope.head().into());
            Box::new(Authored { voucher, signature, sent_at, head, part })
        });
        Ok((body, authored))
    }
}

/// The proof of a message's author, as it was verified.
pub(crate) struct Authored {
    pub(crate) voucher: Arc<Voucher>,
    signature: [u8; 64],
    sent_at: UnixMillis,
    /// All that stood before the payload.
    head: Box<[u8]>,
    /// Of a body that came apart.
    part: Option<ContentPart>,
}

impl Authored {
    /// What shows others that the author said `body`; `None` if that is not what was said.
    pub(crate) fn evidence(&self, body: &[u8]) -> Option<Evidence> {
        let Self { voucher, signature, sent_at, head, part } = self;
        let proof = AuthorProof { voucher: voucher.as_bytes(), signature };
        let common = match part {
            Some(part) => part.seal_again(body).ok()?,
            None => Vec::new(),
        };
        let plaintext = part.as_ref().map(ContentPart::plaintext);
        let signed = plaintext.as_ref().map_or(body, |plaintext| &plaintext[..]);
        proof.verify_known(voucher, *sent_at, head, signed).ok()?;
        Some(Evidence::of(head, &proof, signed, &common))
    }
}
