//! `POST /v1/group-keys` (docs/protocol.md §11).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::{ProblemType, SignedGroupRequest};

use super::Peer;
use super::admin::body::require_json;
use super::layers::RequestId;
use super::problem::Failure;
use super::tickets::failure;
use crate::issuance::{Denied, GivenKeys, Refusal};
use crate::kdc::Kdc;

pub(super) async fn give(
    State(kdc): State<Arc<Kdc>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    require_json(&headers)?;
    match answer(&kdc, &body, id, peer) {
        Ok(given) => Ok(([(header::CONTENT_TYPE, "application/json")], given.body).into_response()),
        Err(denied) => Err(failure(&kdc, denied, peer)),
    }
}

fn answer(kdc: &Kdc, body: &[u8], id: RequestId, peer: SocketAddr) -> Result<GivenKeys, Denied> {
    let signed = SignedGroupRequest::parse(body).map_err(|_| {
        Denied::Refused(Refusal {
            problem: ProblemType::MalformedRequest,
            cause: "not the JSON of a request for group keys",
        })
    })?;
    let party = &signed.key().name;
    let given = kdc.group_keys(&signed, Some(peer.ip()));
    match &given {
        Ok(given) => {
            tracing::debug!(%id, %party, granted = given.granted, refused = given.refused.len(), "group keys given");
        }
        Err(Denied::Refused(refusal)) => {
            if refusal.problem == ProblemType::Unauthenticated {
                kdc.recorder().failed(kdc.now(), peer.ip(), Some(party.as_str()));
            }
            tracing::info!(%id, %party, cause = refusal.cause, "group keys refused");
        }
        Err(Denied::TooOften(_)) => {
            tracing::info!(%id, %party, cause = "over its rate", "group keys refused");
        }
    }
    given
}
