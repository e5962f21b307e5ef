//! A host that enrolls, by function call; and what administrators set for it.

use std::net::{IpAddr, Ipv4Addr};

use keycell_kdc::audit::{Action, Actor, Event, Record};
use keycell_kdc::enrollment::{EnrollError, EnrollmentSetting, JoinTokenRecord, Refusal, WaitingRecord};
use keycell_kdc::kdc::Kdc;
use keycell_kdc::store::{Act, AuditQuery, Kind, Write};
use keycell_protocol::{
    AuthorKey, Enrolled, EnrolledName, EnrollmentKeys, EnrollmentOutcome, EnrollmentRequest, Fingerprint,
    Instance, JoinToken, JoinTokenId, KdcIdentity, LongTermKey, Nonce, SealedEnrollmentReply, UnixMillis,
};

use crate::zone::Zone;

pub(crate) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A host with a key of its own.
pub(crate) struct Host {
    pub(crate) service: String,
    pub(crate) host: String,
    pub(crate) key: AuthorKey,
    pub(crate) token: Option<JoinToken>,
    pub(crate) address: IpAddr,
    /// To whom it writes.
    pub(crate) to: KdcIdentity,
}

/// A host that was taken aboard.
#[derive(Debug)]
pub(crate) struct Aboard {
    pub(crate) enrolled: Enrolled,
    pub(crate) key: LongTermKey,
}

/// What it sent, to be sent as often as one likes.
pub(crate) struct Sent {
    pub(crate) json: Vec<u8>,
    request: EnrollmentRequest,
    keys: EnrollmentKeys,
    to: KdcIdentity,
    address: IpAddr,
}

impl Host {
    /// One whose key is made of `number`.
    pub(crate) fn new(zone: &Zone, service: &str, host: &str, number: u8) -> Self {
        Self {
            service: service.to_owned(),
            host: host.to_owned(),
            key: AuthorKey::new(&[number; 32]),
            token: None,
            address: ADDRESS,
            to: zone.kdc.identities().public().remove(0),
        }
    }

    pub(crate) fn with(self, token: &JoinToken) -> Self {
        Self { token: Some(token.clone()), ..self }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key.public())
    }

    /// Its name without the zone.
    pub(crate) fn local(&self) -> String {
        let (service, host) = (self.service.parse().unwrap(), self.host.parse().unwrap());
        EnrolledName { service, host, fingerprint: self.fingerprint() }.to_string()
    }

    pub(crate) fn request(&self, zone: &Zone) -> Sent {
        self.request_at(zone, zone.now())
    }

    pub(crate) fn request_at(&self, zone: &Zone, timestamp: UnixMillis) -> Sent {
        let mut random = keycell_kdc::random::system();
        let mut nonce = [0; 16];
        rand_core::Rng::fill_bytes(&mut random, &mut nonce);
        let request = EnrollmentRequest {
            service: self.service.parse().unwrap(),
            host: self.host.parse().unwrap(),
            public_key: self.key.public(),
            token: self.token.clone(),
            timestamp,
            nonce: Nonce(nonce),
            instance: Instance([9; 16]),
        };
        let (json, keys) = request.seal(zone.kdc.zone(), &self.to, &self.key, &mut random).unwrap();
        Sent { json, request, keys, to: self.to.clone(), address: self.address }
    }

    /// Asks once, and is to be taken aboard.
    pub(crate) async fn enrolls(&self, zone: &Zone) -> Result<Aboard, EnrollError> {
        self.request(zone).go(zone).await
    }

    /// Asks once, and is to wait.
    pub(crate) async fn waits(&self, zone: &Zone) -> u32 {
        match self.request(zone).outcome(zone, &zone.kdc).await.unwrap() {
            EnrollmentOutcome::Pending { retry_after } => retry_after,
            outcome => panic!("{outcome:?}"),
        }
    }
}

impl Sent {
    pub(crate) async fn go(&self, zone: &Zone) -> Result<Aboard, EnrollError> {
        self.go_to(zone, &zone.kdc).await
    }

