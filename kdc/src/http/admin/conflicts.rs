//! `/v1/admin/conflicts`: keys in two places, and hosts with another key.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use keycell_protocol::Name;
use serde::Deserialize;

use super::answer::next;
use super::body::{self, InPath, InQuery};
use super::order::Order;
use crate::administration::Caller;
use crate::api::{ConflictPage, ConflictView, CopiesView, SameHostView};
use crate::enrollment::{ConflictKind, ConflictRecord, Copies, SameHost};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

/// Which page of which conflicts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<Name>,
    limit: Option<usize>,
    kind: Option<ConflictKind>,
    party: Option<Name>,
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<PageQuery>,
) -> Result<Json<ConflictPage>, Failure> {
    operator.may(Role::Auditor)?;
    let PageQuery { after, limit, kind, party } = body::query(query)?;
    let limit = body::limit(limit)?;
    let wanted = |record: &ConflictRecord| {
        after.as_ref().is_none_or(|after| record.party > *after)
            && kind.is_none_or(|kind| record.kinds().any(|of| of == kind))
            && party.as_ref().is_none_or(|party| record.party == *party)
    };
    let conflicts = kdc.conflicts().all().await?.into_iter().filter(wanted);
    let conflicts: Vec<_> = conflicts.take(limit).map(|record| view(&kdc, record)).collect();
    let next = next(&conflicts, limit, |conflict| conflict.party.clone());
    Ok(Json(ConflictPage { conflicts, next }))
}

pub(in crate::http) async fn clear(name: InPath, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Operator)?;
    let party = body::name(name)?;
    let clear = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.conflicts().clear(&caller, &party).await?;
        tracing::info!(administrator = %caller.actor, %party, "conflict cleared");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(clear).await
}

fn view(kdc: &Kdc, record: ConflictRecord) -> ConflictView {
    let ConflictRecord { party, same_host, copies, revision: _ } = record;
    let enabled = kdc.directory().party(party.as_str()).is_some_and(|party| party.enabled());
    let copies = copies.map(|Copies { kind, addresses, first_at, last_at }| CopiesView {
        kind,
        addresses,
        first_at,
        last_at,
    });
    let same_host = same_host.map(|SameHost { others, address, at }| SameHostView { others, address, at });
    ConflictView { party, enabled, copies, same_host }
}
