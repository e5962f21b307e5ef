//! Requests for tickets (docs/protocol.md §7).

use std::sync::{Arc, LazyLock};

use keycell_protocol::{KeyReference, SignedRequest, Subkeys, TicketRequest};

use super::authenticate::{decoy, unreadable};
use super::{Kind, Moment, Refusal, Stamp};
use crate::directory::Party;

/// Asking for tickets ([`SignedRequest`]). Each destination costs one.
#[derive(Debug, Clone, Copy)]
pub enum Tickets {}

impl Kind for Tickets {
    type Signed<'a> = SignedRequest<'a>;
    type Keys = Arc<Subkeys>;
    type Request = TicketRequest;

    fn key<'a>(signed: &'a SignedRequest<'_>) -> &'a KeyReference {
        signed.key()
    }

    fn keys(party: &Party, key: &KeyReference, moment: Moment) -> Option<Arc<Subkeys>> {
        party.request_keys(key.generation, key.epoch, moment.epoch(), moment.now)
    }

    fn decoy() -> Arc<Subkeys> {
        // At hand, as a known party's are.
        static DECOY: LazyLock<Arc<Subkeys>> = LazyLock::new(|| Arc::new(decoy().subkeys()));
        DECOY.clone()
    }

    fn verify(signed: &SignedRequest<'_>, keys: &Arc<Subkeys>) -> Result<TicketRequest, Refusal> {
        signed.verify(&keys.request).map_err(unreadable)
    }

    fn stamp(request: &TicketRequest) -> Stamp {
        Stamp {
            timestamp: request.timestamp,
            nonce: request.nonce,
            instance: request.instance,
            cost: request.destinations.len(),
        }
    }
}
