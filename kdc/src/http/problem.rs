//! Problem documents (RFC 9457): the only place where an error becomes a response.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::{IdentityName, Problem, ProblemType, UnixMillis};

use crate::administration::AdminError;
use crate::keyring::KeyringError;
use crate::limit::TooOften;
use crate::store::StoreError;

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct Failure(Problem);

/// Put into every failing response, for whoever counts and logs them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reported(pub(super) ProblemType);

impl Failure {
    pub(super) fn new(kind: ProblemType) -> Self {
        Self(Problem::new(kind))
    }

    /// With what to do about it.
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// With the field, parameter or header that is at fault.
    pub(super) fn field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    pub(super) const fn server_time(mut self, now: UnixMillis) -> Self {
        self.0.server_time = Some(now);
        self
    }

    /// With the identity that the KDC works with.
    pub(super) const fn identity(mut self, identity: IdentityName) -> Self {
        self.0.identity = Some(identity);
        self
    }

    /// With over how long hosts spread that find their keys refused.
    pub(super) const fn reenroll_within(mut self, seconds: u32) -> Self {
        self.0.reenroll_within = Some(seconds);
        self
    }

    /// With when to come back: in whole seconds, rounded up, at least one.
    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.0.retry_after = Some(seconds.max(1));
        self
    }

    /// To one failure more than an address may have.
    pub(super) fn failed_too_often(limit: TooOften) -> Self {
        Self::new(ProblemType::RateLimited)
            .detail("too many failed authentications from this address")
            .retry_after(limit.retry_after)
    }

    pub(super) fn overloaded() -> Self {
        Self::new(ProblemType::Overloaded).retry_after(Duration::from_secs(1))
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(error), "a request failed");
        Self::new(ProblemType::Internal)
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        let problem = |kind| Self::new(kind).detail(error.to_string());
        match &error {
            AdminError::Missing(_) => problem(ProblemType::NotFound),
            AdminError::Exists(_) => problem(ProblemType::AlreadyExists),
            AdminError::Busy | AdminError::Refused(_) => problem(ProblemType::Conflict),
            AdminError::NotYet { retry_after, .. } => {
                problem(ProblemType::Conflict).retry_after(*retry_after)
            }
            AdminError::Invalid { field, text } => {
                Self::new(ProblemType::MalformedRequest).detail(text.as_str()).field(field.as_str())
            }
            AdminError::Precondition { .. } => problem(ProblemType::PreconditionFailed).field("If-Match"),
            AdminError::Mismatch => problem(ProblemType::IdempotencyMismatch).field("Idempotency-Key"),
            AdminError::Forbidden(_) => problem(ProblemType::Forbidden),
            // The same request is being answered by another place at this moment; its answer will be kept.
            AdminError::Store(StoreError::AnswerExists) => Self::from(AdminError::Busy),
            AdminError::Store(StoreError::Unavailable(_) | StoreError::Full(_)) => {
                tracing::error!(error = %chain(&error), "the database does not answer");
                Self::new(ProblemType::Unavailable)
                    .detail("the database does not answer; what you asked for may or may not be done")
                    .retry_after(Duration::from_secs(2))
            }
            AdminError::Keyring(KeyringError::Lacking { .. } | KeyringError::NoVersion { .. }) => {
                tracing::error!(error = %chain(&error), "this KDC lacks a version of the master key");
                Self::new(ProblemType::Unavailable)
                    .detail("this KDC lacks a version of the master key (see its log): ask another one, or give it that version")
                    .retry_after(Duration::from_secs(10))
            }
            AdminError::Store(_) | AdminError::Keyring(_) | AdminError::Token(_) | AdminError::Json(_) => {
                Self::internal(&error)
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = problem.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if problem.kind == ProblemType::InvalidToken {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Reported(problem.kind));
        response
    }
}

pub(super) async fn not_found() -> Failure {
    Failure::new(ProblemType::NotFound)
}

pub(super) async fn method_not_allowed() -> Failure {
    Failure::new(ProblemType::MethodNotAllowed)
}

/// An error with everything that caused it, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
