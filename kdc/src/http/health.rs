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

/// It can answer, what it answers is not out of date, and there is room for what changes.
pub(super) async fn ready(State(kdc): State<Arc<Kdc>>) -> Result<&'static str, Failure> {
    match kdc.unready() {
        Some(why) => Err(Failure::new(ProblemType::Unavailable).detail(why)),
        None => Ok("ok\n"),
    }
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