    pub(crate) async fn go_to(&self, zone: &Zone, kdc: &Kdc) -> Result<Aboard, EnrollError> {
        match self.outcome(zone, kdc).await? {
            EnrollmentOutcome::Enrolled(enrolled) => {
                let key = self.keys.long_term_key(enrolled.generation, enrolled.epoch);
                Ok(Aboard { enrolled, key })
            }
            outcome => panic!("{outcome:?}"),
        }
    }

    async fn outcome(&self, zone: &Zone, kdc: &Kdc) -> Result<EnrollmentOutcome, EnrollError> {
        let reply = kdc.enroll(&self.json, None, self.address).await?;
        let answer = SealedEnrollmentReply::parse(&reply)
            .unwrap()
            .open(&self.keys, &self.request, zone.kdc.zone(), &self.to)
            .unwrap();
        assert_eq!(answer.server_time, zone.now());
        Ok(answer.outcome)
    }
}

pub(crate) fn refused(outcome: Result<Aboard, EnrollError>, why: Refusal) {
    assert_eq!(outcome.unwrap_err(), EnrollError::Refused(why));
}

/// A token for ten hosts `nanoprobe` on `web*.example`.
pub(crate) fn join_token(zone: &Zone, token: &JoinToken) -> JoinTokenRecord {
    JoinTokenRecord {
        verifier: token.verifier(),
        service: "nanoprobe".parse().unwrap(),
        hosts: vec!["web*.example".parse().unwrap()],
        networks: Vec::new(),
        uses: 10,
        used: 0,
        expires_at: zone.now().plus(3_600_000),
        note: String::new(),
        created_by: "console:test".to_owned(),
        created_at: zone.now(),
        revoked_at: None,
        revision: 0,
    }
}

impl Zone {
    /// Makes a join token.
    pub(crate) async fn join_token(&self, change: impl FnOnce(&mut JoinTokenRecord)) -> JoinToken {
        let token = JoinToken::generate(&mut keycell_kdc::random::system());
        let mut record = join_token(self, &token);
        change(&mut record);
        self.put(Kind::JoinToken, &token.id().to_string(), &record).await;
        token
    }

    /// How often it was used, as the database has it.
    pub(crate) async fn uses(&self, token: &JoinToken) -> u32 {
        self.token_record(token.id()).await.used
    }

    pub(crate) async fn token_record(&self, id: JoinTokenId) -> JoinTokenRecord {
        let store = self.kdc.ledger().store();
        let document = store.document(Kind::JoinToken, &id.to_string()).await.unwrap().unwrap();
        serde_json::from_str(&document.body).unwrap()
    }

    /// Changes what is set of enrollment.
    pub(crate) async fn set(&self, change: impl FnOnce(&mut EnrollmentSetting)) {
        let mut setting = self.kdc.directory().settings().enrollment.clone();
        change(&mut setting);
        self.put(Kind::Setting, EnrollmentSetting::ID, &setting).await;
    }

    /// What is kept of a key that waits, or was decided on.
    pub(crate) async fn waiting(&self, host: &Host) -> Option<WaitingRecord> {
        let id = host.fingerprint().to_string();
        let document = self.kdc.ledger().store().document(Kind::Enrollment, &id).await.unwrap()?;
        Some(serde_json::from_str(&document.body).unwrap())
    }

    /// Writes a document over whatever is there, as an administrator would.
    pub(crate) async fn put(&self, kind: Kind, id: &str, body: &impl serde::Serialize) {
        let ledger = self.kdc.ledger();
        let before = ledger.store().document(kind, id).await.unwrap();
        let expected = before.map(|document| document.revision);
        let body = serde_json::to_string(body).unwrap();
        let revision = expected.unwrap_or(0) + 1;
        let mut random = keycell_kdc::random::system();
        let document = ledger.keyring().seal_document(kind, id.to_owned(), revision, body, &mut random);
        let event = Event::new(self.now(), Actor::Kdc, Action::EnrollmentUpdate, id);
        ledger.commit(&Act::new(Write::PutDocument { document, expected }, event)).await.unwrap();
    }

    /// What the audit log has of an action.
    pub(crate) async fn events(&self, action: &str) -> Vec<Record> {
        let query = AuditQuery { action: Some(action.to_owned()), limit: 1000, ..AuditQuery::default() };
        self.kdc.ledger().store().audit(&query).await.unwrap()
    }
}
