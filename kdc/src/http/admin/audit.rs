//! `/v1/admin/audit`: the audit log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use keycell_protocol::{ProblemType, UnixMillis};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{next, to_the_end};
use super::body::{self, InQuery};
use crate::administration::AdminError;
use crate::api::{AuditPage, AuditRecord, AuditReport, AuditSeal, AuditTrim, AuditTrimmed};
use crate::audit::{Action, Journal, JournalError, Link, OnDamage, Outcome, Record, Seal, hex};
use crate::http::operator::Operator;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::store::AuditQuery;
use crate::token::Role;

/// Which records.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LogQuery {
    after: Option<u64>,
    before: Option<u64>,
    since: Option<UnixMillis>,
    until: Option<UnixMillis>,
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    outcome: Option<String>,
    #[serde(default)]
    order: Order,
    limit: Option<usize>,
}

impl LogQuery {
    /// Whether records may have to be passed over: many, perhaps.
    const fn searches(&self) -> bool {
        self.since.is_some()
            || self.until.is_some()
            || self.actor.is_some()
            || self.action.is_some()
            || self.target.is_some()
            || self.outcome.is_some()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

/// What an auditor noted down earlier.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct VerifyQuery {
    noted: Option<String>,
}

pub(in crate::http) async fn list(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<LogQuery>,
) -> Result<Json<AuditPage>, Failure> {
    operator.may(Role::Auditor)?;
    let query = body::query(query)?;
    let limit = body::limit(query.limit)?;
    if let Some(unknown) =
        query.outcome.as_ref().filter(|text| Outcome::ALL.iter().all(|o| o.as_str() != *text))
    {
        // An empty page would look as if nothing of the kind had happened.
        return Err(body::malformed(format!("{unknown:?} is none of done, denied, failed")).field("outcome"));
    }
    if let Some(action) = &query.action
        && let Some(near) = Action::instead_of(action)
    {
        return Err(body::malformed(format!("{action:?} is no action; there are {near}")).field("action"));
    }
    let searches = query.searches();
    let look = AuditQuery {
        after: query.after,
        before: query.before,
        since: query.since,
        until: query.until,
        actor: query.actor,
        action: query.action,
        target: query.target,
        outcome: query.outcome,
        newest_first: query.order == Order::Newest,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let place = if searches { Some(place(&kdc)?) } else { None };
    let records = to_the_end(async move {
        // Kept by the search itself, also when nobody waits for it any more.
        let _place = place;
        Ok(kdc.ledger().journal().query(&look).await?)
    })
    .await?;
    let next = next(&records, limit, |record| record.seq);
    Ok(Json(AuditPage { records: records.into_iter().map(view).collect(), next }))
}

pub(in crate::http) async fn export(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Response, Failure> {
    let caller = operator.may(Role::Auditor)?;
    let place = place(&kdc)?;
    // The client sees a body that was cut off, which no export without its last line passes for.
    let lines = kdc.ledger().journal().export().map(move |piece| {
        let _ = &place;
        if !kdc.access().still_holds(&caller, kdc.now()) {
            tracing::warn!(administrator = %caller.actor, "an export was cut off: the token does not hold any more");
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        piece.map_err(|error| {
            tracing::error!(error = %crate::http::chain(&error), "an export of the audit log was cut off");
            io::Error::other(error)
        })
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

pub(in crate::http) async fn verify(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    query: InQuery<VerifyQuery>,
) -> Result<Json<AuditReport>, Failure> {
    operator.may(Role::Auditor)?;
    let VerifyQuery { noted } = body::query(query)?;
    let noted: Vec<Link> = noted
        .iter()
        .flat_map(|noted| noted.split(','))
        .map(|link| {
            link.parse()
                .map_err(|error: crate::audit::NotALink| body::malformed(error.to_string()).field("noted"))
        })
        .collect::<Result<_, _>>()?;
    let _place = place(&kdc)?;
    let journal = kdc.ledger().journal();
    let verdict = journal.verify(&noted).await.map_err(AdminError::from)?;
    let head = journal.seal().await.map_err(AdminError::from)?;
    let findings_total = (verdict.findings.len() as u64).saturating_add(verdict.more);
    Ok(Json(AuditReport {
        intact: verdict.is_sound(),
        records: verdict.summary.records,
        first: verdict.summary.first.unwrap_or(0),
        last: verdict.summary.last.unwrap_or(0),
        findings: verdict
            .findings
            .into_iter()
            .take(TOLD)
            .filter_map(|f| serde_json::to_value(f).ok())
            .collect(),
        findings_total,
        head: head.map(|head| seal_view(journal, &head)),
    }))
}

pub(in crate::http) async fn seal(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
) -> Result<Json<AuditSeal>, Failure> {
    operator.may(Role::Auditor)?;
    let journal = kdc.ledger().journal();
    let seal = journal.seal().await.map_err(AdminError::from)?;
    let seal = seal.ok_or_else(|| Failure::new(ProblemType::NotFound).detail("the log has no record yet"))?;
    Ok(Json(seal_view(journal, &seal)))
}

pub(in crate::http) async fn trim(
    State(kdc): State<Arc<Kdc>>,
    operator: Operator,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AuditTrimmed>, Failure> {
    let caller = operator.may(Role::Admin)?;
    let AuditTrim { before, dry_run } = body::json(&headers, &body)?;
    let place = place(&kdc)?;
    let trimmed = to_the_end(async move {
        let _place = place;
        let journal = kdc.ledger().journal();
        if dry_run {
            return Ok(journal.trimmable(before).await?.map(|(from, through)| (through - from + 1, through)));
        }
        let event = caller.event(kdc.now(), Action::AuditTrim, "");
        let trimmed = journal.trim(before, event, OnDamage::Refuse).await.map_err(|error| match error {
            JournalError::Store(error) => AdminError::from(error),
            error => AdminError::Refused(error.to_string()),
        })?;
        tracing::info!(administrator = %caller.actor, ?trimmed, "audit log trimmed");
        Ok(trimmed.map(|trimmed| (trimmed.records, trimmed.through)))
    })
    .await?;
    let (removed, through) = trimmed.unwrap_or_default();
    Ok(Json(AuditTrimmed { removed, through, dry_run }))
}

/// A place to look through the log.
fn place(kdc: &Kdc) -> Result<OwnedSemaphorePermit, Failure> {
    kdc.audits().try_acquire_owned().map_err(|_| {
        Failure::overloaded()
            .detail("others are looking through the audit log")
            .retry_after(Duration::from_secs(5))
    })
}

fn view(record: Record) -> AuditRecord {
    AuditRecord {
        seq: record.seq,
        at: record.at,
        actor: record.actor,
        action: record.action,
        target: record.target,
        outcome: record.outcome,
        request: record.request,
        address: record.address,
        // A row that was tampered with is shown as it is.
        detail: serde_json::from_str(&record.detail).unwrap_or(Value::String(record.detail)),
        hash: hex::encode(&record.hash),
    }
}

fn seal_view(journal: &Journal, seal: &Seal) -> AuditSeal {
    AuditSeal {
        seq: seal.link.seq,
        hash: hex::encode(&seal.link.hash),
        at: seal.at,
        signature: hex::encode(&seal.signature),
        public_key: hex::encode(journal.key().public()),
    }
}

/// How many findings are told of.
const TOLD: usize = 100;
