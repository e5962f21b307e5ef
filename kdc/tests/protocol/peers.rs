//! The KDC that asks another zone's (docs/protocol.md §12): what its own parties get, whatever the other one does.

mod asking;
mod keeping;
mod lying;
mod sockets;
mod waiting;
mod wire;

use std::sync::Arc;

use keycell_client::Agent;
use keycell_kdc::config::{Config, PeersConfig};
use keycell_protocol::{
    Instance, LongTermKey, Name, Nonce, Outcome, Problem, ProblemType, RatchetPeriod, SealedReply,
    SignedRequest, TicketRequest,
};

use self::wire::Wire;
use crate::zone::Zone;
use crate::zones::trust::trust_between;

/// Two zones, the first of which trusts the second to speak to it.
pub(crate) struct Pair {
    pub(crate) here: Zone,
    pub(crate) there: Arc<Zone>,
    /// With which the first asks the second.
    key: LongTermKey,
    wire: Arc<Wire>,
}

impl Pair {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut PeersConfig)) -> Self {
        Self::of(change, |_| {}).await
    }

    async fn of(change: impl FnOnce(&mut PeersConfig), there: impl FnOnce(&mut Config)) -> Self {
        let patient = |config: &mut Config| {
            // Nothing here takes time but what hangs.
            config.peers.attempt_timeout_ms = 60_000;
            config.peers.timeout_ms = 60_000;
            change(&mut config.peers);
        };
        let here = Zone::named("one.example", RatchetPeriod::DEFAULT, patient).await;
        let there = Arc::new(Zone::named("two.example", RatchetPeriod::DEFAULT, there).await);
        let key = trust_between(&here, &there).await;
        let wire = Wire::lay(&here, &there);
        Self { here, there, key, wire }
    }

    /// The KDC that asks ends, and another starts on the same database.
    async fn restart(&mut self) {
        self.here.restart().await;
        self.wire.clone().join(&self.here);
    }

    fn advance(&self, millis: u64) {
        self.here.clock.advance(millis);
        self.there.clock.advance(millis);
    }
}

impl Zone {
    /// Asks for tickets as a party does that has `key`.
    pub(crate) async fn outcomes(
        &self,
        from: &str,
        key: &LongTermKey,
        to: &[Name],
    ) -> Result<Vec<Outcome>, ProblemType> {
        let request = TicketRequest {
            source: self.name(from),
            destinations: to.to_vec(),
            timestamp: self.now(),
            nonce: Nonce::generate(&mut keycell_kdc::random::system()),
            instance: Instance([1; 16]),
        };
        let keys = self.turned(key).subkeys();
        let json = SignedRequest::sign(&request, &keys).unwrap().to_json();
        let signed = SignedRequest::parse(&json).unwrap();
        let issued = self.kdc.tickets_anywhere(&signed, None).await.map_err(|denied| denied.problem())?;
        Ok(SealedReply::parse(&issued.body).unwrap().open(&keys.reply, &request).unwrap().outcomes)
    }

    /// Asks for one ticket.
    pub(crate) async fn one(&self, from: &str, key: &LongTermKey, to: &Name) -> Result<(), ProblemType> {
        match self.outcomes(from, key, std::slice::from_ref(to)).await?.pop().unwrap() {
            Outcome::Granted(grant) => {
                assert_eq!(grant.destination, *to);
                Ok(())
            }
            Outcome::Refused { problem, .. } => Err(problem.unwrap()),
        }
    }

    /// Lets an agent ask for what it wants, wherever that is.
    pub(crate) async fn fetch_anywhere(&self, agent: &mut Agent) {
        for _ in 0..3 {
            let Some(pending) = agent.wants(self.now()) else { return };
            let signed = SignedRequest::parse(&pending.body).unwrap();
            match self.kdc.tickets_anywhere(&signed, None).await {
                Ok(issued) => drop(agent.take_reply(self.now(), &pending, &issued.body).unwrap()),
                Err(denied) => {
                    agent.take_problem(self.now(), &pending, &Problem::new(denied.problem()));
                }
            }
        }
    }
}
