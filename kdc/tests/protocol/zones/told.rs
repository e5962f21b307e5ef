//! What the audit log is told of the border.

use keycell_kdc::store::AuditQuery;
use serde_json::Value;

use crate::zone::Zone;

/// The records of an action, each with its target and what else it says. All are of the zone that asks.
pub(super) async fn records(asked: &Zone, action: &str) -> Vec<(String, Value)> {
    let ledger = asked.kdc.ledger();
    asked.kdc.recorder().flush(ledger.journal(), true).await.unwrap();
    let query = AuditQuery { action: Some(action.to_owned()), limit: 1000, ..AuditQuery::default() };
    let records = ledger.store().audit(&query).await.unwrap();
    let told = records.into_iter().map(|record| {
        assert_eq!(record.actor, "zone:z1.example");
        (record.target, serde_json::from_str(&record.detail).unwrap())
    });
    told.collect()
}
