//! `POST /v1/vouchers` (docs/protocol.md §9).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use keycell_protocol::{ProblemType, SignedVoucherRequest};
use tracing::Instrument as _;

use super::Peer;
use super::admin::body::require_json;
use super::layers::RequestId;
use super::problem::Failure;
use super::tickets;
use crate::administration::RegisterError;
use crate::issuance::{Denied, Refusal};
use crate::kdc::Kdc;

pub(super) async fn vouch(
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
    let vouched = tokio::spawn(answer.in_current_span()).await;
    match vouched.map_err(|_| Failure::new(ProblemType::Internal))? {
        Ok(body) => Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response()),
        Err(RegisterError::Denied(denied)) => Err(tickets::failure(&kdc, denied, peer)),
        Err(RegisterError::Admin(error)) => Err(error.into()),
    }
}

async fn answer(kdc: &Kdc, body: &[u8], id: RequestId, peer: SocketAddr) -> Result<Vec<u8>, RegisterError> {
    let signed = SignedVoucherRequest::parse(body).map_err(|_| {
        Denied::Refused(Refusal {
            problem: ProblemType::MalformedRequest,
            cause: "not the JSON of a request for a voucher",
        })
    })?;
    let name = &signed.key().name;
    let vouched = kdc.voucher(&signed, Some(id.to_string()), Some(peer.ip())).await;
    match &vouched {
        Ok(_) => tracing::debug!(party = %name, "voucher given"),
        Err(RegisterError::Denied(Denied::Refused(refusal))) => {
            if refusal.problem == ProblemType::Unauthenticated {
                kdc.recorder().failed(kdc.now(), peer.ip(), Some(name.as_str()));
            }
            tracing::info!(party = %name, cause = refusal.cause, "voucher refused");
        }
        Err(error) => tracing::info!(party = %name, cause = %error, "voucher refused"),
    }
    vouched
}
