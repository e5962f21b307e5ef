//! `/v1/admin/tokens` and `/v1/admin/whoami`: who may administer.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{kept, to_the_end};
use super::body;
use crate::api::{NewToken, TokenPage, TokenView, WhoAmI};
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
    query: Result<Query<PageQuery>, QueryRejection>,
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
    let next = if tokens.len() == limit { tokens.last().map(|token| token.id.clone()) } else { None };
    Ok(Json(TokenPage { tokens, next }))
}

pub(in crate::http) async fn create(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Admin)?;
    let new: NewToken = body::json(&headers, &body)?;
    let retry = body::retry(&headers, &caller, "POST /v1/admin/tokens", &body)?;
    if let Some(answer) = kept(&kdc, retry.as_ref()).await? {
        return Ok(answer);
    }
    let created = to_the_end(async move {
        let created = kdc.tokens().create(&caller, &new, retry.as_ref()).await?;
        tracing::info!(administrator = %caller.actor, token = created.info.id, subject = new.subject, role = %new.role, "token created");
        Ok(created)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<TokenView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.tokens().show(&token_id(id)?)?))
}

pub(in crate::http) async fn revoke(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Failure> {
    let id = token_id(id);
    // Whoever lost a token may always make it useless; another's only an admin may.
    let own = id.as_ref().is_ok_and(|id| operator.uses(id));
    let caller = operator.may(if own { Role::Auditor } else { Role::Admin })?;
    let id = id?;
    to_the_end(async move {
        kdc.tokens().revoke(&caller, &id).await?;
        tracing::info!(administrator = %caller.actor, token = id, "token revoked");
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn token_id(id: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    let id = body::text(id)?;
    if id.len() == 24 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(id);
    }
    Err(body::malformed("the id of a token is 24 of 0-9 a-f").field("id"))
}
