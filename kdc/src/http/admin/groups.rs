//! `/v1/admin/groups`: the groups of the zone.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use keycell_protocol::{Generation, Name, NameError, UnixSeconds};
use serde::Deserialize;

use super::answer::{kept, tagged, to_the_end};
use super::body;
use crate::administration::{AdminError, Retry};
use crate::api::{GroupPage, GroupPatch, GroupView, MemberPage, NewGroup};
use crate::groups::GroupRecord;
use crate::http::heavy::heavily;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::policy::Pattern;
use crate::store::Write;
use crate::token::Role;

/// Which page of the groups.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<Name>,
    limit: Option<usize>,
}

/// Which page of whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MembersQuery {
    after: Option<Name>,
    limit: Option<usize>,
    #[serde(default)]
    left_out: bool,
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<GroupPage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = body::limit(query.limit)?;
    let page = kdc.groups().page(query.after.as_ref(), limit);
    let next = if page.len() == limit { page.last().map(|group| group.name.clone()) } else { None };
    Ok(Json(GroupPage { groups: page.iter().map(|group| view(&kdc, group)).collect(), next }))
}

pub(in crate::http) async fn create(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Operator)?;
    let new: NewGroup = body::json(&headers, &body)?;
    let retry = body::retry(&headers, &caller, "POST /v1/admin/groups", &body)?;
    if let Some(answer) = kept(&kdc, retry.as_ref()).await? {
        return Ok(answer);
    }
    to_the_end(async move {
        let keep = |group: &GroupRecord| keep(&kdc, retry.as_ref(), StatusCode::CREATED, group);
        let group = kdc.groups().create(&caller, &new, keep).await?;
        tracing::info!(administrator = %caller.actor, group = %group.name, "group created");
        Ok(one(&kdc, StatusCode::CREATED, &group))
    })
    .await
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    let group = kdc.groups().show(&body::name(name)?)?;
    Ok(one(&kdc, StatusCode::OK, &group))
}

pub(in crate::http) async fn update(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Operator)?;
    let name = body::name(name)?;
    let patch: GroupPatch = body::json(&headers, &body)?;
    let precondition = body::precondition(&headers)?;
    to_the_end(async move {
        let group = kdc.groups().update(&caller, &name, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, "group changed");
        Ok(one(&kdc, StatusCode::OK, &group))
    })
    .await
}

pub(in crate::http) async fn delete(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let caller = operator.may(Role::Operator)?;
    let name = body::name(name)?;
    let precondition = body::precondition(&headers)?;
    to_the_end(async move {
        kdc.groups().delete(&caller, &name, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, "group deleted");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub(in crate::http) async fn rotate(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Operator)?;
    let name = body::name(name)?;
    let precondition = body::precondition(&headers)?;
    let operation = format!("POST /v1/admin/groups/{name}/rotate");
    let retry = body::retry(&headers, &caller, &operation, b"")?;
    if let Some(answer) = kept(&kdc, retry.as_ref()).await? {
        return Ok(answer);
    }
    to_the_end(async move {
        let keep = |group: &GroupRecord| keep(&kdc, retry.as_ref(), StatusCode::OK, group);
        let group = kdc.groups().rotate(&caller, &name, &precondition, keep).await?;
        tracing::info!(administrator = %caller.actor, group = %name, "group rotated");
        Ok(one(&kdc, StatusCode::OK, &group))
    })
    .await
}

pub(in crate::http) async fn members(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
    query: Result<Query<MembersQuery>, QueryRejection>,
) -> Result<Json<MemberPage>, Failure> {
    operator.may(Role::Auditor)?;
    let name = body::name(name)?;
    let MembersQuery { after, limit, left_out } = body::query(query)?;
    let limit = body::limit(limit)?;
    let group = kdc.groups().show(&name)?;
    let page = move |kdc: &Kdc| {
        let total = after.is_none().then(|| kdc.groups().count(&group));
        (kdc.groups().members(&group, after.as_ref(), limit, left_out), total)
    };
    // Where few are members, all parties are looked at.
    let (members, total) = heavily(&kdc, page).await?;
    let next = if members.len() == limit { members.last().map(|member| member.name.clone()) } else { None };
    Ok(Json(MemberPage { members, total, next }))
}

pub(in crate::http) async fn exclude(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Operator)?;
    let (name, party) = group_and_party(names)?;
    let precondition = body::precondition(&headers)?;
    to_the_end(async move {
        let group = kdc.groups().exclude(&caller, &name, &party, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, %party, "party taken out of a group");
        Ok(one(&kdc, StatusCode::OK, &group))
    })
    .await
}

pub(in crate::http) async fn include(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    names: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let caller = operator.may(Role::Operator)?;
    let (name, party) = group_and_party(names)?;
    let precondition = body::precondition(&headers)?;
    to_the_end(async move {
        kdc.groups().include(&caller, &name, &party, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, %party, "party let back into a group");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn group_and_party(names: Result<Path<(String, String)>, PathRejection>) -> Result<(Name, Name), Failure> {
    let Path((group, party)) = names.map_err(|error| body::malformed(error.body_text()))?;
    let name = |text: &str, field: &str| {
        text.parse().map_err(|error: NameError| body::malformed(error.to_string()).field(field))
    };
    Ok((name(&group, "name")?, name(&party, "party")?))
}

fn keep(
    kdc: &Kdc,
    retry: Option<&Retry>,
    status: StatusCode,
    group: &GroupRecord,
) -> Result<Option<Write>, AdminError> {
    retry.map(|retry| retry.keep(kdc.ledger(), status.as_u16(), &view(kdc, group))).transpose()
}

fn one(kdc: &Kdc, status: StatusCode, group: &GroupRecord) -> Response {
    tagged(status, group.revision, &view(kdc, group))
}

fn view(kdc: &Kdc, group: &GroupRecord) -> GroupView {
    let now = kdc.now().seconds();
    let chain = group.chain();
    // A ticket for a group lives no longer than a key of the chain that it is under seals.
    let ends =
        group.chains.iter().filter_map(|chain| Some(chain.ended_at?.plus(chain.lifetime_seconds.into())));
    GroupView {
        name: group.name.clone(),
        revision: group.revision,
        members: group.members.iter().map(Pattern::to_string).collect(),
        excluded: group.excluded.len() as u64,
        lifetime_seconds: group.lifetime_seconds,
        author_proof: group.author_proof,
        note: group.note.clone(),
        created_at: group.created_at,
        updated_at: group.updated_at,
        generation: chain.map_or(Generation(0), |chain| chain.generation(now)),
        chain_began_at: chain.map_or(group.created_at, |chain| chain.begins_at.millis()),
        old_keys_until: ends.max().filter(|end| *end > now).map(UnixSeconds::millis),
    }
}
