//! Another zone that a cell trusts, made of the protocol's own types and nothing else.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use keycell_client::system_rng;
use keycell_kdc::cell;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::identities::Identity;
use keycell_kdc::keyring::{Life, Standing};
use keycell_kdc::policy::Mode;
use keycell_kdc::store::{Act, Kind, PartyRecord, Write};
use keycell_kdc::trust::{DEFAULT_RATE, Direction, SCHEMA, TrustRecord};
use keycell_protocol::{
    Correlation, Generation, IdentityName, Instance, KeysFor, LongTermKey, Name, Nonce, PeerPair,
    PeerRequest, Peers, SignedPeerRequest, Zone,
};

use crate::cell::Cell;
use crate::party::Party;

impl Cell {
    /// Trusts another zone with everything, as an offer does, and returns what that zone is here with its key. A KDC that
    /// runs knows of it in a moment.
    pub async fn trusts(&self, zone: &str, enabled: bool) -> Party {
        let asking: Zone = zone.parse().expect("a zone");
        let config = Config::load(&self.file("keycell.toml"), None).expect("the cell's configuration");
        let cell = cell::Cell::open(&config).await.expect("the cell opens");
        let (now, random) = (SystemClock.now(), &mut system_rng());
        let here = &cell.zone.zone;
        let name = Name::of_zone(&asking, here);
        let epoch = cell.zone.ratchet_period.epoch(now.seconds());
        let key = LongTermKey::generate(Generation::FIRST, epoch, random);
        let standing = Standing { enabled, ..Standing::NEW };
        let sealed = cell.keyring.seal_key(&name, standing, &key, Life::active(now), random);
        let party = PartyRecord { enabled, keys: vec![sealed], ..PartyRecord::new(name.clone(), now) };
        let everybody = |zone: &Zone| vec![format!("*@{zone}").parse().expect("a pattern")];
        let kdc = Identity::generate(IdentityName::PRIMARY, random);
        let record = TrustRecord {
            direction: Direction::Incoming,
            zone: asking.clone(),
            enabled,
            mode: Mode::Enforce,
            sources: everybody(&asking),
            destinations: everybody(here),
            lifetime_seconds: None,
            rate: DEFAULT_RATE,
            log_tickets: false,
            note: String::new(),
            identities: vec![kdc.public().expect("its public half")],
            peer: None,
            offered: None,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        let body = serde_json::to_string(&record).expect("becomes JSON");
        let document = cell.keyring.seal_document(Kind::Trust, record.id(), 1, body, random);
        let writes = vec![
            Write::PutParty { party, expected: None },
            Write::PutDocument { document, expected: None },
            Write::NeedSchema(SCHEMA),
        ];
        cell.store.commit(&Act { writes, events: Vec::new() }, &cell.audit_key).await.expect("written");
        cell.store.close().await;
        Party { name, key, ratchet_period: cell.zone.ratchet_period }
    }
}

impl Party {
    /// A request of the zone that this is, made now: from each of the first to each of the second.
    #[must_use]
    pub fn for_its_parties(&self, pairs: &[(&str, &str)]) -> PeerRequest {
        let name = |name: &str| name.parse().expect("a name");
        let pair = |(source, destination): &(&str, &str)| PeerPair {
            source: name(source),
            destination: name(destination),
        };
        let random = &mut system_rng();
        PeerRequest {
            source: self.name.clone(),
            requests: pairs.iter().map(pair).collect(),
            lifetime_seconds: 900,
            correlation: Correlation::generate(random),
            timestamp: SystemClock.now(),
            nonce: Nonce::generate(random),
            instance: Instance::generate(random),
        }
    }

    /// The JSON of it, signed with the key of the trust.
    #[must_use]
    pub fn sign_as_zone(&self, request: &PeerRequest) -> Vec<u8> {
        SignedPeerRequest::sign(request, &self.keys_as_zone()).expect("at most 1,000 tickets").to_json()
    }

    /// What a zone asks with now.
    #[must_use]
    pub fn keys_as_zone(&self) -> KeysFor<Peers> {
        let now = self.ratchet_period.epoch(SystemClock.now().seconds());
        self.key.clone().advance(now).expect("the key is not of the future").keys_for()
    }
}
