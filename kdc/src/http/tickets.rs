//! `POST /v1/tickets` (docs/protocol.md §7).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::{ProblemType, SignedRequest};

use super::Peer;
use super::admin::body::require_json;
use super::heavy::heavily;
use super::layers::RequestId;
use super::problem::Failure;
use crate::issuance::{Denied, Issued, Refusal};
use crate::kdc::Kdc;
use crate::limit::TooOften;

pub(super) async fn issue(
    State(kdc): State<Arc<Kdc>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    require_json(&headers)?;
    let issued = if body.len() > LONG {
        heavily(&kdc, move |kdc| answer(kdc, &body, id, peer)).await?
    } else {
        answer(&kdc, &body, id, peer)
    };
    match issued {
        Ok(issued) => Ok(([(header::CONTENT_TYPE, "application/json")], issued.body).into_response()),
        Err(denied) => Err(failure(&kdc, denied, peer)),
    }
}

fn answer(kdc: &Kdc, body: &[u8], id: RequestId, peer: SocketAddr) -> Result<Issued, Denied> {
    let signed = SignedRequest::parse(body).map_err(|_| {
        Denied::Refused(Refusal {
            problem: ProblemType::MalformedRequest,
            cause: "not the JSON of a ticket request",
        })
    })?;
    // Only at debug, where a line for each ticket needs the request's name.
    let _span = tracing::debug_span!("request", %id).entered();
    let issued = kdc.tickets(&signed, Some(peer.ip()));
    match &issued {
        Ok(issued) => {
            tracing::debug!(%id, party = %signed.key().name, granted = issued.granted, refused = issued.refused.len(), "tickets issued");
        }
        Err(Denied::Refused(refusal)) => {
            if refusal.problem == ProblemType::Unauthenticated {
                kdc.recorder().failed(kdc.now(), peer.ip(), Some(signed.key().name.as_str()));
            }
            tracing::info!(%id, party = %signed.key().name, cause = refusal.cause, "ticket request refused");
        }
        Err(Denied::TooOften(_)) => {
            tracing::info!(%id, party = %signed.key().name, cause = "over its rate", "ticket request refused");
        }
    }
    issued
}

/// What is told to whom a request was denied.
pub(super) fn failure(kdc: &Kdc, denied: Denied, peer: SocketAddr) -> Failure {
    let failure = Failure::new(denied.problem());
    match denied {
        Denied::TooOften(limit) => {
            failure.detail("this party asks for too many tickets").retry_after(limit.retry_after)
        }
        Denied::Refused(refusal) => match refusal.problem {
            ProblemType::ClockSkew => failure
                .detail("set the clock, or correct by server_time and ask again")
                .server_time(kdc.now()),
            ProblemType::Overloaded => Failure::overloaded(),
            // A clock that is off by an epoch or more makes a request that cannot be authenticated: tell the time.
            ProblemType::Unauthenticated => counted(kdc, peer, failure.server_time(kdc.now())),
            ProblemType::Replayed => counted(kdc, peer, failure),
            _ => failure.detail(refusal.cause),
        },
    }
}

/// The answer to a failure of an address: the failure, or that there are too many.
pub(super) fn counted(kdc: &Kdc, peer: SocketAddr, failure: Failure) -> Failure {
    match kdc.failed(peer.ip()) {
        Ok(()) => failure,
        Err(limit) => failed_too_often(limit),
    }
}

/// The answer to one failure more than an address may have.
pub(super) fn failed_too_often(limit: TooOften) -> Failure {
    Failure::new(ProblemType::RateLimited)
        .detail("too many failed authentications from this address")
        .retry_after(limit.retry_after)
}

/// A body of about 40 destinations.
const LONG: usize = 4096;
