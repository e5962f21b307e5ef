//! `/v1/admin/enrollment`: who may come aboard by themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::tagged;
use super::order::Order;
use crate::administration::Caller;
use crate::api::{EnrollmentPatch, EnrollmentView};
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
    Ok(view(&kdc.directory().settings()))
}

pub(in crate::http) async fn update(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Admin)?;
    let patch: EnrollmentPatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let settings = kdc.settings().change_enrollment(&caller, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, ?patch, "settings of enrollment changed");
        Ok(view(&settings))
    };
    change.make(update).await
}

fn view(settings: &Settings) -> Response {
    let view = EnrollmentView::new(settings.enrollment_revision, settings.enrollment.clone());
    tagged(StatusCode::OK, view.revision, &view)
}
