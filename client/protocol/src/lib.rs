//! The Keycell protocol, version 1, without input or output.
//!
//! Nothing here opens a socket or a file, asks the time or makes randomness: time is an argument, and so is the
//! random generator. What is here is deterministic and can be tested byte by byte; `docs/protocol.md` is the text
//! that it follows, and `tests/vectors/` shows it in examples.
//!
//! # The protocol on one page
//!
//! `S` is the KDC of a zone; it shares a [`LongTermKey`] with every party. `A` wants to speak to `B`:
//!
//! ```text
//! A → S   TicketRequest {A, [B], time, nonce}, HMAC under sub(K_A, request)          request
//! S → A   SEK(A→B), SEK(B→A), Ticket = Eb(Rkey), all sealed under sub(K_A, reply)    reply, ticket
//! A → B   A, B, expiry, topic, Ticket, body sealed under SEK(A→B)                    envelope
//! B → A   B, A, expiry, topic, id of the ticket, body sealed under SEK(B→A)          envelope
//! ```
//!
//! `SEK(A→B) = HKDF-Expand(Rkey, A ‖ 0 ‖ B ‖ 0 ‖ expiry)`: a ticket opened by `B` yields a key that fits only the
//! names and the expiry that `S` meant, so there is nothing that `B` could forget to check. `A` never learns `Rkey`
//! and cannot speak as anyone else. `B` asks nobody, neither to open nor to answer.
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`bundle`](Bundle) | what everybody may know of a KDC |
//! | [`name`](Name) | zones, parties and groups: `local@zone` |
//! | [`time`](UnixMillis) | instants, epochs |
//! | [`key`](LongTermKey) | long-term keys, the ratchet, subkeys |
//! | [`ratchet`](RatchetedKey) | a key at hand: the epochs around now |
//! | [`derive`](Sek) | HKDF: subkeys, SEKs |
//! | [`request`](SignedRequest), [`reply`](SealedReply) | asking the KDC, and its answer |
//! | [`purpose`](KeysFor) | keys for each other kind of request |
//! | [`peer`](SignedPeerRequest) | what one KDC asks another for |
//! | [`trust`](SealedTrustOffer) | how one zone offers trust to another |
//! | [`rotation`](SignedRotation) | asking the KDC for a new key, and its answer |
//! | [`enrollment`](SealedEnrollment) | how a host comes into a cell |
//! | [`group`](GroupChain) | group keys, asking for them, and the answer |
//! | [`signer`](Signers), [`voucher`](Voucher) | whom a KDC vouches for as an author |
//! | [`author`](AuthorProof), [`evidence`](Evidence) | who said it, and proof of it for others |
//! | [`content`](ContentPart) | one body for many recipients |
//! | [`ticket`](Ticket) | `Eb(SEK)` |
//! | [`envelope`](Envelope) | messages |
//! | [`replay`](ReplayWindow) | which messages were seen |
//! | [`xwing`](IdentitySecret) | writing to one of a KDC's identities |
//! | [`problem`](ProblemType) | what a KDC reports when it refuses |
//! | [`error`](CannotOpen) | why a message does not open |
//!
//! Keeping state (sequence numbers, ticket caches, windows per sender) is the work of the `keycell-client` crate.

mod aead;
mod author;
mod bundle;
mod codec;
mod content;
mod derive;
mod enrollment;
mod envelope;
mod error;
mod evidence;
mod group;
mod key;
mod name;
mod peer;
mod problem;
#[cfg(test)]
mod published;
mod purpose;
mod ratchet;
mod replay;
mod reply;
mod request;
mod rotation;
mod signer;
mod ticket;
mod time;
mod trust;
mod voucher;
mod xwing;

pub use author::{AuthorKey, AuthorProof, AuthorPublicKey};
pub use bundle::{
    Bundle, BundleError, BundleFingerprint, BundleFingerprintError, IdentityEncryptionKey, IdentityName,
    KdcIdentity, SuccessionError, TrustedZone,
};
pub use content::ContentPart;
pub use derive::{Rkey, Sek};
pub use enrollment::{
    Enrolled, EnrolledName, EnrollmentAnswer, EnrollmentError, EnrollmentKeys, EnrollmentOutcome,
    EnrollmentReply, EnrollmentRequest, EnrollmentState, Fingerprint, HostName, JoinToken, JoinTokenError,
    JoinTokenId, SealedEnrollment, SealedEnrollmentReply, ServiceName,
};
pub use envelope::{Envelope, Extras, Header, MAX_MESSAGE, Mode, Salt, StreamKey, Topic, TopicError, Under};
pub use error::{CannotOpen, Cause};
pub use evidence::{Evidence, EvidenceError, Said};
pub use group::{
    GroupChain, GroupKey, GroupKeysReply, GroupKeysRequest, GroupKeysWriter, GroupOutcome, HeldGroup,
    HeldKey, SealedGroupKeys, SignedGroupRequest,
};
pub use key::{Epoch, Generation, LongTermKey, RatchetError, ReplyKey, RequestKey, Subkeys, TicketKey};
pub use name::{Name, NameError, Zone};
pub use peer::{Correlation, PeerPair, PeerRequest, SignedPeerRequest};
pub use problem::{Problem, ProblemType, UnknownProblem};
pub use purpose::{GroupKeys, KeysFor, Peers, Purpose, Rotation, Vouchers};
pub use ratchet::RatchetedKey;
pub use replay::{ReplayError, ReplayWindow};
pub use reply::{Grant, Outcome, ReplyError, ReplyWriter, SealedReply, TicketReply};
pub use request::{Instance, KeyReference, Nonce, RequestError, SignedRequest, TicketRequest};
pub use rotation::{
    Rotated, RotationKeys, RotationReply, RotationRequest, SealedRotation, SignedRotation, Step,
};
pub use signer::{SignerId, SignerKey, Signers, TrustedSigners, TrustedSignersError, ZoneSigners};
pub use ticket::{Ticket, TicketError, TicketId, TicketKind};
pub use time::{RatchetPeriod, UnixMillis, UnixSeconds};
pub use trust::{OfferState, OfferedTo, OfferingZone, SealedTrustOffer, TrustOffer, TrustOfferError};
pub use voucher::{
    GivenVoucher, SealedVoucher, SignedVoucherRequest, Voucher, VoucherError, VoucherReply, VoucherRequest,
};
pub use xwing::IdentitySecret;

/// A generator that gives the same bytes in every run.
#[cfg(test)]
fn test_rng() -> chacha20::ChaCha20Rng {
    rand_core::SeedableRng::seed_from_u64(1)
}
