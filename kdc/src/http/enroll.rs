//! `POST /v1/enroll` (docs/protocol.md §10).

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use keycell_protocol::ProblemType;
use std::time::Duration;
use tracing::Instrument as _;

use super::problem::Failure;
use super::signed::{Origin, Sent, counted};
use crate::enrollment::{EnrollError, Unsettled};
use crate::kdc::Kdc;

pub(super) async fn enroll(sent: Sent) -> Result<Response, Failure> {
    let (kdc, origin, body) = sent.into_parts();
    let enrolling = {
        let kdc = kdc.clone();
        async move { kdc.enroll(&body, Some(origin.id.to_string()), origin.peer.ip()).await }
    };
    // Seen through also when the host has gone: others may wait for the same transaction.
    let answer = tokio::spawn(enrolling.in_current_span()).await;
    match answer.map_err(|_| Failure::new(ProblemType::Internal))? {
        Ok(json) => Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response()),
        Err(error) => Err(failure(&kdc, error, origin)),
    }
}

fn failure(kdc: &Kdc, error: EnrollError, origin: Origin) -> Failure {
    let peer = origin.peer;
    if !matches!(error, EnrollError::Refused(_)) {
        tracing::info!(%error, "a request to enroll is not answered");
    }
    match error {
        EnrollError::TooOften(limit) => Failure::new(ProblemType::RateLimited)
            .detail("this address enrolls too often; wait as long as Retry-After says")
            .retry_after(limit.retry_after),
        EnrollError::TooSoon(wait) => Failure::new(ProblemType::RateLimited)
            .detail("this host got another key a moment ago; wait as long as Retry-After says")
            .retry_after(wait),
        EnrollError::Malformed => {
            Failure::new(ProblemType::MalformedRequest).detail("not the JSON of a request to enroll")
        }
        EnrollError::Zone => Failure::new(ProblemType::MalformedRequest)
            .detail(format!("this KDC is of the zone {}: take that zone's bundle", kdc.zone()))
            .field("zone"),
        EnrollError::Identity(identity) => Failure::new(ProblemType::IdentityUnknown).identity(identity),
        EnrollError::Forged => {
            kdc.recorder().failed(kdc.now(), peer.ip(), None);
            // As of every answer of this type: who is told so is not told more than others.
            let within = kdc.directory().settings().enrollment.reenroll_within_seconds;
            counted(kdc, peer, Failure::new(ProblemType::Unauthenticated).reenroll_within(within))
        }
        EnrollError::ClockSkew => Failure::new(ProblemType::ClockSkew)
            .detail("set the clock, or correct by server_time and ask again")
            .server_time(kdc.now()),
        EnrollError::Replayed => counted(kdc, peer, Failure::new(ProblemType::Replayed)),
        // Which it was, only the log is told.
        EnrollError::Refused(_) => Failure::new(ProblemType::EnrollmentRefused)
            .detail("ask an administrator of the cell; its log says why"),
        EnrollError::Overloaded | EnrollError::Unsettled(Unsettled::Busy) => Failure::overloaded(),
        EnrollError::Unsettled(Unsettled::Unavailable) => Failure::new(ProblemType::Unavailable)
            .detail("the database does not answer: send the very same request again")
            .retry_after(Duration::from_secs(2)),
        EnrollError::NoIdentity => Failure::new(ProblemType::Unavailable)
            .detail("this KDC cannot answer hosts that enroll: see its log")
            .retry_after(Duration::from_secs(10)),
        EnrollError::Unsettled(Unsettled::Failed) => Failure::new(ProblemType::Internal),
    }
}
