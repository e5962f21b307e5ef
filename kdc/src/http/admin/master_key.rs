//! `/v1/admin/master-key` and `/v1/admin/ratchet`: what keys at rest are wrapped under, and how they turn.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keycell_protocol::Epoch;

use super::order::Order;
use crate::administration::Caller;
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

pub(in crate::http) async fn rotate(order: Order) -> Result<Json<MasterKeyView>, Failure> {
    let change = order.by(Role::Admin)?;
    let rotate = |kdc: Arc<Kdc>, caller: Caller| async move {
        let view = kdc.master_key().rotate(&caller).await?;
        tracing::info!(administrator = %caller.actor, version = view.active, "master key rotated");
        Ok(Json(view))
    };
    change.make(rotate).await
}

pub(in crate::http) async fn ratchet(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<RatchetView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.master_key().ratchet().await?))
}

pub(in crate::http) async fn confirm(order: Order) -> Result<Json<RatchetView>, Failure> {
    let change = order.by(Role::Admin)?;
    let RatchetConfirmation { epoch } = change.json()?;
    let confirm = |kdc: Arc<Kdc>, caller: Caller| async move {
        let view = kdc.master_key().confirm(&caller, Epoch(epoch)).await?;
        tracing::info!(administrator = %caller.actor, epoch, "clock confirmed");
        Ok(Json(view))
    };
    change.make(confirm).await
}
