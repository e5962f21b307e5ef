//! What a receiver keeps to show others who said what (docs/protocol.md §9.3).
//!
//! ```text
//! "KCE1" || u32 length || head || u16 length || voucher || signature 64 || u32 length || body || common body, to the end
//! ```
//!
//! The head is all that stands before the message's payload. The common body is there only for a message with a detached
//! body. There is nothing secret of the KDC's or of the parties' in it, but the body is in the clear.

use core::fmt;

use crate::author::AuthorProof;
use crate::codec::{Reader, Truncated};
use crate::content::ContentPart;
use crate::envelope::{Envelope, MAX_MESSAGE};
use crate::error::Cause;
use crate::name::Name;
use crate::signer::Signers;
use crate::time::{UnixMillis, UnixSeconds};
use crate::voucher::Voucher;

/// A message that proves its author to anyone who knows the signing keys of the author's zone.
///
/// It prints its length only: what was said may be nobody else's business.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence(Vec<u8>);

impl Evidence {
    /// The longest evidence in bytes: a message and its body apart.
    pub const MAX: usize = 2 * MAX_MESSAGE;

    /// Puts it together from an authentic message: its `plaintext` begins with the proof. `common` is the body that
    /// travelled apart, if one did.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`] when there is no proof in the message.
    pub fn new(
        envelope: &Envelope<'_>,
        plaintext: &[u8],
        common: Option<&[u8]>,
    ) -> Result<Self, EvidenceError> {
        if !envelope.extras.author_proof || envelope.extras.detached != common.is_some() {
            return Err(EvidenceError::Malformed);
        }
        let (proof, body) = AuthorProof::split(plaintext).map_err(|_| EvidenceError::Malformed)?;
        Ok(Self::of(envelope.head(), &proof, body, common.unwrap_or_default()))
    }

    /// As [`new`](Self::new), from what was kept of a message whose author was verified. Whether it holds is for
    /// [`verify`](Self::verify) to say.
    #[must_use]
    pub fn of(head: &[u8], proof: &AuthorProof<'_>, body: &[u8], common: &[u8]) -> Self {
        let proof_len = AuthorProof::overhead(proof.voucher.len());
        let mut bytes = Vec::with_capacity(12 + head.len() + proof_len + body.len() + common.len());
        bytes.extend_from_slice(MAGIC);
        put_long(&mut bytes, head);
        proof.write(&mut bytes);
        put_long(&mut bytes, body);
        bytes.extend_from_slice(common);
        Self(bytes)
    }

    /// As it is kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What was said, by whom, to whom and when, if a voucher of one of `signers` and the author's signature hold.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn verify(bytes: &[u8], signers: &Signers) -> Result<Said, EvidenceError> {
        let kept = Kept::read(bytes)?;
        let Kept { head, proof, body, source, envelope, .. } = &kept;
        let voucher =
            proof.verify(signers, source, envelope.sent_at, head, body).map_err(|cause| match cause {
                Cause::AuthorUnknown => EvidenceError::UnknownSigner,
                Cause::AuthorExpired => EvidenceError::Expired,
                _ => EvidenceError::Forged,
            })?;
        kept.said(voucher)
    }

    /// What it claims. No signature is checked: anyone can write such a file.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`], and [`EvidenceError::Body`].
    pub fn claimed(bytes: &[u8]) -> Result<Said, EvidenceError> {
        let kept = Kept::read(bytes)?;
        let voucher = Voucher::parse(kept.proof.voucher).map_err(|_| EvidenceError::Malformed)?;
        kept.said(voucher)
    }
}

/// Evidence taken apart, and believed by nobody yet.
struct Kept<'a> {
    envelope: Envelope<'a>,
    source: Name,
    destination: Name,
    head: &'a [u8],
    proof: AuthorProof<'a>,
    body: &'a [u8],
    common: &'a [u8],
}

impl<'a> Kept<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(EvidenceError::Malformed);
        }
        let head = long(&mut reader)?;
        let proof = AuthorProof::read(&mut reader)?;
        let body = long(&mut reader)?;
        let common = reader.rest();
        let envelope = Envelope::parse_head(head).map_err(|_| EvidenceError::Malformed)?;
        let extras = envelope.extras;
        if !envelope.payload().is_empty() || !extras.author_proof || (!extras.detached && !common.is_empty())
        {
            return Err(EvidenceError::Malformed);
        }
        let name = |bytes| Name::try_from(bytes).map_err(|_| EvidenceError::Malformed);
        let (source, destination) = (name(envelope.source)?, name(envelope.destination)?);
        Ok(Self { envelope, source, destination, head, proof, body, common })
    }

    fn said(self, voucher: Voucher) -> Result<Said, EvidenceError> {
        let Self { envelope, source, destination, head: _, proof: _, body, common } = self;
        let body = if envelope.extras.detached {
            let part = ContentPart::parse(body).map_err(|_| EvidenceError::Malformed)?;
            part.open(common).map_err(|_| EvidenceError::Body)?
        } else {
            body.to_vec()
        };
        Ok(Said {
            source,
            destination,
            topic: envelope.topic.as_str().to_owned(),
            sent_at: envelope.sent_at,
            expiration: envelope.expiration,
            sequence: envelope.sequence,
            body,
            voucher,
        })
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Evidence({} bytes)", self.0.len())
    }
}

/// What evidence shows.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// Who said it.
    pub source: Name,
    /// To whom: a party, or a group.
    pub destination: Name,
    /// What it is about.
    pub topic: String,
    /// When, by the author's own word.
    pub sent_at: UnixMillis,
    /// When the ticket ended.
    pub expiration: UnixSeconds,
    /// The number among the messages of one sealer.
    pub sequence: u64,
    /// What was said.
    pub body: Vec<u8>,
    /// Whose word it is that the key is the author's.
    pub voucher: Voucher,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, topic, sent_at, expiration, sequence, body, voucher } = self;
        f.debug_struct("Said")
            .field("source", source)
            .field("destination", destination)
            .field("topic", topic)
            .field("sent_at", sent_at)
            .field("expiration", expiration)
            .field("sequence", sequence)
            .field("body", &format_args!("{} bytes", body.len()))
            .field("voucher", voucher)
            .finish()
    }
}

/// Why evidence shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It does not have the form of evidence.
    #[error("this is no evidence, or a damaged copy")]
    Malformed,
    /// No key that is known here, and may vouch for this name, signed the voucher.
    #[error("the author is vouched for by a KDC that is not in this bundle")]
    UnknownSigner,
    /// The voucher was not good when the author says that it was sent.
    #[error("the author was not vouched for when the message says that it was sent")]
    Expired,
    /// The author did not sign this, or the KDC not the voucher.
    #[error("a signature does not hold: the source did not say this")]
    Forged,
    /// The common body is another one.
    #[error("the body is not the one that the author meant")]
    Body,
}

impl From<Truncated> for EvidenceError {
    fn from(Truncated: Truncated) -> Self {
        Self::Malformed
    }
}

/// Lengths stay far below 4 GiB: a message is at most 16 MiB.
fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn long<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Truncated> {
    let length = u32::from_be_bytes(*reader.array()?);
    reader.take(usize::try_from(length).map_err(|_| Truncated)?)
}

const MAGIC: &[u8; 4] = b"KCE1";
