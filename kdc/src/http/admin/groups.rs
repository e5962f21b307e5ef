//! `/v1/admin/groups`: the groups of the zone.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use keycell_protocol::{Generation, Name, NameError, UnixSeconds};
use serde::Deserialize;

use super::answer::{next, revision, tagged};
use super::body::{self, InPath, InQuery};
use super::order::{Keeper, Order};
use crate::administration::Caller;
use crate::api::{GroupPage, GroupPatch, GroupView, MemberPage, NewGroup};
use crate::groups::GroupRecord;
use crate::http::heavy::heavily;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::policy::Pattern;
use crate::token::Role;

/// Which page of the groups, or of those of a party.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<Name>,
    limit: Option<usize>,
    member: Option<Name>,
    left_out: Option<bool>,
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
    query: InQuery<PageQuery>,
) -> Result<Json<GroupPage>, Failure> {
    operator.may(Role::Auditor)?;
    let PageQuery { after, limit, member, left_out } = body::query(query)?;
    let limit = body::limit(limit)?;
    let groups: Vec<_> = match (&member, left_out) {
        (Some(member), left_out) => {
            let page = kdc.groups().of_party(member, after.as_ref(), limit, left_out.unwrap_or_default())?;
            page.iter()
                .map(|(group, left_out)| GroupView { left_out: *left_out, ..view(&kdc, group) })
                .collect()
        }
        (None, Some(true)) => return Err(body::malformed("it goes with `member`").field("left_out")),
        (None, _) => kdc.groups().page(after.as_ref(), limit).iter().map(|group| view(&kdc, group)).collect(),
    };
    let next = next(&groups, limit, |group| group.name.clone());
    Ok(Json(GroupPage { groups, next }))
}

pub(in crate::http) async fn create(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let new: NewGroup = change.json()?;
    let create = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |group: &GroupRecord| keeper.keep(StatusCode::CREATED, &view(&kdc, group));
        let group = kdc.groups().create(&caller, &new, keep).await?;
        tracing::info!(administrator = %caller.actor, group = %group.name, "group created");
        Ok(one(&kdc, StatusCode::CREATED, &group))
    };
    change.once("POST /v1/admin/groups", create).await
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: InPath,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    let group = kdc.groups().show(&body::name(name)?)?;
    Ok(one(&kdc, StatusCode::OK, &group))
}

pub(in crate::http) async fn update(name: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let patch: GroupPatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let group = kdc.groups().update(&caller, &name, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, "group changed");
        Ok(one(&kdc, StatusCode::OK, &group))
    };
    change.make(update).await
}

pub(in crate::http) async fn delete(name: InPath, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let precondition = change.precondition()?;
    let delete = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.groups().delete(&caller, &name, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, "group deleted");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(delete).await
}

pub(in crate::http) async fn rotate(name: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let precondition = change.precondition()?;
    let operation = format!("POST /v1/admin/groups/{name}/rotate");
    let rotate = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |group: &GroupRecord| keeper.keep(StatusCode::OK, &view(&kdc, group));
        let group = kdc.groups().rotate(&caller, &name, &precondition, keep).await?;
        tracing::info!(administrator = %caller.actor, group = %name, "group rotated");
        Ok(one(&kdc, StatusCode::OK, &group))
    };
    change.once(&operation, rotate).await
}

pub(in crate::http) async fn members(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: InPath,
    query: InQuery<MembersQuery>,
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
    let next = next(&members, limit, |member| member.name.clone());
    Ok(Json(MemberPage { members, total, next }))
}

pub(in crate::http) async fn exclude(names: TwoNames, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let (name, party) = group_and_party(names)?;
    let precondition = change.precondition()?;
    let exclude = |kdc: Arc<Kdc>, caller: Caller| async move {
        let group = kdc.groups().exclude(&caller, &name, &party, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, %party, "party taken out of a group");
        Ok(one(&kdc, StatusCode::OK, &group))
    };
    change.make(exclude).await
}

pub(in crate::http) async fn include(names: TwoNames, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let (name, party) = group_and_party(names)?;
    let precondition = change.precondition()?;
    let include = |kdc: Arc<Kdc>, caller: Caller| async move {
        let group = kdc.groups().include(&caller, &name, &party, &precondition).await?;
        tracing::info!(administrator = %caller.actor, group = %name, %party, "party let back into a group");
        Ok(revision(group.revision))
    };
    change.make(include).await
}

/// A group and a party in a path.
type TwoNames = Result<Path<(String, String)>, PathRejection>;

fn group_and_party(names: TwoNames) -> Result<(Name, Name), Failure> {
    let Path((group, party)) = names.map_err(|error| body::malformed(error.body_text()))?;
    let name = |text: &str, field: &str| {
        text.parse().map_err(|error: NameError| body::malformed(error.to_string()).field(field))
    };
    Ok((name(&group, "name")?, name(&party, "party")?))
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
        left_out: None,
        old_keys_until: ends.max().filter(|end| *end > now).map(UnixSeconds::millis),
    }
}
