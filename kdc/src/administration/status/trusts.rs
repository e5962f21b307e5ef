//! The trusts, with what this KDC knows of the other zones' KDCs.

use keycell_protocol::Name;

use crate::api::TrustState;
use crate::kdc::Kdc;
use crate::trust::{Direction, TrustRecord};

/// How a trust stands.
pub fn trust_state(kdc: &Kdc, trust: &TrustRecord) -> TrustState {
    let peer = match trust.direction {
        Direction::Incoming => None,
        Direction::Outgoing => kdc.peers().states().into_iter().find(|peer| peer.zone == trust.zone),
    };
    let here = Name::of_zone(&trust.zone, kdc.zone());
    let asks = match trust.direction {
        Direction::Incoming => kdc.directory().zone(here.as_str()),
        Direction::Outgoing => None,
    };
    let held = trust.peer.as_ref().and_then(|peer| peer.held).map(|held| held.generation);
    let active = asks.as_ref().and_then(|asks| Some(asks.active()?.generation));
    let last = peer.as_ref().and_then(|peer| peer.last);
    TrustState {
        direction: trust.direction,
        zone: trust.zone.clone(),
        enabled: trust.enabled,
        key_generation: held.or(active),
        last_answer: peer
            .as_ref()
            .and_then(|peer| peer.answered_at)
            .or_else(|| asks.as_ref().and_then(|asks| asks.seen().at())),
        last_request: last.map(|last| last.at),
        last_outcome: last.map(|last| last.outcome.to_owned()),
        breaker: peer.map(|peer| peer.breaker.to_owned()),
    }
}

/// What an operator should look at.
pub(super) fn warnings(trusts: &[TrustState], warn: &mut impl FnMut(&str, String)) {
    let enabled = || trusts.iter().filter(|trust| trust.enabled);
    let is_kept_away =
        |trust: &&TrustState| trust.breaker.as_deref().is_some_and(|stands| stands != "closed");
    let kept_away: Vec<_> = enabled().filter(is_kept_away).map(|trust| trust.zone.to_string()).collect();
    if !kept_away.is_empty() {
        let text = format!(
            "the KDCs of {} do not answer, so our parties get no tickets there: look at the way to them, and ask their operator",
            kept_away.join(", ")
        );
        warn("peers", text);
    }
    let refuses = |trust: &&TrustState| trust.last_outcome.as_deref() == Some("refused");
    let refusing: Vec<_> = enabled().filter(refuses).map(|trust| trust.zone.to_string()).collect();
    if !refusing.is_empty() {
        let text = format!(
            "the KDCs of {} refuse what this one asks, so our parties get no tickets there: the trust was disabled or deleted \
             there, or its key is another one; the log of this KDC says which, and their administrator knows why",
            refusing.join(", ")
        );
        warn("peers", text);
    }
    for trust in enabled().filter(|trust| trust.key_generation.is_none()) {
        let text = format!(
            "the {} trust with {} has no key: have a new offer made, `keycell trust offer`, and accepted",
            trust.direction, trust.zone
        );
        warn("trust", text);
    }
}
