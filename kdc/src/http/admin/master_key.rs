//! `/v1/admin/master-key` and `/v1/admin/ratchet`: what keys at rest are wrapped under, and how they turn.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use keycell_protocol::Epoch;

use super::answer::to_the_end;
use super::body;
use crate::api::{MasterKeyView, RatchetConfirmation, RatchetView};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<MasterKeyView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.master_key().show().await?))
}

pub(in crate::http) async fn rotate(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<MasterKeyView>, Failure> {
    let caller = operator.may(Role::Admin)?;
    let view = to_the_end(async move {
        let view = kdc.master_key().rotate(&caller).await?;
        tracing::info!(administrator = %caller.actor, version = view.active, "master key rotated");
        Ok(view)
    })
    .await?;
    Ok(Json(view))
}

pub(in crate::http) async fn ratchet(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<RatchetView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.master_key().ratchet().await?))
}

pub(in crate::http) async fn confirm(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<RatchetView>, Failure> {
    let caller = operator.may(Role::Admin)?;
    let RatchetConfirmation { epoch } = body::json(&headers, &body)?;
    let view = to_the_end(async move {
        let view = kdc.master_key().confirm(&caller, Epoch(epoch)).await?;
        tracing::info!(administrator = %caller.actor, epoch, "clock confirmed");
        Ok(view)
    })
    .await?;
    Ok(Json(view))
}
