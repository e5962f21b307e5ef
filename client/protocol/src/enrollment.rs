//! How a host comes into a cell: it proves a key of its own to one of the KDC's identities, and both know the host's
//! long-term key then (docs/protocol.md §10).
//!
//! ```text
//! {"zone", "identity", "encapsulated": base64url(1120), "sealed": base64url(signature 64 || JSON, sealed)}
//! HPKE (RFC 9180), base mode: X-Wing, HKDF-SHA256, ChaCha20-Poly1305; aad is empty
//! info      = "keycell/1 enrollment\0" || zone || 0 || identity
//! signature = Ed25519(host, "keycell/1 enrollment\0" || zone || 0 || identity || 0 || encapsulated || JSON)
//! JSON      = {"service", "host", "public_key", "token", "timestamp", "nonce", "instance"}
//!
//! long-term key = Export("keycell/1 enrollment key", 32)
//! reply key     = Export("keycell/1 enrollment reply", 32)
//! ```
//!
//! HPKE tells the host that nobody but the KDC reads it, and the signature tells the KDC whose key it is. The exported keys
//! never travel, and nothing of them is the KDC's to choose: an answer that is lost is asked for again.

mod keys;
mod name;
mod reply;
mod request;
mod sealed;
mod token;

pub use keys::EnrollmentKeys;
pub use name::{EnrolledName, Fingerprint, HostName, ServiceName};
pub use reply::{
    Enrolled, EnrollmentAnswer, EnrollmentOutcome, EnrollmentReply, EnrollmentState, SealedEnrollmentReply,
};
pub use request::EnrollmentRequest;
pub use sealed::SealedEnrollment;
pub use token::{JoinToken, JoinTokenError, JoinTokenId};

/// Why a request to enroll is not used, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrollmentError {
    /// It does not have the form of one.
    #[error("the request to enroll does not have the form of one")]
    Malformed,
    /// It was not written to this identity, or not by the holder of the key in it: which of them is not told.
    #[error("the request to enroll does not hold")]
    Forged,
    /// Nothing can be written to the identity.
    #[error("the identity's encryption key cannot be used: get the bundle again from where you trust it")]
    Identity,
}

#[cfg(test)]
mod tests;
