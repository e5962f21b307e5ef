//! `/v1/admin/identities`: by which keys the KDC is known.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::IdentitiesView;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<IdentitiesView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(kdc.identities().show().await?))
}
