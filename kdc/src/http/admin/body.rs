//! Reading what an administrator sent, with problems instead of the framework's own errors.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderMap, header};
use keycell_protocol::{Name, ProblemType};
use serde::de::DeserializeOwned;

use crate::http::problem::Failure;

/// Refuses a body that does not say that it is JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Failure::new(ProblemType::UnsupportedMediaType).detail("send Content-Type: application/json"))
    }
}

/// Reads a JSON body; the problem says where it goes wrong.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Failure> {
    require_json(headers)?;
    serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))
}

/// Reads the name in a path.
pub(crate) fn name(path: Result<axum::extract::Path<String>, PathRejection>) -> Result<Name, Failure> {
    let axum::extract::Path(text) = path.map_err(|error| malformed(error.body_text()))?;
    text.parse().map_err(|error| malformed(format!("name: {error}")))
}

/// Reads the parameters of a query.
pub(crate) fn query<T>(query: Result<axum::extract::Query<T>, QueryRejection>) -> Result<T, Failure> {
    query.map(|axum::extract::Query(value)| value).map_err(|error| malformed(error.body_text()))
}

pub(crate) fn malformed(detail: impl Into<String>) -> Failure {
    Failure::new(ProblemType::MalformedRequest).detail(detail)
}
