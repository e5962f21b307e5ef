//! `/v1/admin/parties`: the parties of the zone.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{Name, ProblemType};
use serde::Deserialize;
use tracing::Instrument as _;
use zeroize::Zeroizing;

use super::body;
use crate::api::{CreatedParty, KeyView, NewParty, PartyPage, PartyPatch, PartyView};
use crate::directory::Party;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::parties::PartyError;
use crate::token::Role;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<Name>,
    limit: Option<usize>,
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PartyPage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(body::malformed("limit: 1 to 1000"));
    }
    let page = kdc.parties().page(query.after.as_ref(), limit);
    let next = if page.len() == limit { page.last().map(|party| party.name().clone()) } else { None };
    Ok(Json(PartyPage { parties: page.iter().map(|party| view(party)).collect(), next }))
}

pub(in crate::http) async fn create(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    operator.may(Role::Operator)?;
    let new: NewParty = body::json(&headers, &body)?;
    let secret = new.key.as_ref().map(|key| secret(key)).transpose()?;
    let chosen = secret.is_some();
    let created = {
        let kdc = kdc.clone();
        to_the_end(async move {
            let created = kdc.parties().create(&new.name, secret.as_deref()).await?;
            tracing::info!(administrator = operator.name(), party = %new.name, retried = created.retried, "party created");
            Ok(created)
        })
        .await?
    };
    let status = if created.retried { StatusCode::OK } else { StatusCode::CREATED };
    let encoded = || Zeroizing::new(URL_SAFE_NO_PAD.encode(created.key.expose_secret()));
    let view = CreatedParty {
        party: view(&created.party),
        generation: created.key.generation(),
        epoch: created.key.epoch(),
        ratchet_period: kdc.zone_record().ratchet_period,
        key: if chosen { None } else { Some(encoded()) },
        urls: kdc.config().urls.clone(),
    };
    Ok((status, Json(view)).into_response())
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<PartyView>, Failure> {
    operator.may(Role::Auditor)?;
    Ok(Json(view(&*kdc.parties().show(&body::name(name)?)?)))
}

pub(in crate::http) async fn update(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<PartyView>, Failure> {
    operator.may(Role::Operator)?;
    let name = body::name(name)?;
    let PartyPatch { enabled } = body::json(&headers, &body)?;
    let party = to_the_end(async move {
        let party = kdc.parties().set_enabled(&name, enabled).await?;
        tracing::info!(administrator = operator.name(), party = %name, enabled, "party changed");
        Ok(party)
    })
    .await?;
    Ok(Json(view(&party)))
}

pub(in crate::http) async fn delete(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Failure> {
    operator.may(Role::Operator)?;
    let name = body::name(name)?;
    to_the_end(async move {
        kdc.parties().delete(&name).await?;
        tracing::info!(administrator = operator.name(), party = %name, "party deleted");
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a change to its end, and to its line in the log, also when the client has gone.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, PartyError>> + Send + 'static,
) -> Result<T, Failure> {
    let task = tokio::spawn(change.in_current_span());
    Ok(task.await.map_err(|_| Failure::new(ProblemType::Internal))??)
}

fn view(party: &Party) -> PartyView {
    PartyView {
        name: party.name().clone(),
        enabled: party.enabled(),
        revision: party.revision(),
        created_at: party.created_at(),
        updated_at: party.updated_at(),
        keys: party
            .generations()
            .map(|(generation, state)| KeyView { generation, state: state.to_string() })
            .collect(),
    }
}

fn secret(text: &str) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).ok();
    let secret = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    secret.map(Zeroizing::new).ok_or_else(|| body::malformed("key: 32 bytes in base64url without padding"))
}

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
