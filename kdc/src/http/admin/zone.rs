//! `/v1/admin/zone` and `/v1/admin/limits`: settings that hold on every KDC of the zone.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::tagged;
use super::order::Order;
use crate::administration::Caller;
use crate::api::{LimitsPatch, LimitsView, RateView, ZonePatch, ZoneSettings};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::settings::Settings;
use crate::token::Role;

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    Ok(zone(&kdc, &kdc.directory().settings()))
}

pub(in crate::http) async fn update(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let patch: ZonePatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let settings = kdc.settings().change_zone(&caller, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, ?patch, "zone settings changed");
        Ok(zone(&kdc, &settings))
    };
    change.make(update).await
}

pub(in crate::http) async fn show_limits(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    Ok(limits(&kdc, &kdc.directory().settings()))
}

pub(in crate::http) async fn update_limits(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let patch: LimitsPatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let settings = kdc.settings().change_limits(&caller, &patch, &precondition).await?;
        kdc.settled();
        tracing::info!(administrator = %caller.actor, ?patch, "limits changed");
        Ok(limits(&kdc, &settings))
    };
    change.make(update).await
}

fn zone(kdc: &Kdc, settings: &Settings) -> Response {
    let view = ZoneSettings {
        zone: kdc.zone().to_string(),
        revision: settings.zone_revision,
        ticket_lifetime_seconds: settings.ticket_lifetime_seconds(&kdc.config().tickets),
        ticket_lifetime_is_set: settings.zone.ticket_lifetime_seconds.is_some(),
        audit_retention_days: settings.zone.audit_retention_days,
        rotate_keys_after_days: settings.zone.rotate_keys_after_days,
        ratchet_period_seconds: kdc.zone_record().ratchet_period.seconds(),
    };
    tagged(StatusCode::OK, view.revision, &view)
}

fn limits(kdc: &Kdc, settings: &Settings) -> Response {
    let rates = settings.rates(&kdc.config());
    let set = &settings.limits;
    let view = LimitsView {
        revision: settings.limits_revision,
        per_address: RateView { rate: rates.per_address, is_set: set.per_address.is_some() },
        failures_per_address: RateView {
            rate: rates.failures_per_address,
            is_set: set.failures_per_address.is_some(),
        },
        enrollments_per_address: RateView {
            rate: rates.enrollments_per_address,
            is_set: set.enrollments_per_address.is_some(),
        },
        tickets_per_party: RateView {
            rate: rates.tickets_per_party,
            is_set: set.tickets_per_party.is_some(),
        },
    };
    tagged(StatusCode::OK, view.revision, &view)
}
