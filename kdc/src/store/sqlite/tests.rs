use keycell_protocol::{Generation, RatchetPeriod, UnixMillis};

use super::super::{KeyRecord, KeyState, Write};
use super::*;
use crate::audit::{Action, Actor, Event, SealKind};

#[tokio::test]
async fn a_full_disk_is_an_error_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(&folder.path().join("a.db")).await.unwrap();
    let zone = ZoneRecord {
        zone: "z".parse().unwrap(),
        ratchet_period: RatchetPeriod::DEFAULT,
        created_at: UnixMillis(1),
    };
    let key = AuditKey::new(&AuditKey::generate().unwrap(), &zone.zone).unwrap();
    store.create_zone(&zone, &[], &Act::default(), &key).await.unwrap();
    let party = |i: usize| PartyRecord {
        keys: vec![KeyRecord {
            generation: Generation(1),
            state: KeyState::Active,
            epoch: keycell_protocol::Epoch(0),
            created_at: UnixMillis(1),
            ends_at: None,
            master_version: 1,
            wrapped: vec![7; 1000],
        }],
        ..PartyRecord::new(format!("p{i}@z").parse().unwrap(), UnixMillis(1))
    };
    let put = async |i| {
        let party = party(i);
        let event = Event::new(UnixMillis(1), Actor::Kdc, Action::PartyCreate, party.name.as_str());
        store.commit(&Act::new(Write::PutParty { party, expected: None }, event), &key).await
    };
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
    let limit = |pages: i64| sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")));
    limit(pages + 3).execute(&store.writer).await.unwrap();
    let mut written = 0;
    let error = loop {
        match put(written).await {
            Ok(change) => written = usize::try_from(change.0).unwrap(),
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit did not bite");
    };
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert_eq!(store.parties().await.unwrap().parties.len(), written);
    let head = store.audit_seals(SealKind::Head).await.unwrap().pop().unwrap();
    assert_eq!(head.link.seq, u64::try_from(written).unwrap(), "no record of what was not done");
    limit(pages + 1000).execute(&store.writer).await.unwrap();
    let change = put(written).await.unwrap();
    assert_eq!(change.0, u64::try_from(written).unwrap() + 1);
}
