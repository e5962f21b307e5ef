//! How parties' keys turn over: on request of the party, and when they are told to.

use std::net::IpAddr;

use keycell_protocol::{Generation, ProblemType, RotationReply, SignedRotation, UnixMillis};

use super::Kdc;
use crate::administration::{RotationError, Turned, due};
use crate::directory::Party;
use crate::issuance::{self, AuthenticatedRotation, Denied};

impl Kdc {
    /// Answers a request to rotate: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`RotationError`].
    pub async fn rotate(
        &self,
        signed: &SignedRotation<'_>,
        request: Option<String>,
        address: Option<IpAddr>,
    ) -> Result<Vec<u8>, RotationError> {
        let rotation = match self.authenticated(signed) {
            // Another KDC may have staged the key a moment ago. So that an unknown name costs the same as a key that is
            // not known yet, the database is asked whatever was wrong.
            Err(denied) if denied.problem() == ProblemType::Unauthenticated => {
                self.ledger.catch_up().await;
                self.authenticated(signed)?
            }
            outcome => outcome?,
        };
        let Turned { staged, changed } = self.keys.turn(&rotation, request, address).await?;
        let (request, keys) = (rotation.request(), rotation.keys());
        let (now, random) = (self.now(), &mut crate::random::system());
        let (step, body) = match &staged {
            Some(next) => ("stage", RotationReply::seal_staged(request, now, next, keys, random)),
            None => ("commit", RotationReply::seal_committed(request, now, keys, random)),
        };
        if changed {
            self.metrics.keys.rotated(step);
        }
        Ok(body)
    }

    fn authenticated(&self, signed: &SignedRotation<'_>) -> Result<AuthenticatedRotation, Denied> {
        issuance::authenticate_rotation(
            signed,
            &self.directory,
            &self.nonces,
            &self.limits,
            self.moment(),
            self.freshness(),
        )
    }

    /// Whether the reply to a request asks its party to rotate: not who signs with a key that is replaced already.
    pub(super) fn is_to_rotate(&self, party: &Party, signed_by: Generation, now: UnixMillis) -> bool {
        party.active().is_some_and(|active| active.generation == signed_by)
            && due(party, now, self.directory.settings().zone.rotate_keys_after_days)
    }

    /// Whether a party is told to rotate its key when it next asks for tickets.
    #[must_use]
    pub fn rotation_due(&self, party: &Party) -> bool {
        due(party, self.now(), self.directory.settings().zone.rotate_keys_after_days)
    }
}
