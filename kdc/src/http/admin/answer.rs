//! What administrators get back, and how a change is seen through.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::ProblemType;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use crate::administration::{AdminError, Kept, Retry};
use crate::http::problem::Failure;
use crate::kdc::Kdc;

/// A body with the revision that it is of.
pub(crate) fn tagged(status: StatusCode, revision: u64, body: &impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    tag(&mut response, revision);
    response
}

/// Where the page after this one begins, if there may be one.
pub(crate) fn next<T, K>(page: &[T], limit: usize, key: impl FnOnce(&T) -> K) -> Option<K> {
    page.last().filter(|_| page.len() == limit).map(key)
}

/// Nothing but the revision that something is at.
pub(crate) fn revision(revision: u64) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    tag(&mut response, revision);
    response
}

/// Runs a change to its end, and to its line in the log, also when the client has gone.
pub(crate) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, AdminError>> + Send + 'static,
) -> Result<T, Failure> {
    let task = tokio::spawn(change.in_current_span());
    Ok(task.await.map_err(|_| Failure::new(ProblemType::Internal))??)
}

/// The answer of an earlier try, if this is a retry.
pub(crate) async fn kept(kdc: &Arc<Kdc>, retry: Option<&Retry>) -> Result<Option<Response>, Failure> {
    let Some(retry) = retry else { return Ok(None) };
    let Some(Kept { status, body }) = retry.kept(kdc.ledger()).await? else { return Ok(None) };
    let status = StatusCode::from_u16(status).map_err(|_| Failure::new(ProblemType::Internal))?;
    let json = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true")),
    ];
    let mut response = (status, json, body.to_vec()).into_response();
    if let Some(revision) = serde_json::from_slice(&body).ok().and_then(|Body { revision, party, trust }| {
        revision.or_else(|| party.or(trust).map(|inside| inside.revision))
    }) {
        tag(&mut response, revision);
    }
    Ok(Some(response))
}

fn tag(response: &mut Response, revision: u64) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// Where a body has the revision that it is of: a rule at the top, a new party or a trust inside.
#[derive(Deserialize)]
struct Body {
    revision: Option<u64>,
    party: Option<Revised>,
    trust: Option<Revised>,
}

#[derive(Deserialize)]
struct Revised {
    revision: u64,
}
