//! Who asks to rotate its key (docs/protocol.md §4.4).

use std::sync::{Arc, LazyLock};

use keycell_protocol::{Epoch, Generation, LongTermKey, RotationKeys, RotationRequest, SignedRotation, Step};

use super::authenticate::{Stamp, accept, unauthenticated, unreadable};
use super::{Denied, Freshness, Moment, Nonces};
use crate::directory::{Directory, Party};
use crate::limit::Limits;
use crate::store::KeyState;

/// A request to rotate whose signature holds, which is fresh, and which was not seen before.
#[derive(Debug)]
pub struct AuthenticatedRotation {
    party: Arc<Party>,
    keys: RotationKeys,
    request: RotationRequest,
}

impl AuthenticatedRotation {
    /// Whose key it is.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// What is asked.
    #[must_use]
    pub const fn request(&self) -> &RotationRequest {
        &self.request
    }

    /// The generation that signed the request.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.keys.generation()
    }

    /// The keys that signed the request, and that seal the reply.
    pub(crate) const fn keys(&self) -> &RotationKeys {
        &self.keys
    }
}

/// Checks a request to rotate as [`authenticate`](super::authenticate) does one for tickets. A staged key is accepted
/// for nothing but its commit. It costs the party as much as 100 tickets: rotations are rare, and each is a write.
///
/// # Errors
/// As [`authenticate`](super::authenticate).
pub fn authenticate_rotation(
    signed: &SignedRotation<'_>,
    directory: &Directory,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<AuthenticatedRotation, Denied> {
    let reference = signed.key();
    let known = directory.party(reference.name.as_str()).and_then(|party| {
        let (state, keys) =
            party.rotation_keys(reference.generation, reference.epoch, moment.epoch(), moment.now)?;
        Some((party, state, keys))
    });
    let Some((party, state, keys)) = known else {
        // Derived anew, as a known party's keys are.
        let _ = signed.verify(&DECOY.keys_for());
        return Err(unauthenticated("no such party, or no such key of it").into());
    };
    let request = signed.verify(&keys).map_err(unreadable)?;
    if state == KeyState::Staged && request.step == Step::Stage {
        return Err(unauthenticated("signed with a key that is only staged").into());
    }
    let stamp = Stamp { timestamp: request.timestamp, nonce: request.nonce, cost: COST };
    accept(&party, stamp, nonces, limits, moment, freshness)?;
    Ok(AuthenticatedRotation { party, keys, request })
}

/// A key that nobody holds.
static DECOY: LazyLock<LongTermKey> =
    LazyLock::new(|| LongTermKey::generate(Generation(0), Epoch(0), &mut crate::random::system()));

/// What a step of a rotation costs, in tickets.
const COST: usize = 100;
