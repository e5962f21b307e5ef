//! `POST /v1/keys/rotate` (docs/protocol.md §4.4).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::{ProblemType, SignedRotation};
use tracing::Instrument as _;

use super::Peer;
use super::admin::body::require_json;
use super::layers::RequestId;
use super::problem::Failure;
use super::tickets;
use crate::administration::RotationError;
use crate::issuance::{Denied, Refusal};
use crate::kdc::Kdc;

pub(super) async fn rotate(
    State(kdc): State<Arc<Kdc>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    require_json(&headers)?;
    let here = kdc.clone();
    // To its end, also when the party has gone: it asks again, and gets the same.
    let answer = async move { answer(&here, &body, id, peer).await };
    let rotated = tokio::spawn(answer.in_current_span()).await;
    match rotated.map_err(|_| Failure::new(ProblemType::Internal))? {
        Ok(body) => Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response()),
        Err(RotationError::Denied(denied)) => Err(tickets::failure(&kdc, denied, peer)),
        Err(RotationError::Admin(error)) => Err(error.into()),
    }
}

async fn answer(kdc: &Kdc, body: &[u8], id: RequestId, peer: SocketAddr) -> Result<Vec<u8>, RotationError> {
    let signed = SignedRotation::parse(body).map_err(|_| {
        Denied::Refused(Refusal {
            problem: ProblemType::MalformedRequest,
            cause: "not the JSON of a request to rotate",
        })
    })?;
    let name = &signed.key().name;
    let rotated = kdc.rotate(&signed, Some(id.to_string()), Some(peer.ip())).await;
    match &rotated {
        Ok(_) => {
            tracing::info!(party = %name, generation = %signed.key().generation, "a step of a key rotation is done");
        }
        Err(RotationError::Denied(Denied::Refused(refusal))) => {
            if refusal.problem == ProblemType::Unauthenticated {
                kdc.recorder().failed(kdc.now(), peer.ip(), Some(name.as_str()));
            }
            tracing::info!(party = %name, cause = refusal.cause, "key rotation refused");
        }
        Err(error) => tracing::info!(party = %name, cause = %error, "key rotation refused"),
    }
    rotated
}
