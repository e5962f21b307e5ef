//! `/livez`, `/readyz` and `/metrics`, for whoever watches the process.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use keycell_protocol::ProblemType;

use super::problem::Failure;
use crate::kdc::Kdc;

/// The process runs.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// It can answer, and what it answers is not out of date.
pub(super) async fn ready(State(kdc): State<Arc<Kdc>>) -> Result<&'static str, Failure> {
    if let Some(lacking) = kdc.ledger().keyring().lacking() {
        return Err(Failure::new(ProblemType::Unavailable).detail(lacking.to_string()));
    }
    if kdc.staleness_ms() > STALE_MS {
        return Err(Failure::new(ProblemType::Unavailable)
            .detail("the database has not answered for a while; changes may not be in force here"));
    }
    Ok("ok\n")
}

pub(super) async fn metrics(State(kdc): State<Arc<Kdc>>) -> Response {
    kdc.measure();
    match kdc.metrics().page() {
        Ok(page) => {
            let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, format)], page).into_response()
        }
        Err(_) => Failure::new(ProblemType::Internal).into_response(),
    }
}

/// A revocation is to hold within a second; past this the KDC says that it may not.
const STALE_MS: u64 = 5_000;
