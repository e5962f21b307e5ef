//! `/v1/admin/status`: the cell at a glance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::administration::{status, walk};
use crate::api::StatusView;
use crate::http::heavy::heavily;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<StatusView>, Failure> {
    operator.may(Role::Auditor)?;
    let walk = heavily(&kdc, walk).await?;
    Ok(Json(status(&kdc, walk).await?))
}
