//! `POST /v1/tickets` (docs/protocol.md §7).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::{ProblemType, SignedRequest};

use super::Peer;
use super::admin::body::require_json;
use super::layers::RequestId;
use super::problem::Failure;
use crate::issuance::Issued;
use crate::kdc::{Denied, Kdc};

pub(super) async fn issue(
    State(kdc): State<Arc<Kdc>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Failure> {
    require_json(&headers)?;
    let body = body.map_err(Failure::from)?;
    let issued = if body.len() > LONG {
        // Milliseconds of work: not on a thread that others wait for.
        let kdc = kdc.clone();
        tokio::task::spawn_blocking(move || answer(&kdc, &body, id))
            .await
            .map_err(|_| Failure::new(ProblemType::Internal))?
    } else {
        answer(&kdc, &body, id)
    };
    match issued {
        Ok(issued) => Ok(([(header::CONTENT_TYPE, "application/json")], issued.body).into_response()),
        Err(denied) => Err(failure(&kdc, denied, peer)),
    }
}

fn answer(kdc: &Kdc, body: &[u8], id: RequestId) -> Result<Issued, Denied> {
    let signed = SignedRequest::parse(body).map_err(|_| {
        Denied::Refused(crate::issuance::Refusal {
            problem: ProblemType::MalformedRequest,
            cause: "not the JSON of a ticket request",
        })
    })?;
    // Only at debug, where a line for each ticket needs the request's name.
    let _span = tracing::debug_span!("request", %id).entered();
    let issued = kdc.tickets(&signed);
    match &issued {
        Ok(issued) => {
            tracing::debug!(%id, party = %signed.key().name, granted = issued.granted, refused = issued.refused.len(), "tickets issued");
        }
        Err(Denied::Refused(refusal)) => {
            tracing::info!(%id, party = %signed.key().name, cause = refusal.cause, "ticket request refused");
        }
        Err(Denied::TooOften(_)) => {
            tracing::info!(%id, party = %signed.key().name, cause = "over its rate", "ticket request refused");
        }
    }
    issued
}

fn failure(kdc: &Kdc, denied: Denied, peer: std::net::SocketAddr) -> Failure {
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
            ProblemType::Unauthenticated => {
                kdc.failed(peer.ip());
                // A clock that is off by an epoch or more makes a request that cannot be authenticated.
                failure.server_time(kdc.now())
            }
            ProblemType::Replayed => {
                kdc.failed(peer.ip());
                failure
            }
            _ => failure.detail(refusal.cause),
        },
    }
}

/// A body of about 40 destinations.
const LONG: usize = 4096;
