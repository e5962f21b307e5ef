//! Who has the KDC's machine as it was: a copy of everything on it, the primary identity's private halves out of that, a KDC
//! that runs on it, and what passed between some hosts and the KDC before.

use std::net::IpAddr;
use std::sync::Arc;

use keycell_client::UnixMillis;
use keycell_kdc::cell;
use keycell_kdc::clock::ManualClock;
use keycell_kdc::config::Config;
use keycell_kdc::identities::Identity;
use keycell_protocol::{
    AuthorKey, Bundle, EnrollmentRequest, IdentityName, Instance, JoinToken, KdcIdentity, LongTermKey, Name,
    Nonce, RatchetPeriod, SealedEnrollment, SignedRequest, TicketRequest,
};
use rand_core::SeedableRng as _;

use super::cell::Cell;
use super::crowd::Crowd;
use super::host::{Host, Random};
use super::kdc::{Reached, Served};

pub(crate) struct Thief {
    primary: Identity,
    kdc: Served,
    random: Random,
}

/// One thing that was tried.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) what: &'static str,
    pub(crate) tried: u64,
    pub(crate) succeeded: u64,
    /// Whether that is what must come of it.
    pub(crate) held: bool,
}

impl Trial {
    /// What must not succeed once.
    fn never(what: &'static str, outcomes: &[bool]) -> Self {
        Self::of(what, outcomes, |succeeded| succeeded == 0)
    }

    /// What succeeds each time: so the same that does not succeed later was tried in the right way.
    fn always(what: &'static str, outcomes: &[bool]) -> Self {
        Self::of(what, outcomes, |succeeded| succeeded == outcomes.len())
    }

    fn of(what: &'static str, outcomes: &[bool], right: impl Fn(usize) -> bool) -> Self {
        let succeeded = outcomes.iter().filter(|succeeded| **succeeded).count();
        let held = !outcomes.is_empty() && right(succeeded);
        Self { what, tried: outcomes.len() as u64, succeeded: succeeded as u64, held }
    }
}

impl Thief {
    /// Takes what is in a copy of the cell's folder.
    pub(crate) async fn with(config: &Config, clock: &Arc<ManualClock>) -> Self {
        let cell = cell::Cell::open(config).await.expect("the copy is whole");
        let name = IdentityName::PRIMARY;
        let secret = cell.store.secret(&format!("identity {name}")).await.expect("a database");
        let secret =
            cell.keyring.open_secret(&secret.expect("the primary is there")).expect("the master key");
        let primary = Identity::from_secret(name, &secret).expect("an identity");
        cell.store.close().await;
        Self { primary, kdc: Served::start(config, clock).await, random: Random::seed_from_u64(13) }
    }

    /// The KDC that it runs.
    pub(crate) fn kdc(&self) -> Reached {
        self.kdc.reached()
    }

    pub(crate) async fn stop(self) {
        self.kdc.stop().await;
    }

    /// Whether it opens what a host sent.
    fn opens(&self, sent: &[u8]) -> bool {
        SealedEnrollment::parse(sent).is_ok_and(|sealed| sealed.open(self.primary.encryption()).is_ok())
    }

    /// Reads the requests that hosts sent first, to the identity that it stole, and those by which they came back.
    pub(crate) fn reads(&self, hosts: &[&Host]) -> [Trial; 2] {
        let recorded = || hosts.iter().filter_map(|host| host.recorded.as_ref());
        let first: Vec<_> =
            recorded().map(|recorded| recorded.sent.first().is_some_and(|sent| self.opens(sent))).collect();
        let last: Vec<_> =
            recorded().filter_map(|recorded| recorded.sent.get(1)).map(|sent| self.opens(sent)).collect();
        [
            Trial::always(
                "reads what hosts sent to the stolen identity before, if it recorded that inside TLS",
                &first,
            ),
            Trial::never("reads what hosts sent when they came back", &last),
        ]
    }

    /// A join token that it read so.
    pub(crate) fn join_token(&self, host: &Host) -> Option<JoinToken> {
        let sent = host.recorded.as_ref()?.sent.first()?;
        let (request, _) = SealedEnrollment::parse(sent).ok()?.open(self.primary.encryption()).ok()?;
        request.token
    }

