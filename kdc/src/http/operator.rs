//! Who administers: a checked token, as an extractor.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use keycell_protocol::ProblemType;

use super::Peer;
use super::problem::Failure;
use super::tickets::counted;
use crate::kdc::Kdc;
use crate::token::{Claims, Role};

/// An administrator whose token holds. There is no other way to one.
#[derive(Debug)]
pub(super) struct Operator(Claims);

impl Operator {
    /// Who it is, for the log.
    pub(super) fn name(&self) -> &str {
        &self.0.sub
    }

    /// Checks that the role reaches as far as `needed`.
    pub(super) fn may(&self, needed: Role) -> Result<(), Failure> {
        if self.0.role.includes(needed) {
            return Ok(());
        }
        tracing::warn!(administrator = self.name(), role = %self.0.role, needed = %needed, "role does not reach");
        Err(Failure::new(ProblemType::Forbidden).detail(format!("this needs the role {needed}")))
    }
}

impl FromRequestParts<Arc<Kdc>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, kdc: &Arc<Kdc>) -> Result<Self, Failure> {
        let refuse = |cause: &str| {
            // What a stranger sent goes no further than a line.
            let cause: String = cause.chars().take(200).collect();
            tracing::info!(cause, "administrator refused");
            let failure = Failure::new(ProblemType::InvalidToken)
                .detail("send a token of `keycell token create` as Authorization: Bearer");
            match parts.extensions.get::<Peer>() {
                Some(Peer(peer)) => counted(kdc, *peer, failure),
                None => failure,
            }
        };
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer")) else {
            return Err(refuse("no bearer token"));
        };
        kdc.tokens().check(token, kdc.now()).map(Self).map_err(|error| refuse(&error.to_string()))
    }
}
