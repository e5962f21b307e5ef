//! Acts with one write and one event each, and the key that signs their records.

use std::sync::LazyLock;

use async_trait::async_trait;
use keycell_kdc::audit::{Action, Actor, AuditKey, Event};
use keycell_kdc::store::{
    Act, Answer, ChangeNumber, Document, Kind, PartyRecord, SecretRecord, Store, StoreError, Write,
    ZoneRecord,
};
use keycell_protocol::{Generation, Name, UnixMillis};

/// The audit key of the tests' zone.
pub(crate) static KEY: LazyLock<AuditKey> =
    LazyLock::new(|| AuditKey::new(&AuditKey::generate().unwrap(), &"z".parse().unwrap()).unwrap());

/// What tests do with a store, one thing at a time.
#[async_trait]
pub(crate) trait Acts {
    async fn act(&self, writes: Vec<Write>, events: Vec<Event>) -> Result<ChangeNumber, StoreError>;
    async fn write(&self, write: Write) -> Result<ChangeNumber, StoreError> {
        self.act(vec![write], vec![event(1, Action::PartyUpdate, "a@z")]).await
    }
    async fn put_party(
        &self,
        party: &PartyRecord,
        expected: Option<u64>,
    ) -> Result<ChangeNumber, StoreError> {
        self.write(put(party, expected)).await
    }
    async fn delete_party(&self, name: &Name, expected: Option<u64>) -> Result<ChangeNumber, StoreError> {
        self.write(Write::DeleteParty { name: name.clone(), expected }).await
    }
    async fn make_zone(&self, zone: &ZoneRecord, secrets: &[SecretRecord]) -> Result<(), StoreError>;
    async fn last_generation(&self, name: &Name) -> Option<Generation>;
}

#[async_trait]
impl Acts for dyn Store {
    async fn act(&self, writes: Vec<Write>, events: Vec<Event>) -> Result<ChangeNumber, StoreError> {
        self.commit(&Act { writes, events }, &KEY).await
    }

    async fn make_zone(&self, zone: &ZoneRecord, secrets: &[SecretRecord]) -> Result<(), StoreError> {
        let event = event(1, Action::ZoneCreate, "z");
        self.create_zone(zone, secrets, &Act { writes: vec![], events: vec![event] }, &KEY).await
    }

    async fn last_generation(&self, name: &Name) -> Option<Generation> {
        let earlier = self.earlier(std::slice::from_ref(name)).await.unwrap().remove(name)?;
        Some(earlier.generation).filter(|last| *last != Generation(0))
    }
}

pub(crate) fn put(party: &PartyRecord, expected: Option<u64>) -> Write {
    Write::PutParty { party: party.clone(), expected }
}

pub(crate) fn event(at: u64, action: Action, target: &str) -> Event {
    Event::new(UnixMillis(at), Actor::Console("root".to_owned()), action, target)
}

pub(crate) fn document(kind: Kind, id: &str, revision: u64) -> Document {
    Document {
        kind,
        id: id.to_owned(),
        revision,
        body: format!("{{\"id\":\"{id}\"}}"),
        master_version: 1,
        sealed: vec![0, 1, 255],
    }
}

pub(crate) fn put_document(kind: Kind, id: &str, revision: u64, expected: Option<u64>) -> Write {
    Write::PutDocument { document: document(kind, id, revision), expected }
}

pub(crate) fn answer(idempotency: &str, expires_at: u64) -> Answer {
    Answer {
        actor: "console:root".to_owned(),
        idempotency: idempotency.to_owned(),
        fingerprint: [7; 32],
        status: 201,
        master_version: 1,
        wrapped: vec![9; 40],
        expires_at: UnixMillis(expires_at),
    }
}
