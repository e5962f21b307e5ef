//! Why something was not done.

use std::time::Duration;

use keycell_protocol::ProblemType;

use crate::issuance::{Denied, Refusal};
use crate::keyring::KeyringError;
use crate::store::StoreError;
use crate::token::TokenError;

/// Why something that an administrator asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no such thing.
    #[error("there is no {0}")]
    Missing(String),
    /// There is one already.
    #[error("there is a {0} already")]
    Exists(String),
    /// A value cannot be used.
    #[error("{field}: {text}")]
    Invalid {
        /// Which field of what was sent.
        field: String,
        /// What is wrong, and what it may be.
        text: String,
    },
    /// It is not what the caller saw (`If-Match`).
    #[error("it is at {} now: look again, then repeat", found.map_or("a later revision".to_owned(), |found| format!("revision {found}")))]
    Precondition {
        /// The revision it is at, where that is known.
        found: Option<u64>,
    },
    /// Others keep changing it.
    #[error("others keep changing it: try again")]
    Busy,
    /// The same `Idempotency-Key` came with another request.
    #[error("choose a new one, or repeat the very same request")]
    Mismatch,
    /// It cannot be done as things are.
    #[error("{0}")]
    Refused(String),
    /// It cannot be done yet.
    #[error("{text}")]
    NotYet {
        /// Why.
        text: String,
        /// When it can.
        retry_after: Duration,
    },
    /// The caller asked for more than its own role reaches.
    #[error("{0}")]
    Forbidden(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The token key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What a bug would be: a body that cannot be written as JSON.
    #[error("an answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

impl AdminError {
    pub(crate) fn invalid(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), text: text.into() }
    }
}

/// Why something that a party asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    /// The request is refused.
    #[error("{}", .0.problem().urn())]
    Denied(Denied),
    /// It cannot be done now.
    #[error(transparent)]
    Admin(#[from] AdminError),
}

impl PartyError {
    pub(crate) const fn denied(problem: ProblemType, cause: &'static str) -> Self {
        Self::Denied(Denied::Refused(Refusal { problem, cause }))
    }
}

impl From<Denied> for PartyError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<StoreError> for PartyError {
    fn from(error: StoreError) -> Self {
        Self::Admin(error.into())
    }
}
