//! A change that an administrator asks for: from what was sent to the answer.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::{kept, to_the_end};
use super::body;
use crate::administration::{AdminError, Caller, Precondition, Retry};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::store::Write;
use crate::token::Role;

/// What was sent with a token that holds, and nothing else looked at yet.
pub(in crate::http) struct Order {
    operator: Operator,
    kdc: Arc<Kdc>,
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest<Arc<Kdc>> for Order {
    type Rejection = Failure;

    async fn from_request(request: Request, kdc: &Arc<Kdc>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let operator = Operator::from_request_parts(&mut parts, kdc).await?;
        let headers = parts.headers.clone();
        let body = Bytes::from_request(Request::from_parts(parts, body), kdc).await;
        let body = body.map_err(|error| body::malformed(error.body_text()))?;
        Ok(Self { operator, kdc: kdc.clone(), headers, body })
    }
}

impl Order {
    /// The order, if the role of who gave it reaches as far as `needed`.
    pub(super) fn by(self, needed: Role) -> Result<Change, Failure> {
        let Self { operator, kdc, headers, body } = self;
        Ok(Change { caller: operator.may(needed)?, kdc, headers, body })
    }
}

/// A change that its caller may make.
pub(super) struct Change {
    caller: Caller,
    kdc: Arc<Kdc>,
    headers: HeaderMap,
    body: Bytes,
}

impl Change {
    /// At which KDC.
    pub(super) fn kdc(&self) -> &Arc<Kdc> {
        &self.kdc
    }

    /// Reads the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        body::json(&self.headers, &self.body)
    }

    /// Reads `If-Match`.
    pub(super) fn precondition(&self) -> Result<Precondition, Failure> {
        body::precondition(&self.headers)
    }

    /// Makes the change, to its end, also when the client has gone.
    pub(super) async fn make<T, F>(self, change: impl FnOnce(Arc<Kdc>, Caller) -> F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AdminError>> + Send + 'static,
    {
        to_the_end(change(self.kdc, self.caller)).await
    }

    /// Makes the change once for each `Idempotency-Key`: a retry gets the answer that [`Keeper`] kept.
    pub(super) async fn once<F>(
        self,
        operation: &str,
        change: impl FnOnce(Arc<Kdc>, Caller, Keeper) -> F,
    ) -> Result<Response, Failure>
    where
        F: Future<Output = Result<Response, AdminError>> + Send + 'static,
    {
        let Self { caller, kdc, headers, body } = self;
        let retry = body::retry(&headers, &caller, operation, &body)?;
        if let Some(answer) = kept(&kdc, retry.as_ref()).await? {
            return Ok(answer);
        }
        let keeper = Keeper { kdc: kdc.clone(), retry };
        to_the_end(change(kdc, caller, keeper)).await
    }
}

/// Keeps the answer for a retry, where the client may send one.
pub(super) struct Keeper {
    kdc: Arc<Kdc>,
    retry: Option<Retry>,
}

impl Keeper {
    /// The write that is to be part of the change.
    pub(super) fn keep(
        &self,
        status: StatusCode,
        answer: &impl Serialize,
    ) -> Result<Option<Write>, AdminError> {
        let Self { kdc, retry } = self;
        retry.as_ref().map(|retry| retry.keep(kdc.ledger(), status.as_u16(), answer)).transpose()
    }
}
