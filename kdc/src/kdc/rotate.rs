//! How parties' keys turn over: on request of the party, and when they are told to.

use keycell_protocol::{Generation, ProblemType, Rotation, RotationReply, SignedRotation, UnixMillis};

use super::Kdc;
use crate::administration::{Asker, PartyError, Turned, due};
use crate::directory::Party;

impl Kdc {
    /// Answers a request to rotate: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`PartyError`].
    pub async fn rotate(&self, signed: &SignedRotation<'_>, asker: &Asker) -> Result<Vec<u8>, PartyError> {
        let rotation = match self.authenticated::<Rotation>(signed, self.moment(), asker.address) {
            // Another KDC may have staged the key a moment ago. So that an unknown name costs the same as a key that is
            // not known yet, the database is asked whatever was wrong.
            Err(denied) if denied.problem() == ProblemType::Unauthenticated => {
                self.ledger.catch_up().await;
                self.authenticated(signed, self.moment(), asker.address)?
            }
            outcome => outcome?,
        };
        let Turned { staged, changed } = self.keys.turn(&rotation, asker).await?;
        let (request, (_, keys)) = (rotation.request(), rotation.keys());
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
