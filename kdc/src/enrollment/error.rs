//! Why a request to enroll is not answered.

use std::time::Duration;

use keycell_protocol::{EnrollmentError, IdentityName};

use super::{OpenError, Refusal, Unsettled};
use crate::limit::TooOften;

/// Why a request to enroll is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrollError {
    /// Its address asks too often.
    #[error("its address enrolls too often")]
    TooOften(TooOften),
    /// The host got another key a moment ago.
    #[error("it enrolled again a moment ago")]
    TooSoon(Duration),
    /// It is not the JSON of one, or the host wrote nonsense.
    #[error("it is no request to enroll")]
    Malformed,
    /// It is for another zone.
    #[error("it is for another zone")]
    Zone,
    /// It is for an identity that the KDC does not work with.
    #[error("it is for another identity than {0}")]
    Identity(IdentityName),
    /// It does not open, or the host's key did not sign it.
    #[error("it does not open, or its signature does not hold")]
    Forged,
    /// Its clock, or this one, is wrong.
    #[error("its timestamp is too far from this clock")]
    ClockSkew,
    /// A later one was answered.
    #[error("a later request of this key was answered")]
    Replayed,
    /// The host does not come aboard.
    #[error("{0}")]
    Refused(Refusal),
    /// More come than can be taken.
    #[error("more hosts enroll than this KDC can take at once")]
    Overloaded,
    /// The KDC's own identity cannot be had, or what goes into the answer.
    #[error("the KDC's primary identity cannot be had")]
    NoIdentity,
    /// It could not be settled.
    #[error("{0}")]
    Unsettled(#[from] Unsettled),
}

impl From<OpenError> for EnrollError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Overloaded => Self::Overloaded,
            OpenError::Request(EnrollmentError::Malformed) => Self::Malformed,
            OpenError::Request(_) => Self::Forged,
        }
    }
}
