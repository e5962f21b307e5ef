//! `/v1/admin/tokens` and `/v1/admin/whoami`: who may administer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{next, to_the_end};
use super::body::{self, InPath, InQuery};
use super::order::{Keeper, Order};
use crate::administration::Caller;
use crate::api::{CreatedToken, NewToken, TokenPage, TokenView, WhoAmI};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::{Role, TokenRecord};

/// Which page of which tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
    state: Option<TokenState>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenState {
    Live,
    Expired,
    Revoked,
}

pub(in crate::http) async fn whoami(operator: Operator) -> Result<Json<WhoAmI>, Failure> {
    let caller = operator.may(Role::Auditor)?;
    Ok(Json(WhoAmI {
        actor: caller.actor.to_string(),
        role: caller.role,
        expires_at: caller.expires_at,
        token: caller.token,
    }))
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<PageQuery>,
) -> Result<Json<TokenPage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = body::limit(query.limit)?;
    if let Some(after) = &query.after {
        // Without it, the pages would begin anew.
        kdc.tokens().show(after).map_err(|error| body::malformed(error.to_string()).field("after"))?;
    }
    let now = kdc.now();
    let wanted = |record: &TokenRecord| match query.state {
        None => true,
        Some(TokenState::Live) => record.is_live(now),
        Some(TokenState::Revoked) => record.revoked_at.is_some(),
        Some(TokenState::Expired) => record.revoked_at.is_none() && record.expires_at <= now,
    };
    let tokens = kdc.tokens().page(query.after.as_deref(), limit, wanted);
    let next = next(&tokens, limit, |token| token.id.clone());
    Ok(Json(TokenPage { tokens, next }))
}

pub(in crate::http) async fn create(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let new: NewToken = change.json()?;
    let create = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |created: &CreatedToken| keeper.keep(StatusCode::CREATED, created);
        let created = kdc.tokens().create(&caller, &new, keep).await?;
        tracing::info!(administrator = %caller.actor, token = created.info.id, subject = new.subject, role = %new.role, "token created");
        Ok((StatusCode::CREATED, Json(created)).into_response())
    };
    change.once("POST /v1/admin/tokens", create).await
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    id: InPath,
) -> Result<Json<TokenView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.tokens().show(&token_id(id)?)?))
}

pub(in crate::http) async fn revoke(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    id: InPath,
) -> Result<StatusCode, Failure> {
    let id = token_id(id);
    // Whoever lost a token may always make it useless; another's only an admin may.
    let own = id.as_ref().is_ok_and(|id| operator.uses(id));
    let caller = operator.may(if own { Role::Auditor } else { Role::Admin })?;
    let id = id?;
    to_the_end(async move {
        kdc.tokens().revoke(&caller, &id).await?;
        tracing::info!(administrator = %caller.actor, token = id, "token revoked");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn token_id(id: InPath) -> Result<String, Failure> {
    let id = body::text(id)?;
    if id.len() == 24 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(id);
    }
    Err(body::malformed("the id of a token is 24 of 0-9 a-f").field("id"))
}
