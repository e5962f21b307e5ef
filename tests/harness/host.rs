//! A host that enrolls, made of the protocol's own types and nothing else; and what it is let in by.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use keycell_client::system_rng;
use keycell_kdc::audit::{Action, Actor, Event};
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::enrollment::{EnrollmentMode, EnrollmentSetting, JoinTokenRecord};
use keycell_kdc::store::{Act, Kind, Write};
use keycell_protocol::{
    AuthorKey, AuthorPublicKey, Bundle, EnrolledName, EnrollmentAnswer, EnrollmentKeys, EnrollmentOutcome,
    EnrollmentRequest, Fingerprint, Instance, JoinToken, Nonce, SealedEnrollmentReply, UnixMillis,
};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use crate::cell::Cell;
use crate::http::{Answer, Http};
use crate::party::Party;

/// A host with a key of its own.
#[derive(Debug, Clone)]
pub struct Host {
    /// What it runs.
    pub service: String,
    /// What it is called.
    pub host: String,
    /// The seed of its key.
    pub seed: [u8; 32],
    /// What it is let in by.
    pub token: Option<JoinToken>,
}

/// What a host sent, to be sent as often as one likes.
#[derive(Debug)]
pub struct Enrollment {
    /// The body.
    pub json: Vec<u8>,
    request: EnrollmentRequest,
    keys: EnrollmentKeys,
    bundle: Bundle,
}

impl Host {
    /// One with a fresh key.
    #[must_use]
    pub fn new(service: &str, host: &str) -> Self {
        let mut seed = [0; 32];
        rand_core::Rng::fill_bytes(&mut system_rng(), &mut seed);
        Self { service: service.to_owned(), host: host.to_owned(), seed, token: None }
    }

    /// The same with a join token.
    #[must_use]
    pub fn with(self, token: &JoinToken) -> Self {
        Self { token: Some(token.clone()), ..self }
    }

    /// The public half of its key.
    #[must_use]
    pub fn public_key(&self) -> AuthorPublicKey {
        AuthorKey::new(&self.seed).public()
    }

    /// What administrators compare.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.public_key())
    }

    /// Its full name.
    #[must_use]
    pub fn name(&self) -> String {
        let (service, host) = (self.service.parse().expect("one"), self.host.parse().expect("one"));
        let name = EnrolledName { service, host, fingerprint: self.fingerprint() };
        name.name(&Cell::ZONE.parse().expect("a zone")).to_string()
    }

    /// A request that is made now.
    #[must_use]
    pub fn request(&self, bundle: &Bundle) -> Enrollment {
        self.request_at(bundle, SystemClock.now())
    }

    /// A request of a host whose clock says so.
    #[must_use]
    pub fn request_at(&self, bundle: &Bundle, timestamp: UnixMillis) -> Enrollment {
        let random = &mut system_rng();
        let key = AuthorKey::new(&self.seed);
        let request = EnrollmentRequest {
            service: self.service.parse().expect("a service"),
            host: self.host.parse().expect("a host"),
            public_key: key.public(),
            token: self.token.clone(),
            timestamp,
            nonce: Nonce::generate(random),
            instance: Instance::generate(random),
        };
        let to = bundle.identities.first().expect("a primary identity");
        let (json, keys) = request.seal(&bundle.zone, to, &key, random).expect("an identity");
        Enrollment { json, request, keys, bundle: bundle.clone() }
    }

    /// Asks once: the party that it is, where it is let in at once.
    ///
    /// # Errors
    /// The KDC refuses it.
    ///
    /// # Panics
    /// When it is to wait.
    pub async fn enroll(&self, kdc: &Http, bundle: &Bundle) -> Result<Party, Answer> {
        self.request(bundle).send(kdc).await
    }

    /// Asks once, and is to wait for an administrator.
    ///
    /// # Panics
    /// When it need not, or may not.
    pub async fn wait(&self, kdc: &Http, bundle: &Bundle) {
        let request = self.request(bundle);
        let answer = kdc.enroll(request.json.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let name = self.name();
        assert!(request.party(&answer.body).is_none(), "{name} need not wait");
    }
}

impl Enrollment {
    /// Sends it: the party that the host is.
    ///
    /// # Errors
    /// The KDC refuses it.
    ///
    /// # Panics
    /// When it is to wait.
    pub async fn send(&self, kdc: &Http) -> Result<Party, Answer> {
        let answer = kdc.enroll(self.json.clone()).await;
        if answer.status != 200 {
            return Err(answer);
        }
        Ok(self.party(&answer.body).expect("it need not wait"))
    }