    /// Asks the KDC for tickets in the name of hosts, with the keys that they had.
    pub(crate) async fn asks_as(
        &mut self,
        what: (&'static str, bool),
        hosts: &[&Host],
        (peer, now): (&Name, UnixMillis),
        kdc: &Reached,
    ) -> Trial {
        let mut outcomes = Vec::new();
        for host in hosts {
            let key = host.recorded.as_ref().and_then(|recorded| recorded.keys.first()).expect("recorded");
            let request = self.ticket_request(&host.name(), peer, key.clone(), now);
            outcomes.push(matches!(kdc.post(host.address(), "/v1/tickets", &request).await, Some(Ok(_))));
        }
        let (what, works) = what;
        if works { Trial::always(what, &outcomes) } else { Trial::never(what, &outcomes) }
    }

    fn ticket_request(&mut self, source: &Name, peer: &Name, key: LongTermKey, now: UnixMillis) -> Vec<u8> {
        let epoch = RatchetPeriod::DEFAULT.epoch(now.seconds());
        let keys = key.advance(epoch).expect("forward").subkeys();
        let request = TicketRequest {
            source: source.clone(),
            destinations: vec![peer.clone()],
            timestamp: now,
            nonce: Nonce::generate(&mut self.random),
            instance: Instance::generate(&mut self.random),
        };
        SignedRequest::sign(&request, &keys).expect("a request").to_json()
    }

    /// Enrolls at the KDC as hosts of these names, with keys of its own.
    pub(crate) async fn enrolls_as(
        &mut self,
        what: &'static str,
        hosts: &[&Host],
        (bundle, to, token): (&Bundle, &KdcIdentity, Option<&JoinToken>),
        now: UnixMillis,
        kdc: &Reached,
    ) -> Trial {
        let mut outcomes = Vec::new();
        for host in hosts {
            let key = AuthorKey::generate(&mut self.random);
            let request = EnrollmentRequest {
                service: host.enrolled_name().service.clone(),
                host: host.enrolled_name().host.clone(),
                public_key: key.public(),
                token: token.cloned(),
                timestamp: now,
                nonce: Nonce::generate(&mut self.random),
                instance: Instance::generate(&mut self.random),
            };
            let (body, _) = request.seal(&bundle.zone, to, &key, &mut self.random).expect("an identity");
            outcomes.push(enrolled(kdc, host.address(), &body).await);
        }
        Trial::never(what, &outcomes)
    }

    /// Sends once more what hosts sent when they first enrolled.
    pub(crate) async fn replays(&self, hosts: &[&Host], kdc: &Reached) -> Trial {
        let mut outcomes = Vec::new();
        for host in hosts {
            let sent = host.recorded.as_ref().and_then(|recorded| recorded.sent.first()).expect("recorded");
            outcomes.push(enrolled(kdc, host.address(), sent).await);
        }
        Trial::never("enrolls hosts by what they sent before", &outcomes)
    }

    /// Tells hosts that no KDC knows their keys, and takes their requests to enroll: which of them believe its answer.
    pub(crate) async fn answers(&self, hosts: &mut Crowd, cell: &Cell) -> Trial {
        hosts.events();
        let end = cell.now().plus(LONG);
        while cell.now() < end {
            // By its clock, which the host's must agree with.
            let kdc = self.kdc().knowing_nobody(cell.now());
            hosts.pass_with(cell, &kdc, cell.now().plus(10_000)).await;
        }
        let asked = hosts.hosts().filter(|host| host.events.asked_to_enroll.total() > 0);
        let outcomes: Vec<_> = asked.map(|host| host.events.enrolled.total() > 0).collect();
        Trial::never("enrolls hosts that are back, as their KDC, if it has the TLS key too", &outcomes)
    }

    /// Answers hosts that are back as its KDC does: which of them are given anything, by the keys that they had before.
    pub(crate) async fn gives_tickets(&self, hosts: &mut Crowd, cell: &Cell) -> Trial {
        hosts.events();
        hosts.pass_with(cell, &self.kdc(), cell.now().plus(LONG)).await;
        let asked = hosts.hosts().filter(|host| host.events.unauthenticated.total() > 0);
        let outcomes: Vec<_> = asked.map(|host| host.events.tickets.total() > 0).collect();
        Trial::never(
            "gives tickets to hosts that are back, as their KDC, if it has the TLS key too",
            &outcomes,
        )
    }

    /// The same as [`answers`](Self::answers) of a machine that is new.
    pub(crate) async fn answers_new(
        &self,
        what: (&'static str, bool),
        mut host: Host,
        now: UnixMillis,
    ) -> Trial {
        for later in 0..3 {
            host.turn(now.plus(later * 10_000), &self.kdc()).await;
        }
        let (what, works) = what;
        let outcomes = [host.events.enrolled.total() > 0];
        if works { Trial::always(what, &outcomes) } else { Trial::never(what, &outcomes) }
    }
}

/// Whether the KDC lets it in.
async fn enrolled(kdc: &Reached, from: IpAddr, body: &[u8]) -> bool {
    matches!(kdc.post(from, "/v1/enroll", body).await, Some(Ok(_)))
}

/// In milliseconds.
const LONG: u64 = 30 * 60_000;
