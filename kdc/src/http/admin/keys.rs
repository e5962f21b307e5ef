//! `/v1/admin/keys` and `/v1/admin/parties/{name}/keys`: new keys for parties.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::tagged;
use super::body::{self, InPath};
use super::order::{Keeper, Order};
use super::parties::{handed_out, secret};
use crate::administration::{Caller, Filter, NewKey, Replacement, Selection};
use crate::api::{NewPartyKey, RotateKeys, RotationAsked};
use crate::http::heavy::heavily;
use crate::http::problem::Failure;
use crate::kdc::Kdc;
use crate::policy::Pattern;
use crate::token::Role;

pub(in crate::http) async fn rotate(order: Order) -> Result<Json<RotationAsked>, Failure> {
    let change = order.by(Role::Operator)?;
    let request: RotateKeys = change.json()?;
    let kdc = change.kdc();
    let made_before = match request.older_than_days {
        Some(days @ 1..=36_500) => Some(kdc.now().minus(u64::from(days) * DAY_MS)),
        Some(_) => return Err(body::malformed("1 to 36500").field("older_than_days")),
        None => None,
    };
    let selection = selection(kdc, request)?;
    kdc.ledger().catch_up().await;
    let selected = heavily(kdc, move |kdc| kdc.keys().select(&selection, made_before)).await??;
    let ask = |kdc: Arc<Kdc>, caller: Caller| async move {
        let asked = u64::try_from(selected.parties.len()).unwrap_or(u64::MAX);
        kdc.keys().ask(&caller, &selected).await?;
        tracing::info!(administrator = %caller.actor, parties = asked, "parties are to rotate their keys");
        Ok(Json(RotationAsked { asked, next: selected.next }))
    };
    change.make(ask).await
}

fn selection(kdc: &Kdc, request: RotateKeys) -> Result<Selection, Failure> {
    let RotateKeys { names, matching, service, older_than_days: _, after } = request;
    match names {
        Some(_) if matching.is_some() || service.is_some() || after.is_some() => {
            Err(body::malformed("not together with match, service or after").field("names"))
        }
        Some(names) if (1..=NAMES).contains(&names.len()) => Ok(Selection::Named(names)),
        Some(_) => Err(body::malformed("1 to 1000 names").field("names")),
        // All parties are a selection that nobody makes by leaving something out.
        None if matching.is_none() && service.is_none() => {
            Err(body::malformed("say whose keys: names, match or service; all of them are match *")
                .field("names"))
        }
        None => {
            let pattern = |text: String| {
                Pattern::in_zone(&text, kdc.zone())
                    .map_err(|error| body::malformed(error.to_string()).field("match"))
            };
            let matching = matching.map(pattern).transpose()?;
            let filter = Box::new(Filter { service, matching, ..Filter::default() });
            Ok(Selection::Matching { filter, after })
        }
    }
}

pub(in crate::http) async fn forget_author(name: InPath, order: Order) -> Result<StatusCode, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let precondition = change.precondition()?;
    let forget = |kdc: Arc<Kdc>, caller: Caller| async move {
        kdc.author_keys().forget(&caller, &name, &precondition).await?;
        tracing::info!(administrator = %caller.actor, party = %name, "author key removed");
        Ok(StatusCode::NO_CONTENT)
    };
    change.make(forget).await
}

pub(in crate::http) async fn replace(name: InPath, order: Order) -> Result<Response, Failure> {
    let change = order.by(Role::Operator)?;
    let name = body::name(name)?;
    let request: NewPartyKey = change.json()?;
    let precondition = change.precondition()?;
    let operation = format!("POST /v1/admin/parties/{name}/keys");
    let new = NewKey {
        secret: request.key.as_ref().map(|key| secret(key)).transpose()?,
        erase_old: request.erase_old,
    };
    let replace = |kdc: Arc<Kdc>, caller: Caller, keeper: Keeper| async move {
        let chosen = new.secret.is_some();
        let answer = |made: &Replacement| handed_out(&kdc, &made.record, &made.key, chosen);
        let keep = |made: &Replacement| keeper.keep(StatusCode::CREATED, &answer(made));
        let made = kdc.keys().replace(&caller, &name, &new, &precondition, keep).await?;
        if !made.retried {
            kdc.metrics().keys.rotated("replace");
        }
        tracing::info!(administrator = %caller.actor, party = %name, generation = %made.key.generation(), erase_old = new.erase_old, retried = made.retried, "a new key is handed out");
        let status = if made.retried { StatusCode::OK } else { StatusCode::CREATED };
        Ok(tagged(status, made.record.revision, &answer(&made)))
    };
    change.once(&operation, replace).await
}

const NAMES: usize = 1000;
const DAY_MS: u64 = 86_400_000;
