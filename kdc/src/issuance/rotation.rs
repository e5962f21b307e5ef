//! Requests to rotate a key (docs/protocol.md §4.4).

use std::sync::Arc;

use keycell_protocol::{KeyReference, Rotation, RotationKeys, RotationRequest, SignedRotation, Step};

use super::authenticate::{decoy, unauthenticated, unreadable};
use super::{Kind, Moment, Refusal, Stamp};
use crate::directory::{Directory, Party};
use crate::store::KeyState;

/// A staged key is accepted for nothing but its commit. A step costs the party as much as 100 tickets: rotations are rare,
/// and each is a write.
impl Kind for Rotation {
    type Signed<'a> = SignedRotation<'a>;
    type Keys = (KeyState, RotationKeys);
    type Request = RotationRequest;

    /// Zones rotate as parties do.
    fn asker(directory: &Directory, name: &str) -> Option<Arc<Party>> {
        directory.principal(name)
    }

    fn key<'a>(signed: &'a SignedRotation<'_>) -> &'a KeyReference {
        signed.key()
    }

    fn keys(party: &Party, key: &KeyReference, moment: Moment) -> Option<Self::Keys> {
        party.rotation_keys(key.generation, key.epoch, moment.epoch(), moment.now)
    }

    fn decoy() -> Self::Keys {
        (KeyState::Active, decoy().keys_for())
    }

    fn verify(signed: &SignedRotation<'_>, (state, keys): &Self::Keys) -> Result<RotationRequest, Refusal> {
        let request = signed.verify(keys).map_err(unreadable)?;
        if *state == KeyState::Staged && request.step == Step::Stage {
            return Err(unauthenticated("signed with a key that is only staged"));
        }
        Ok(request)
    }

    fn stamp(request: &RotationRequest) -> Stamp {
        Stamp { timestamp: request.timestamp, nonce: request.nonce, instance: request.instance, cost: COST }
    }
}

/// What a step of a rotation costs, in tickets.
const COST: usize = 100;
