//! The KDC, and what hosts send it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread;

use keycell_client::system_rng;
use keycell_kdc::audit::{Action, Actor, Event};
use keycell_kdc::cell::{Cell, NewCell};
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::enrollment::{EnrollError, JoinTokenRecord};
use keycell_kdc::kdc::Kdc;
use keycell_kdc::limit::Rate;
use keycell_kdc::policy::Profile;
use keycell_kdc::store::{Act, Kind, Write};
use keycell_protocol::{
    AuthorKey, EnrollmentRequest, Instance, JoinToken, KdcIdentity, Nonce, RatchetPeriod,
};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A zone with one KDC and one join token.
pub(crate) struct Zone {
    pub(crate) kdc: Kdc,
    token: JoinToken,
    primary: KdcIdentity,
}

impl Zone {
    pub(crate) async fn new(folder: &Path, hosts: usize) -> Self {
        let cell = NewCell {
            folder: folder.join("cell"),
            zone: "cell.example".parse().expect("a zone"),
            listen: "127.0.0.1:7423".parse().expect("an address"),
            urls: vec!["https://localhost:7423".into()],
            database: None,
            ratchet_period: RatchetPeriod::DEFAULT,
            profile: Profile::Open,
        };
        cell.create(&SystemClock).await.expect("a cell");
        let mut config = Config::load(&cell.folder.join(Config::FILE), None).expect("its configuration");
        // Sealing all of the requests takes a while.
        config.tickets.clock_skew_seconds = 600;
        config.limits.enrollments_per_address = Rate::new(u32::MAX, u32::MAX);
        let cell = Cell::open(&config).await.expect("an open cell");
        let kdc = cell.into_kdc(config, std::sync::Arc::new(SystemClock)).await.expect("a KDC");
        let primary = kdc.identities().public().into_iter().next().expect("a primary identity");
        let token = JoinToken::generate(&mut system_rng());
        let zone = Self { kdc, token, primary };
        zone.put_token(hosts).await;
        zone
    }

    async fn put_token(&self, hosts: usize) {
        let now = SystemClock.now();
        let record = JoinTokenRecord {
            verifier: self.token.verifier(),
            service: "nanoprobe".parse().expect("a service"),
            hosts: vec!["web*.example".parse().expect("a pattern")],
            networks: Vec::new(),
            uses: hosts as u32,
            used: 0,
            expires_at: now.plus(3_600_000),
            note: String::new(),
            created_by: "console:load".to_owned(),
            created_at: now,
            revoked_at: None,
            revision: 0,
        };
        let (id, ledger) = (self.token.id().to_string(), self.kdc.ledger());
        let body = serde_json::to_string(&record).expect("it is JSON");
        let document =
            ledger.keyring().seal_document(Kind::JoinToken, id.clone(), 1, body, &mut system_rng());
        let event = Event::new(now, Actor::Kdc, Action::JoinTokenCreate, id);
        let act = Act::new(Write::PutDocument { document, expected: None }, event);
        ledger.commit(&act).await.expect("a join token");
    }

    /// What that many hosts send, on all cores.
    pub(crate) fn requests(&self, hosts: usize) -> Vec<Vec<u8>> {
        let threads = thread::available_parallelism().map_or(2, std::num::NonZero::get);
        thread::scope(|scope| {
            let seal = |part| {
                scope.spawn(move || {
                    (part..hosts).step_by(threads).map(|n| self.request(n)).collect::<Vec<_>>()
                })
            };
            let parts: Vec<_> = (0..threads).map(seal).collect();
            parts.into_iter().flat_map(|part| part.join().expect("a thread does not panic")).collect()
        })
    }

    fn request(&self, number: usize) -> Vec<u8> {
        let random = &mut system_rng();
        let key = AuthorKey::generate(random);
        let request = EnrollmentRequest {
            service: "nanoprobe".parse().expect("a service"),
            host: format!("web{number}.example").parse().expect("a host"),
            public_key: key.public(),
            token: Some(self.token.clone()),
            timestamp: SystemClock.now(),
            nonce: Nonce::generate(random),
            instance: Instance::generate(random),
        };
        request.seal(self.kdc.zone(), &self.primary, &key, random).expect("an identity").0
    }

    /// Whether the host is aboard; else it comes again.
    pub(crate) async fn enroll(&self, request: &[u8]) -> bool {
        match self.kdc.enroll(request, None, ADDRESS).await {
            Ok(_) => true,
            Err(EnrollError::Overloaded) => false,
            Err(error) => unreachable!("{error}"),
        }
    }

    /// How many are aboard, how often the token was used, and in how many transactions.
    pub(crate) async fn counts(&self) -> (usize, u32, u32) {
        let id = self.token.id().to_string();
        let document = self.kdc.ledger().store().document(Kind::JoinToken, &id).await;
        let document = document.expect("it can be read").expect("it is there");
        let record: JoinTokenRecord = serde_json::from_str(&document.body).expect("a join token");
        let parties = self.kdc.ledger().store().parties().await.expect("they can be read").parties;
        let aboard = parties.iter().filter(|party| party.enrollment.is_some()).count();
        let page = self.kdc.metrics().page().expect("metrics");
        let batches = page.lines().find_map(|line| line.strip_prefix("keycell_enrollment_batch_count "));
        (aboard, record.used, batches.and_then(|count| count.parse().ok()).expect("a count"))
    }

    pub(crate) async fn close(&self) {
        self.kdc.close().await;
    }
}
