//! `GET /v1/bundle`: what a host needs before it knows anybody (docs/protocol.md §10).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keycell_protocol::{Bundle, ProblemType};

use super::problem::Failure;
use crate::kdc::Kdc;

pub(super) async fn show(State(kdc): State<Arc<Kdc>>) -> Result<Json<Bundle>, Failure> {
    let unread = || {
        Failure::new(ProblemType::Unavailable).detail("the KDC cannot read the file tls.roots: see its log")
    };
    kdc.bundle().await.map(Json).ok_or_else(unread)
}
