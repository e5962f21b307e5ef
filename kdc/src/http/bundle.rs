//! `GET /v1/bundle`: what a host needs before it knows anybody (docs/protocol.md §10).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keycell_protocol::{Bundle, ProblemType};

use super::problem::Failure;
use crate::kdc::Kdc;

pub(super) async fn show(State(kdc): State<Arc<Kdc>>) -> Result<Json<Bundle>, Failure> {
    let config = kdc.config();
    let roots = &config.tls.roots;
    let tls_roots = tokio::fs::read_to_string(roots).await.map_err(|error| {
        tracing::error!(file = %roots.display(), %error, "the roots that hosts are to trust cannot be read");
        Failure::new(ProblemType::Unavailable).detail("the KDC cannot read the file tls.roots: see its log")
    })?;
    Ok(Json(Bundle {
        zone: kdc.zone().clone(),
        urls: config.urls.clone(),
        tls_roots,
        identities: kdc.identities().public(),
        trusted: Vec::new(),
    }))
}
