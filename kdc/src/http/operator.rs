//! Who administers: a checked token, as an extractor.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use keycell_protocol::ProblemType;

use super::Peer;
use super::layers::RequestId;
use super::problem::Failure;
use crate::administration::Caller;
use crate::audit::Actor;
use crate::kdc::Kdc;
use crate::token::Role;

/// An administrator whose token holds. There is no other way to one.
pub(super) struct Operator {
    caller: Caller,
    kdc: Arc<Kdc>,
}

impl Operator {
    /// Whether the token is this zone's, and has that id.
    pub(super) fn uses(&self, token: &str) -> bool {
        matches!(self.caller.actor, Actor::Administrator(_)) && self.caller.token.as_deref() == Some(token)
    }

    /// The administrator, if the role reaches as far as `needed`.
    pub(super) fn may(self, needed: Role) -> Result<Caller, Failure> {
        let Self { caller, kdc } = self;
        if caller.role.includes(needed) {
            return Ok(caller);
        }
        tracing::warn!(administrator = %caller.actor, role = %caller.role, needed = %needed, "role does not reach");
        let target = format!("role {needed}");
        kdc.recorder().refused_administrator(kdc.now(), &caller.actor, caller.address, &target, "forbidden");
        Err(Failure::new(ProblemType::Forbidden).detail(format!("this needs the role {needed}")))
    }
}

impl FromRequestParts<Arc<Kdc>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, kdc: &Arc<Kdc>) -> Result<Self, Failure> {
        let peer = parts.extensions.get::<Peer>().map(|Peer(peer)| *peer);
        let refuse = |reason: &'static str, cause: &dyn Display| {
            let failure = Failure::new(ProblemType::InvalidToken).detail(
                "send a token of `keycell token create`, or of a configured issuer, as Authorization: Bearer",
            );
            let Some(peer) = peer.map(|peer| peer.ip()) else { return failure };
            // What is past the limit is neither recorded nor logged.
            if let Err(limit) = kdc.failed(peer) {
                return Failure::failed_too_often(limit);
            }
            tracing::info!(reason, %cause, "administrator refused");
            kdc.recorder().refused_administrator(kdc.now(), &Actor::Address(peer), Some(peer), "", reason);
            failure
        };
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")) else {
            return Err(refuse("no token", &"no bearer token was sent"));
        };
        let mut caller = kdc.access().check(token.trim(), kdc.now()).await.map_err(|error| {
            if error.is_away() {
                // It says nothing about the token, so it does not count against the address.
                return Failure::new(ProblemType::Unavailable).detail(error.to_string()).retry_after(AWAY);
            }
            // Its texts are fixed: nothing of what a stranger sent is in them.
            refuse(error.reason(), &error)
        })?;
        caller.request = parts.extensions.get::<RequestId>().map(ToString::to_string);
        caller.address = peer.map(|peer| peer.ip());
        Ok(Self { caller, kdc: kdc.clone() })
    }
}

/// An issuer is not asked more often.
const AWAY: Duration = Duration::from_secs(10);
