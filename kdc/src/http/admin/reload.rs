//! `/v1/admin/reload`: the configuration, read again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::answer::to_the_end;
use crate::administration::AdminError;
use crate::api::Reloaded;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::token::Role;

pub(in crate::http) async fn reload(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<Reloaded>, Failure> {
    let caller = operator.may(Role::Admin)?;
    let reload = async move { kdc.reload(Some(&caller)).await.map_err(AdminError::from) };
    Ok(Json(to_the_end(reload).await?))
}
