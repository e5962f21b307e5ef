//! Hosts as the KDC keeps them when they come, put there on the cell's own files.

use keycell_kdc::administration::Caller;
use keycell_kdc::audit::{Action, Event};
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::enrollment::{Admission, EnrollmentRecord, WaitingFor, WaitingRecord, WaitingState};
use keycell_kdc::store::{Act, Kind, Write};
use keycell_protocol::{
    AuthorKey, AuthorPublicKey, EnrolledName, Fingerprint, Generation, IdentityName, UnixMillis,
};
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;

/// A host with a key of its own.
pub(crate) struct Host {
    pub(crate) service: String,
    pub(crate) host: String,
    pub(crate) key: AuthorPublicKey,
}

impl Host {
    pub(crate) fn new(service: &str, host: &str) -> Self {
        let key = AuthorKey::generate(&mut keycell_client::system_rng()).public();
        Self { service: service.to_owned(), host: host.to_owned(), key }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key)
    }

    pub(crate) fn name(&self) -> String {
        let name = EnrolledName {
            service: self.service.parse().unwrap(),
            host: self.host.parse().unwrap(),
            fingerprint: self.fingerprint(),
        };
        name.name(&Cell::ZONE.parse().unwrap()).to_string()
    }

    /// What is kept of it while it waits.
    pub(crate) fn record(&self) -> WaitingRecord {
        let now = SystemClock.now();
        WaitingRecord {
            state: WaitingState::Waiting,
            because: Some(WaitingFor::Approval),
            service: Some(self.service.parse().unwrap()),
            host: Some(self.host.parse().unwrap()),
            public_key: Some(self.key),
            token: None,
            address: Some("192.0.2.7".parse().unwrap()),
            first_at: now,
            decided_at: None,
            decided_by: None,
            until: Some(now.plus(86_400_000)),
            note: String::new(),
            revision: 1,
        }
    }
}

/// Hosts wait from now on.
pub(crate) async fn wait(cell: &Cell, hosts: &[&Host]) {
    let records: Vec<_> = hosts.iter().map(|host| (host.fingerprint(), host.record())).collect();
    keep(cell, &records).await;
}

/// Keeps this of hosts.
pub(crate) async fn keep(cell: &Cell, records: &[(Fingerprint, WaitingRecord)]) {
    let write = |opened: &keycell_kdc::cell::Cell, (fingerprint, record): &(Fingerprint, WaitingRecord)| {
        let body = serde_json::to_string(record).unwrap();
        let random = &mut keycell_client::system_rng();
        let id = fingerprint.to_string();
        let document = opened.keyring.seal_document(Kind::Enrollment, id, record.revision, body, random);
        Write::PutDocument { document, expected: None }
    };
    commit(cell, |opened| records.iter().map(|record| write(opened, record)).collect()).await;
}

/// Makes the party of a host, as if it had come aboard by itself.
pub(crate) async fn enroll(cell: &Cell, admin: &Http, host: &Host) {
    admin.add(&host.name()).await;
    let opened = open(cell).await;
    let mut party = opened.store.party(&host.name().parse().unwrap()).await.unwrap().unwrap();
    party.enrollment = Some(Box::new(EnrollmentRecord {
        service: host.service.parse().unwrap(),
        host: host.host.parse().unwrap(),
        public_key: host.key,
        identity: IdentityName::PRIMARY,
        generation: Generation::FIRST,
        timestamp: UnixMillis(5),
        request: "00".to_owned(),
        admission: Admission::Tofu,
        token: None,
        address: "192.0.2.8".parse().unwrap(),
        enrolled_at: UnixMillis(6),
        renewed_at: UnixMillis(7),
    }));
    opened.store.close().await;
    let expected = Some(party.revision);
    commit(cell, |_| vec![Write::PutParty { party, expected }]).await;
}

async fn commit(cell: &Cell, writes: impl FnOnce(&keycell_kdc::cell::Cell) -> Vec<Write>) {
    let opened = open(cell).await;
    let event: Event = Caller::console().event(SystemClock.now(), Action::EnrollmentWait, "");
    let act = Act { writes: writes(&opened), events: vec![event] };
    opened.store.commit(&act, &opened.audit_key).await.unwrap();
    opened.store.close().await;
}

async fn open(cell: &Cell) -> keycell_kdc::cell::Cell {
    let config = Config::load(&cell.file(Config::FILE), None).unwrap();
    keycell_kdc::cell::Cell::open(&config).await.unwrap()
}
