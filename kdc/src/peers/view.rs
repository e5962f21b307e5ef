//! What may be seen of asking other zones.

use keycell_protocol::{Generation, UnixMillis, Zone};

use super::keys::Which;
use super::{Last, Peers};

/// How one zone is asked, as this KDC sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerState {
    /// The zone.
    pub zone: Zone,
    /// `closed`, `half-open` or `open`.
    pub breaker: &'static str,
    /// When it last answered.
    pub answered_at: Option<UnixMillis>,
    /// What came of the last request to it.
    pub last: Option<Last>,
    /// The generation of the key that it is asked with; `None` where there is none.
    pub generation: Option<Generation>,
}

impl Peers {
    /// Every zone that may be asked.
    #[must_use]
    pub fn states(&self) -> Vec<PeerState> {
        let state = |peer: std::sync::Arc<super::Peer>| PeerState {
            zone: peer.trust.zone.clone(),
            breaker: peer.line.standing().as_str(),
            answered_at: peer.line.answered_at(),
            last: peer.line.last.last(),
            generation: peer.keys.first().and_then(|which: Which| peer.keys.generation(which)),
        };
        self.all().into_iter().map(state).collect()
    }
}