    /// Opens an answer.
    ///
    /// # Panics
    /// When it is not the KDC's to this request.
    #[must_use]
    pub fn open(&self, answer: &[u8]) -> EnrollmentAnswer {
        let Self { json: _, request, keys, bundle } = self;
        let to = bundle.identities.first().expect("a primary identity");
        let sealed = SealedEnrollmentReply::parse(answer).expect("the form of an answer");
        sealed.open(keys, request, &bundle.zone, to).expect("the answer opens")
    }

    /// The party that an answer makes of the host; `None` where it waits.
    #[must_use]
    pub fn party(&self, answer: &[u8]) -> Option<Party> {
        match self.open(answer).outcome {
            EnrollmentOutcome::Enrolled(enrolled) => Some(Party {
                key: self.keys.long_term_key(enrolled.generation, enrolled.epoch),
                name: enrolled.name,
                ratchet_period: enrolled.ratchet_period,
            }),
            EnrollmentOutcome::Pending { .. } => None,
        }
    }
}

impl Http {
    /// Sends a request to enroll.
    pub async fn enroll(&self, body: impl Into<Vec<u8>>) -> Answer {
        let request = self.request(Method::POST, "/v1/enroll");
        Answer::of(request.header(CONTENT_TYPE, "application/json").body(body.into())).await
    }

    /// What hosts are given.
    pub async fn bundle(&self) -> Bundle {
        serde_json::from_slice(&self.get("/v1/bundle").await.body).expect("a bundle")
    }
}

/// What is written past the KDC, while none runs.
impl Cell {
    /// Lets hosts in by this mode.
    pub async fn lets_in(&self, mode: EnrollmentMode) {
        let setting = EnrollmentSetting { mode, ..EnrollmentSetting::default() };
        self.put_documents(Kind::Setting, &[(EnrollmentSetting::ID.to_owned(), setting)]).await;
    }

    /// Makes a token for so many hosts `nanoprobe`, whatever they are called.
    pub async fn join_token(&self, uses: u32) -> JoinToken {
        self.join_token_with(|record| record.uses = uses).await
    }

    /// Makes a token for one host `nanoprobe`, with something changed about it.
    pub async fn join_token_with(&self, change: impl FnOnce(&mut JoinTokenRecord)) -> JoinToken {
        let token = JoinToken::generate(&mut system_rng());
        let now = SystemClock.now();
        let mut record = JoinTokenRecord {
            verifier: token.verifier(),
            service: "nanoprobe".parse().expect("a service"),
            hosts: vec!["*".parse().expect("a pattern")],
            networks: Vec::new(),
            uses: 1,
            used: 0,
            expires_at: now.plus(3_600_000),
            note: String::new(),
            created_by: "console:test".to_owned(),
            created_at: now,
            revoked_at: None,
            revision: 0,
        };
        change(&mut record);
        self.put_documents(Kind::JoinToken, &[(token.id().to_string(), record)]).await;
        token
    }

    /// How often a token was used, as the database has it.
    pub async fn uses(&self, token: &JoinToken) -> u32 {
        let cell = self.opened().await;
        let document = cell.store.document(Kind::JoinToken, &token.id().to_string()).await;
        let document = document.expect("it can be read").expect("it is there");
        cell.store.close().await;
        serde_json::from_str::<JoinTokenRecord>(&document.body).expect("a join token").used
    }

    /// Puts what the KDC keeps into its database by hand, for what no request brings about.
    ///
    /// # Panics
    /// When the database does not take it.
    pub async fn put_documents(&self, kind: Kind, bodies: &[(String, impl serde::Serialize)]) {
        let cell = self.opened().await;
        let mut writes = Vec::new();
        for (id, body) in bodies {
            let before = cell.store.document(kind, id).await.expect("it can be read");
            let expected = before.map(|document| document.revision);
            let revision = expected.unwrap_or(0).saturating_add(1);
            let body = serde_json::to_string(body).expect("it is JSON");
            let document = cell.keyring.seal_document(kind, id.clone(), revision, body, &mut system_rng());
            writes.push(Write::PutDocument { document, expected });
        }
        let event = Event::new(SystemClock.now(), Actor::Kdc, Action::EnrollmentUpdate, "");
        let act = Act { writes, events: vec![event] };
        cell.store.commit(&act, &cell.audit_key).await.expect("it is written");
        cell.store.close().await;
    }

    async fn opened(&self) -> keycell_kdc::cell::Cell {
        let config = Config::load(&self.file(Config::FILE), None).expect("the cell has a configuration");
        keycell_kdc::cell::Cell::open(&config).await.expect("the cell opens")
    }
}
