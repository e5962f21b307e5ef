//! `/v1/admin/trusts`: which zones trust each other, and how far.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use keycell_protocol::{ProblemType, UnixSeconds, Zone};

use super::answer::tagged;
use super::body;
use super::order::{Keeper, Order};
use crate::administration::{Accepted, AdminError, Caller, OfferMade, Trust, trust_state};
use crate::api::{NewTrust, NewTrustOffer, TrustList, TrustOffered, TrustPatch, TrustState, TrustView};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::policy::Pattern;
use crate::token::Role;
use crate::trust::{Direction, UnknownDirection};

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<TrustList>, Failure> {
    operator.may(Role::Auditor)?;
    let trusts = kdc.trusts().list().await?;
    Ok(Json(TrustList { trusts: trusts.iter().map(|trust| seen(&kdc, trust)).collect() }))
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    which: Which,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    let (direction, zone) = direction_and_zone(which)?;
    let trust = kdc.trusts().show(direction, &zone).await?;
    Ok(tagged(StatusCode::OK, trust.record.revision, &seen(&kdc, &trust)))
}

pub(in crate::http) async fn offer(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let new: NewTrustOffer = change.json()?;
    let unread = || {
        Failure::new(ProblemType::Unavailable).detail("the KDC cannot read the file tls.roots: see its log")
    };
    let own = change.kdc().bundle().await.ok_or_else(unread)?;
    let valid_seconds = new.valid_seconds;
    let (to, terms) = terms_of_offer(new);
    let offer = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |made: &OfferMade| keeper.keep(StatusCode::CREATED, &offered(made));
        let made = kdc.trusts().offer(&caller, (&own, &to), &terms, valid_seconds, keep).await?;
        tracing::info!(administrator = %caller.actor, zone = %to.zone, "trust offered");
        Ok(tagged(StatusCode::CREATED, made.trust.record.revision, &offered(&made)))
    };
    change.once("POST /v1/admin/trusts/offers", offer).await
}

pub(in crate::http) async fn accept(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let new: NewTrust = change.json()?;
    let terms = terms(&new);
    let accept = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |trust: &Trust| keeper.keep(StatusCode::CREATED, &view(trust));
        let Accepted { trust, again } = kdc.trusts().accept(&caller, &new, &terms, keep).await?;
        tracing::info!(administrator = %caller.actor, zone = %trust.record.zone, again, "the offer of a trust is accepted");
        Ok(one(if again { StatusCode::OK } else { StatusCode::CREATED }, &trust))
    };
    change.once("POST /v1/admin/trusts/accepted", accept).await
}

pub(in crate::http) async fn update(which: Which, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let (direction, zone) = direction_and_zone(which)?;
    let patch: TrustPatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let trust = kdc.trusts().update(&caller, direction, &zone, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, trust = trust.record.id(), "trust changed");
        Ok(one(StatusCode::OK, &trust))
    };
    change.make(update).await
}

pub(in crate::http) async fn delete(which: Which, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Admin)?;
    let (direction, zone) = direction_and_zone(which)?;
    let precondition = change.precondition()?;
    let delete = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.trusts().delete(&caller, direction, &zone, &precondition).await?;
        tracing::info!(administrator = %caller.actor, %direction, %zone, "trust deleted");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(delete).await
}

pub(in crate::http) async fn rotate(which: Which, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let (direction, zone) = direction_and_zone(which)?;
    let precondition = change.precondition()?;
    let operation = format!("POST /v1/admin/trusts/{direction}/{zone}/rotate");
    let rotate = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let keep = |trust: &Trust| -> Result<_, AdminError> { keeper.keep(StatusCode::OK, &view(trust)) };
        let trust = kdc.trusts().rotate(&caller, direction, &zone, &precondition, keep).await?;
        tracing::info!(administrator = %caller.actor, %direction, %zone, "the key of a trust is to be replaced");
        Ok(one(StatusCode::OK, &trust))
    };
    change.once(&operation, rotate).await
}

/// A direction and a zone in a path.
type Which = Result<Path<(String, String)>, PathRejection>;

fn direction_and_zone(which: Which) -> Result<(Direction, Zone), Failure> {
    let Path((direction, zone)) = which.map_err(|error| body::malformed(error.body_text()))?;
    let direction = direction
        .parse()
        .map_err(|error: UnknownDirection| body::malformed(error.to_string()).field("direction"))?;
    let zone = zone
        .parse()
        .map_err(|error: keycell_protocol::NameError| body::malformed(error.to_string()).field("zone"))?;
    Ok((direction, zone))
}

fn terms_of_offer(new: NewTrustOffer) -> (keycell_protocol::Bundle, TrustPatch) {
    let NewTrustOffer {
        bundle,
        fingerprint,
        sources,
        destinations,
        lifetime_seconds,
        rate,
        mode,
        log_tickets,
        note,
        valid_seconds: _,
    } = new;
    let terms = TrustPatch {
        fingerprint,
        sources,
        destinations,
        lifetime_seconds,
        rate,
        mode,
        log_tickets,
        note,
        ..TrustPatch::default()
    };
    (bundle, terms)
}

fn terms(new: &NewTrust) -> TrustPatch {
    TrustPatch {
        sources: new.sources.clone(),
        destinations: new.destinations.clone(),
        lifetime_seconds: new.lifetime_seconds,
        rate: new.rate,
        mode: new.mode,
        log_tickets: new.log_tickets,
        note: new.note.clone(),
        ..TrustPatch::default()
    }
}

fn one(status: StatusCode, trust: &Trust) -> Response {
    tagged(status, trust.record.revision, &view(trust))
}

fn offered(made: &OfferMade) -> TrustOffered {
    TrustOffered {
        trust: view(&made.trust),
        offer: made.offer.to_text(),
        expires_at: UnixSeconds::millis(made.offer.claims().expires_at),
        fingerprint: made.fingerprint.to_string(),
    }
}

/// With what this KDC has seen of the other one.
fn seen(kdc: &Kdc, trust: &Trust) -> TrustView {
    let TrustState { last_answer, last_request, last_outcome, .. } = trust_state(kdc, &trust.record);
    TrustView { last_answer, last_request, last_outcome, ..view(trust) }
}

fn view(trust: &Trust) -> TrustView {
    let record = &trust.record;
    let texts = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_string).collect();
    TrustView {
        direction: record.direction,
        zone: record.zone.clone(),
        revision: record.revision,
        enabled: record.enabled,
        mode: record.mode,
        sources: texts(&record.sources),
        destinations: texts(&record.destinations),
        lifetime_seconds: record.lifetime_seconds,
        rate: record.rate,
        log_tickets: record.log_tickets,
        note: record.note.clone(),
        identities: record.identities.iter().map(|identity| identity.name).collect(),
        fingerprint: record.known_as().fingerprint().to_string(),
        urls: record.peer.as_ref().map(|peer| peer.urls.clone()).unwrap_or_default(),
        generation: trust.generation(),
        staged: trust.staged(),
        rotation_asked: trust.rotation_asked(),
        last_answer: None,
        last_request: None,
        last_outcome: None,
        created_at: record.created_at,
        updated_at: record.updated_at,
    }
}
