use keycell_protocol::{RatchetPeriod, UnixMillis};

use super::super::{KeyRecord, KeyState};
use super::*;

#[tokio::test]
async fn a_full_disk_is_an_error_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(&folder.path().join("a.db")).await.unwrap();
    let zone = ZoneRecord {
        zone: "z".parse().unwrap(),
        ratchet_period: RatchetPeriod::DEFAULT,
        created_at: UnixMillis(1),
    };
    store.create_zone(&zone, &[]).await.unwrap();
    let party = |i: usize| PartyRecord {
        name: format!("p{i}@z").parse().unwrap(),
        enabled: true,
        revision: 1,
        revocation_epoch: 0,
        created_at: UnixMillis(1),
        updated_at: UnixMillis(1),
        keys: vec![KeyRecord {
            generation: Generation(1),
            state: KeyState::Active,
            epoch: keycell_protocol::Epoch(0),
            master_version: 1,
            wrapped: vec![7; 1000],
        }],
    };
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&store.writer).await.unwrap();
    let limit = |pages: i64| sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")));
    limit(pages + 3).execute(&store.writer).await.unwrap();
    let mut written = 0;
    let error = loop {
        match store.put_party(&party(written), None).await {
            Ok(change) => written = usize::try_from(change.0).unwrap(),
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit did not bite");
    };
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert_eq!(store.parties().await.unwrap().parties.len(), written);
    limit(pages + 1000).execute(&store.writer).await.unwrap();
    let change = store.put_party(&party(written), None).await.unwrap();
    assert_eq!(change.0, u64::try_from(written).unwrap() + 1);
}
