//! Who looks through the audit log for long keeps nobody else waiting.

use futures_util::future::join_all;
use keycell_kdc::store::AuditQuery;
use sqlx::{Connection as _, PgConnection};

use crate::database::Database;

#[tokio::test]
async fn auditors_keep_nobody_else_waiting() {
    let database = Database::postgres();
    let store = database.create().await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let mut locked = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await.unwrap();
    let query = AuditQuery { limit: 1, ..AuditQuery::default() };
    // All of them have asked before anybody else does.
    let looks = join_all((0..30).map(|_| store.audit(&query)));
    tokio::select! {
        biased;
        looks = looks => panic!("the log is locked: {looks:?}"),
        parties = store.parties() => assert!(parties.unwrap().parties.is_empty()),
    }
    locked.rollback().await.unwrap();
    assert!(store.audit(&query).await.unwrap().is_empty());
}
