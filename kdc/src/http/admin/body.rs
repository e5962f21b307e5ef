//! Reading what an administrator sent, with problems instead of the framework's own errors.

use std::error::Error;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{HeaderMap, header};
use keycell_protocol::{Name, ProblemType};
use serde::de::DeserializeOwned;

use crate::administration::{AdminError, Caller, Precondition, Retry};
use crate::api::Object;
use crate::http::problem::Failure;

/// The one parameter of a path, before it is looked at.
pub(crate) type InPath = Result<axum::extract::Path<String>, PathRejection>;

/// The parameters of a query, before they are looked at.
pub(crate) type InQuery<T> = Result<axum::extract::Query<T>, QueryRejection>;

/// Refuses a body that does not say that it is JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    if media_type(headers).eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Failure::new(ProblemType::UnsupportedMediaType)
            .detail("send Content-Type: application/json")
            .field("Content-Type"))
    }
}

/// The media type of a body, without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Reads a JSON body; the problem says where it goes wrong.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Failure> {
    require_json(headers)?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let failure = malformed(error.into_inner().to_string());
        if path == "." { failure } else { failure.field(path) }
    })?;
    reader.end().map_err(|error| malformed(error.to_string()))?;
    Ok(value)
}

/// Reads the name in a path.
pub(crate) fn name(path: InPath) -> Result<Name, Failure> {
    text(path)?
        .parse()
        .map_err(|error: keycell_protocol::NameError| malformed(error.to_string()).field("name"))
}

/// Reads the one parameter of a path.
pub(crate) fn text(path: InPath) -> Result<String, Failure> {
    path.map(|axum::extract::Path(text)| text).map_err(|error| malformed(error.body_text()))
}

/// Reads the parameters of a query.
pub(crate) fn query<T>(query: InQuery<T>) -> Result<T, Failure> {
    query.map(|axum::extract::Query(value)| value).map_err(|rejection| {
        // The parameter that is at fault is known to the error under the framework's own.
        let cause = rejection.source().and_then(Error::source);
        match cause
            .and_then(|cause| cause.downcast_ref::<serde_path_to_error::Error<serde::de::value::Error>>())
        {
            Some(error) if error.path().iter().len() > 0 => {
                malformed(error.inner().to_string()).field(error.path().to_string())
            }
            Some(error) => malformed(error.inner().to_string()),
            None => malformed(rejection.body_text()),
        }
    })
}

/// How many a page is to have.
pub(crate) fn limit(limit: Option<usize>) -> Result<usize, Failure> {
    match limit.unwrap_or(DEFAULT_PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit),
        _ => Err(malformed("1 to 1000").field("limit")),
    }
}

/// Reads `If-Match`: absent, `*`, or revisions in quotes.
pub(crate) fn precondition(headers: &HeaderMap) -> Result<Precondition, Failure> {
    let wrong = || malformed("write a revision in quotes, as the ETag has it, or *").field("If-Match");
    let mut revisions = Vec::new();
    let mut given = false;
    for value in headers.get_all(header::IF_MATCH) {
        given = true;
        let value = value.to_str().map_err(|_| wrong())?;
        for tag in value.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Precondition::NONE);
            }
            // A proxy that compresses makes a tag weak; it names the same revision.
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(wrong)?;
            // A tag that is no revision is one that nothing has.
            revisions.extend(tag.parse::<u64>());
        }
    }
    Ok(if given { Precondition::one_of(revisions) } else { Precondition::NONE })
}

/// Reads `Idempotency-Key`.
pub(crate) fn retry(
    headers: &HeaderMap,
    caller: &Caller,
    operation: &str,
    body: &[u8],
) -> Result<Option<Retry>, Failure> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    // What is not visible ASCII is refused as such.
    let key = key.to_str().unwrap_or_default();
    Ok(Some(Retry::new(caller, key, operation, body).map_err(|error: AdminError| Failure::from(error))?))
}

pub(crate) fn malformed(detail: impl Into<String>) -> Failure {
    // A reader's complaint may quote the whole body.
    let detail: String = detail.into().chars().take(DETAIL).collect();
    Failure::new(ProblemType::MalformedRequest).detail(detail)
}

/// The longest detail, in characters.
const DETAIL: usize = 1000;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
