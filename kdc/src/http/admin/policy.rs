//! `/v1/admin/policy`: who may speak to whom.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use keycell_protocol::Name;
use serde::{Deserialize, Serialize};

use super::answer::{next, tagged};
use super::body::{self, InPath, InQuery};
use super::order::{Keeper, Order};
use crate::administration::{Caller, Groups};
use crate::api::{NewRule, PolicyTest, PolicyView, ProfileView, RulePage, RulePatch, RuleView, Rules};
use crate::directory;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::policy::{Explanation, Profile, Rule, RuleId};
use crate::token::Role;

/// Which page of the rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<RuleId>,
    limit: Option<usize>,
    destination: Option<Name>,
}

/// Whether it is only a question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReplaceQuery {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
pub(in crate::http) struct Profiles {
    profiles: Vec<ProfileView>,
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    Ok(whole(&kdc, &kdc.policies().rules()))
}

pub(in crate::http) async fn replace(
    query: InQuery<ReplaceQuery>,
    order: Order,
) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let ReplaceQuery { dry_run } = body::query(query)?;
    let Rules { rules } = change.json()?;
    let precondition = change.precondition()?;
    let replace = |kdc: Arc<Kdc>, caller: Caller| async move {
        let policy = kdc.policies().replace(&caller, &rules, &precondition, dry_run).await?;
        if !dry_run {
            tracing::info!(administrator = %caller.actor, rules = policy.policy.rules().len(), "policy replaced");
        }
        Ok(whole(&kdc, &policy))
    };
    change.make(replace).await
}

pub(in crate::http) async fn test(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Explanation>, Failure> {
    operator.may(Role::Auditor)?;
    let test: PolicyTest = body::json(&headers, &body)?;
    let name = |text: &str, field: &str| {
        Name::in_zone(text, kdc.zone()).map_err(|error| body::malformed(error.to_string()).field(field))
    };
    let (source, destination) = (name(&test.source, "source")?, name(&test.destination, "destination")?);
    let at = test.at.unwrap_or_else(|| kdc.now());
    let told = kdc.policies().rules().policy.explain(&source, &destination, at);
    Ok(Json(about_groups(told, kdc.groups())))
}

pub(in crate::http) async fn profiles(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<Profiles>, Failure> {
    operator.may(Role::Auditor)?;
    let profile = |profile: &Profile| ProfileView {
        name: profile.to_string(),
        summary: profile.summary().to_owned(),
        rules: profile
            .rules(kdc.zone(), true, kdc.now())
            .unwrap_or_default()
            .iter()
            .map(|rule| new_rule(view(&kdc, rule)))
            .collect(),
    };
    Ok(Json(Profiles { profiles: Profile::ALL.iter().map(profile).collect() }))
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<PageQuery>,
) -> Result<Json<RulePage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = body::limit(query.limit)?;
    let rules = kdc.policies().rules();
    let wanted = |rule: &&Rule| {
        query.after.as_ref().is_none_or(|after| rule.id > *after)
            && query.destination.as_ref().is_none_or(|name| rule.destination.matches(name))
    };
    let page: Vec<_> =
        rules.by_id().into_iter().filter(wanted).take(limit).map(|rule| view(&kdc, rule)).collect();
    let next = next(&page, limit, |rule| rule.id.clone());
    Ok(Json(RulePage { rules: page, next }))
}

pub(in crate::http) async fn create(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let new: NewRule = change.json()?;
    let create = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |rule: &Rule| keeper.keep(StatusCode::CREATED, &view(&kdc, rule));
        let rule = kdc.policies().create(&caller, &new, keep).await?;
        tracing::info!(administrator = %caller.actor, rule = %rule.id, "rule created");
        Ok(one(&kdc, StatusCode::CREATED, &rule))
    };
    change.once("POST /v1/admin/policy/rules", create).await
}

pub(in crate::http) async fn show_rule(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    id: InPath,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    Ok(one(&kdc, StatusCode::OK, &kdc.policies().show(&rule_id(id)?)?))
}

pub(in crate::http) async fn update(id: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let id = rule_id(id)?;
    let patch: RulePatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let rule = kdc.policies().update(&caller, &id, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, rule = %rule.id, "rule changed");
        Ok(one(&kdc, StatusCode::OK, &rule))
    };
    change.make(update).await
}

pub(in crate::http) async fn delete(id: InPath, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Admin)?;
    let id = rule_id(id)?;
    let precondition = change.precondition()?;
    let delete = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.policies().delete(&caller, &id, &precondition).await?;
        tracing::info!(administrator = %caller.actor, rule = id, "rule deleted");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(delete).await
}

/// What groups have to say besides the policy.
fn about_groups(mut told: Explanation, groups: &Groups) -> Explanation {
    if groups.show(&told.source).is_ok() {
        told.why.push_str(&format!("; but {} is a group, and only parties ask for tickets", told.source));
    }
    if let Ok(group) = groups.show(&told.destination)
        && told.lifetime_seconds.is_some_and(|seconds| seconds > group.lifetime_seconds)
    {
        told.lifetime_seconds = Some(group.lifetime_seconds);
        told.why.push_str(&format!("; the lifetime of the group cuts that to {} s", group.lifetime_seconds));
    }
    told
}

fn rule_id(id: InPath) -> Result<String, Failure> {
    let id: RuleId = body::text(id)?
        .parse()
        .map_err(|error: crate::policy::RuleIdError| body::malformed(error.to_string()).field("id"))?;
    Ok(id.as_str().to_owned())
}

fn one(kdc: &Kdc, status: StatusCode, rule: &Rule) -> Response {
    tagged(status, rule.revision, &view(kdc, rule))
}

fn whole(kdc: &Kdc, rules: &directory::Rules) -> Response {
    let revision = rules.change.0;
    let view =
        PolicyView { revision, rules: rules.by_id().into_iter().map(|rule| view(kdc, rule)).collect() };
    tagged(StatusCode::OK, revision, &view)
}

fn view(kdc: &Kdc, rule: &Rule) -> RuleView {
    RuleView {
        id: rule.id.to_string(),
        revision: rule.revision,
        effect: rule.grant.effect().to_string(),
        mode: rule.mode.to_string(),
        source: rule.source.to_string(),
        destination: rule.destination.to_string(),
        max_lifetime_seconds: rule.grant.max_lifetime_seconds(),
        note: rule.note.to_string(),
        expires_at: rule.expires_at,
        created_at: rule.created_at,
        updated_at: rule.updated_at,
        warning: kdc.groups().never_asks(&rule.source).map(|(group, members)| {
            let members = members.map_or_else(String::new, |members| format!(", such as {members}"));
            format!("{group} is a group, and only parties ask for tickets: write who is to ask{members}")
        }),
    }
}

fn new_rule(rule: RuleView) -> NewRule {
    NewRule {
        id: Some(rule.id),
        effect: rule.effect,
        mode: Some(rule.mode),
        source: rule.source,
        destination: rule.destination,
        max_lifetime_seconds: rule.max_lifetime_seconds,
        note: rule.note,
        expires_at: rule.expires_at,
    }
}
