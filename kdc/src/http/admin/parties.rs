//! `/v1/admin/parties`: the parties of the zone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{JoinTokenId, LongTermKey, Name, UnixMillis};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::answer::{next, tagged};
use super::body::{self, InPath, InQuery};
use super::order::{Keeper, Order};
use crate::administration::{Caller, Created, Filter, NewEntry};
use crate::api::{
    CreatedParty, EnrolledView, KeyPage, KeyView, NewParty, PartyPage, PartyPatch, PartyState, PartyView,
};
use crate::directory::Party;
use crate::enrollment::HostPattern;
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
    keyless: Option<bool>,
    host: Option<HostPattern>,
    enrolled: Option<bool>,
    join_token: Option<JoinTokenId>,
}

impl PageQuery {
    const fn searches(&self) -> bool {
        self.service.is_some()
            || self.matching.is_some()
            || self.state.is_some()
            || self.seen_since.is_some()
            || self.seen_before.is_some()
            || self.rotation_due.is_some()
            || self.keyless.is_some()
            || self.host.is_some()
            || self.enrolled.is_some()
            || self.join_token.is_some()
    }
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<PageQuery>,
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
        host: query.host,
        enrolled: query.enrolled,
        join_token: query.join_token,
    };
    let (after, due, keyless) = (query.after, query.rotation_due, query.keyless);
    let page = move |kdc: &Kdc| {
        let wanted = |party: &Party| {
            due.is_none_or(|due| due == kdc.rotation_due(party))
                && keyless.is_none_or(|keyless| keyless == party.active().is_none())
                && filter.wants(party)
        };
        let page = kdc.directory().page(after.as_ref(), limit, wanted);
        let next = next(&page, limit, |party| party.name().clone());
        PartyPage { parties: page.iter().map(|party| seen(kdc, party)).collect(), next }
    };
    // Whom few match, all are looked at.
    Ok(Json(if searches { heavily(&kdc, page).await? } else { page(&kdc) }))
}

pub(in crate::http) async fn create(order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let new: NewParty = change.json()?;
    let entry = NewEntry {
        secret: new.key.as_ref().map(|key| secret(key)).transpose()?,
        name: new.name,
        note: new.note,
        log_tickets: new.log_tickets,
    };
    let create = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let chosen = entry.secret.is_some();
        let answer = |created: &Created| handed_out(&kdc, &created.record, &created.key, chosen);
        let keep = |created: &Created| keeper.keep(StatusCode::CREATED, &answer(created));
        let created = kdc.parties().create(&caller, &entry, keep).await?;
        tracing::info!(administrator = %caller.actor, party = %entry.name, retried = created.retried, "party created");
        let status = if created.retried { StatusCode::OK } else { StatusCode::CREATED };
        Ok(tagged(status, created.record.revision, &answer(&created)))
    };
    change.once("POST /v1/admin/parties", create).await
}

pub(in crate::http) async fn show(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: InPath,
) -> Result<Response, Failure> {
    operator.may(Role::Auditor)?;
    let party = kdc.parties().show(&body::name(name)?)?;
    Ok(tagged(StatusCode::OK, party.record().revision, &seen(&kdc, &party)))
}

pub(in crate::http) async fn keys(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    name: InPath,
) -> Result<Json<KeyPage>, Failure> {
    operator.may(Role::Auditor)?;
    let party = kdc.parties().show(&body::name(name)?)?;
    Ok(Json(KeyPage { keys: seen(&kdc, &party).keys }))
}

pub(in crate::http) async fn update(name: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let patch: PartyPatch = change.json()?;
    let precondition = change.precondition()?;
    let update = |kdc: Arc<Kdc>, caller: Caller| async move {
        let party = kdc.parties().update(&caller, &name, &patch, &precondition).await?;
        tracing::info!(administrator = %caller.actor, party = %name, enabled = party.enabled(), "party changed");
        Ok(tagged(StatusCode::OK, party.record().revision, &seen(&kdc, &party)))
    };
    change.make(update).await
}

/// How a party is deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeleteQuery {
    #[serde(default)]
    forget: bool,
}

pub(in crate::http) async fn delete(
    name: InPath,
    query: InQuery<DeleteQuery>,
    order: Order,
) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let DeleteQuery { forget } = body::query(query)?;
    let precondition = change.precondition()?;
    let delete = |kdc: Arc<Kdc>, caller: Caller| async move {
        match forget {
            true => kdc.parties().delete_and_forget(&caller, &name, &precondition).await?,
            false => kdc.parties().delete(&caller, &name, &precondition).await?,
        }
        tracing::info!(administrator = %caller.actor, party = %name, forget, "party deleted");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(delete).await
}

/// Reads a key that the administrator chose.
pub(super) fn secret(text: &str) -> Result<Zeroizing<[u8; LongTermKey::SIZE]>, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).ok();
    let secret = bytes.and_then(|bytes| <[u8; LongTermKey::SIZE]>::try_from(bytes.as_slice()).ok());
    secret
        .map(Zeroizing::new)
        .ok_or_else(|| body::malformed("32 bytes in base64url without padding").field("key"))
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
        enrollment: record.enrollment.as_deref().map(EnrolledView::from),
        // Nothing of a disabled party is later than its last change.
        usable_until: (!record.enabled).then(|| kdc.tickets_end(record.updated_at)),
        keys: record.keys.iter().map(key).collect(),
    }
}
