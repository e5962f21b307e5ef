//! `/v1/admin/join-tokens`: what lets hosts in that nobody knows yet.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use keycell_protocol::{JoinTokenError, JoinTokenId, ServiceName};
use serde::Deserialize;

use super::answer::next;
use super::body::{self, InPath, InQuery};
use super::order::{Keeper, Order};
use crate::administration::Caller;
use crate::api::{CreatedJoinToken, JoinTokenPage, JoinTokenState, JoinTokenView, NewJoinToken};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

/// Which page of which join tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<JoinTokenId>,
    limit: Option<usize>,
    state: Option<JoinTokenState>,
    service: Option<ServiceName>,
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<PageQuery>,
) -> Result<Json<JoinTokenPage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = body::limit(query.limit)?;
    if let Some(after) = query.after {
        // Without it, the pages would begin anew.
        kdc.join_tokens().show(after).map_err(|error| body::malformed(error.to_string()).field("after"))?;
    }
    let wanted = |view: &JoinTokenView| {
        query.state.is_none_or(|state| state == view.state)
            && query.service.as_ref().is_none_or(|service| *service == view.service)
    };
    let join_tokens = kdc.join_tokens().page(query.after, limit, wanted);
    let next = next(&join_tokens, limit, |token| token.id);
    Ok(Json(JoinTokenPage { join_tokens, next }))
}

pub(in crate::http) async fn create(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let new: NewJoinToken = change.json()?;
    let create = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |created: &CreatedJoinToken| keeper.keep(StatusCode::CREATED, created);
        let created = kdc.join_tokens().create(&caller, &new, keep).await?;
        tracing::info!(administrator = %caller.actor, join_token = %created.info.id, service = %new.service, "join token created");
        Ok((StatusCode::CREATED, Json(created)).into_response())
    };
    change.once("POST /v1/admin/join-tokens", create).await
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    id: InPath,
) -> Result<Json<JoinTokenView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.join_tokens().show(token_id(id)?)?))
}

pub(in crate::http) async fn revoke(id: InPath, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Operator)?;
    let id = token_id(id)?;
    let revoke = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.join_tokens().revoke(&caller, id).await?;
        tracing::info!(administrator = %caller.actor, join_token = %id, "join token revoked");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(revoke).await
}

fn token_id(id: InPath) -> Result<JoinTokenId, Failure> {
    body::text(id)?.parse().map_err(|error: JoinTokenError| body::malformed(error.to_string()).field("id"))
}
