//! `/v1/admin/parties`: the parties of the zone.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{LongTermKey, Name, UnixMillis};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::answer::{kept, tagged, to_the_end};
use super::body;
use crate::administration::{Created, Filter, NewEntry};
use crate::api::{CreatedParty, KeyPage, KeyView, NewParty, PartyPage, PartyPatch, PartyState, PartyView};
use crate::directory::Party;
use crate::http::heavy::heavily;
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::policy::Pattern;
use crate::store::PartyRecord;
use crate::token::Role;

/// Which page of which parties.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PageQuery {
    after: Option<Name>,
    limit: Option<usize>,
    service: Option<String>,
    #[serde(rename = "match")]
    matching: Option<String>,
    state: Option<PartyState>,
    seen_since: Option<UnixMillis>,
    seen_before: Option<UnixMillis>,
    rotation_due: Option<bool>,
}

impl PageQuery {
    const fn searches(&self) -> bool {
        self.service.is_some()
            || self.matching.is_some()
            || self.state.is_some()
            || self.seen_since.is_some()
            || self.seen_before.is_some()
            || self.rotation_due.is_some()
    }
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Result<Json<PartyPage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = body::limit(query.limit)?;
    let searches = query.searches();
    let pattern = |text: String| {
        Pattern::in_zone(&text, kdc.zone()).map_err(|error| body::malformed(error.to_string()).field("match"))
    };
    let matching = query.matching.map(pattern).transpose()?;
    let filter = Filter {
        service: query.service,
        matching,
        state: query.state,
        seen_since: query.seen_since,
        seen_before: query.seen_before,
    };
    let (after, due) = (query.after, query.rotation_due);
    let page = move |kdc: &Kdc| {
        let wanted =
            |party: &Party| due.is_none_or(|due| due == kdc.rotation_due(party)) && filter.wants(party);
        let page = kdc.directory().page(after.as_ref(), limit, wanted);
        let next = if page.len() == limit { page.last().map(|party| party.name().clone()) } else { None };
        PartyPage { parties: page.iter().map(|party| seen(kdc, party)).collect(), next }
    };
    // Whom few match, all are looked at.
    Ok(Json(if searches { heavily(&kdc, page).await? } else { page(&kdc) }))
}

pub(in crate::http) async fn create(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Operator)?;
    let new: NewParty = body::json(&headers, &body)?;
    let retry = body::retry(&headers, &caller, "POST /v1/admin/parties", &body)?;
    if let Some(answer) = kept(&kdc, retry.as_ref()).await? {
        return Ok(answer);
    }
    let entry = NewEntry {
        secret: new.key.as_ref().map(|key| secret(key)).transpose()?,
        name: new.name,
        note: new.note,
        log_tickets: new.log_tickets,
    };
    to_the_end(async move {
        let chosen = entry.secret.is_some();
        let keep = |created: &Created| {
            let answer = answer(&kdc, created, chosen);
            retry.map(|retry| retry.keep(kdc.ledger(), StatusCode::CREATED.as_u16(), &answer)).transpose()
        };
        let created = kdc.parties().create(&caller, &entry, keep).await?;
        tracing::info!(administrator = %caller.actor, party = %entry.name, retried = created.retried, "party created");
        let status = if created.retried { StatusCode::OK } else { StatusCode::CREATED };
        Ok(tagged(status, created.record.revision, &answer(&kdc, &created, chosen)))
    })
    .await
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    let party = kdc.parties().show(&body::name(name)?)?;
    Ok(tagged(StatusCode::OK, party.record().revision, &seen(&kdc, &party)))
}

pub(in crate::http) async fn keys(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<KeyPage>, Failure> {
    operator.may(Role::Auditor)?;
    let party = kdc.parties().show(&body::name(name)?)?;
    Ok(Json(KeyPage { keys: seen(&kdc, &party).keys }))
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
    let patch: PartyPatch = body::json(&headers, &body)?;
    let precondition = body::precondition(&headers)?;
    let here = kdc.clone();
    let party = to_the_end(async move {
        let party = here.parties().update(&caller, &name, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, party = %name, enabled = party.enabled(), "party changed");
        Ok(party)
    })
    .await?;
    Ok(tagged(StatusCode::OK, party.record().revision, &seen(&kdc, &party)))
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
        kdc.parties().delete(&caller, &name, &precondition).await?;
        tracing::info!(administrator = %caller.actor, party = %name, "party deleted");
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a key that the administrator chose.
pub(super) fn secret(text: &str) -> Result<Zeroizing<[u8; LongTermKey::SIZE]>, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).ok();
    let secret = bytes.and_then(|bytes| <[u8; LongTermKey::SIZE]>::try_from(bytes.as_slice()).ok());
    secret
        .map(Zeroizing::new)
        .ok_or_else(|| body::malformed("32 bytes in base64url without padding").field("key"))
}

fn answer(kdc: &Kdc, created: &Created, chosen: bool) -> CreatedParty {
    handed_out(kdc, &created.record, &created.key, chosen)
}

/// A party with a key that is to be brought to it.
pub(super) fn handed_out(kdc: &Kdc, record: &PartyRecord, key: &LongTermKey, chosen: bool) -> CreatedParty {
    let encoded = || Zeroizing::new(URL_SAFE_NO_PAD.encode(key.expose_secret()));
    CreatedParty {
        party: view(kdc, record),
        generation: key.generation(),
        epoch: key.epoch(),
        ratchet_period: kdc.zone_record().ratchet_period,
        key: if chosen { None } else { Some(encoded()) },
        urls: kdc.config().urls.clone(),
        signers: kdc.signers(),
    }
}

fn seen(kdc: &Kdc, party: &Party) -> PartyView {
    let mut view = PartyView {
        last_seen: party.seen().at(),
        rotation_due: kdc.rotation_due(party),
        ..view(kdc, party.record())
    };
    // Keys turn in memory, and in the database by themselves: the record is of when it was read.
    for key in &mut view.keys {
        key.epoch = party.epoch(key.generation).unwrap_or(key.epoch);
    }
    view
}

fn view(kdc: &Kdc, record: &PartyRecord) -> PartyView {
    let key = |key: &crate::store::KeyRecord| KeyView {
        generation: key.generation,
        state: key.state.to_string(),
        epoch: key.epoch,
        created_at: key.created_at,
        ends_at: key.ends_at,
    };
    PartyView {
        name: record.name.clone(),
        enabled: record.enabled,
        revision: record.revision,
        created_at: record.created_at,
        updated_at: record.updated_at,
        last_seen: None,
        log_tickets: record.log_tickets,
        note: record.note.clone(),
        rotation_due: false,
        author_key: record.author_key,
        // Nothing of a disabled party is later than its last change.
        usable_until: (!record.enabled).then(|| kdc.tickets_end(record.updated_at)),
        keys: record.keys.iter().map(key).collect(),
    }
}
