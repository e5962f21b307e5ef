//! `/v1/admin/enrollments`: hosts that an administrator decides on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use keycell_protocol::{Fingerprint, ServiceName};
use serde::Deserialize;

use super::answer::{next, tagged};
use super::body::{self, InPath, InQuery};
use super::order::Order;
use crate::administration::{Caller, WaitingFilter};
use crate::api::{WaitingPage, WaitingView};
use crate::enrollment::{HostPattern, WaitingState};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

/// Which page of which hosts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<Fingerprint>,
    limit: Option<usize>,
    state: Option<WaitingState>,
    service: Option<ServiceName>,
    host: Option<HostPattern>,
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<PageQuery>,
) -> Result<Json<WaitingPage>, Failure> {
    operator.may(Role::Auditor)?;
    let PageQuery { after, limit, state, service, host } = body::query(query)?;
    let limit = body::limit(limit)?;
    // Whom few match, all are looked at.
    let _place = kdc.heavy().acquire_owned().await;
    let enrollments = kdc.waiting().page(after, limit, &WaitingFilter { state, service, host }).await?;
    let next = next(&enrollments, limit, |host| host.fingerprint);
    Ok(Json(WaitingPage { enrollments, next }))
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    fingerprint: InPath,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    Ok(one(&kdc.waiting().show(read(fingerprint)?).await?))
}

pub(in crate::http) async fn approve(fingerprint: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let fingerprint = read(fingerprint)?;
    let precondition = change.precondition()?;
    let approve = |kdc: Arc<Kdc>, caller: Caller| async move {
        let host = kdc.waiting().approve(&caller, fingerprint, &precondition).await?;
        tracing::info!(administrator = %caller.actor, %fingerprint, "host approved");
        Ok(one(&host))
    };
    change.make(approve).await
}

pub(in crate::http) async fn deny(fingerprint: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let fingerprint = read(fingerprint)?;
    let precondition = change.precondition()?;
    let deny = |kdc: Arc<Kdc>, caller: Caller| async move {
        let host = kdc.waiting().deny(&caller, fingerprint, &precondition).await?;
        tracing::info!(administrator = %caller.actor, %fingerprint, "host denied");
        Ok(one(&host))
    };
    change.make(deny).await
}

pub(in crate::http) async fn forget(fingerprint: InPath, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Operator)?;
    let fingerprint = read(fingerprint)?;
    let precondition = change.precondition()?;
    let forget = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.waiting().forget(&caller, fingerprint, &precondition).await?;
        tracing::info!(administrator = %caller.actor, %fingerprint, "host forgotten");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(forget).await
}

fn one(host: &WaitingView) -> Response {
    tagged(StatusCode::OK, host.revision, host)
}

fn read(fingerprint: InPath) -> Result<Fingerprint, Failure> {
    let wrong = |error: keycell_protocol::NameError| body::malformed(error.to_string()).field("fingerprint");
    body::text(fingerprint)?.parse().map_err(wrong)
}
