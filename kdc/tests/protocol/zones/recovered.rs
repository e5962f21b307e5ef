//! What a recovery leaves of trust: nothing that a thief may have.

use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::api::TrustPatch;
use keycell_kdc::identities::{Exported, Identity};
use keycell_kdc::recovery::{PartyKeys, recover};
use keycell_kdc::store::{AuditQuery, Kind};
use keycell_kdc::trust::{Direction, TrustRecord, secret_name};
use keycell_protocol::ProblemType;

use super::asked::zone;
use super::asking::{ask, ask_one};
use super::trust::trust_between;
use crate::zone::Zone;

/// The cell goes over to its secondary, and its KDC begins anew.
async fn recovers(zone: &mut Zone, keys: PartyKeys) -> Vec<String> {
    zone.clock.advance(1000);
    let cell = zone.cell().await;
    let secondary = cell.identities().await.unwrap().secondary().unwrap().name;
    let secret = cell.store.secret(&format!("identity {secondary}")).await.unwrap().unwrap();
    let identity = Identity::from_secret(secondary, &cell.keyring.open_secret(&secret).unwrap()).unwrap();
    let exported = Exported::new(zone.kdc.zone().clone(), identity);
    let recovered = recover(&cell, exported, keys, None, zone.now()).await.unwrap();
    cell.store.close().await;
    zone.restart().await;
    zone.clock.advance(1);
    recovered.erased.trusts
}

#[tokio::test]
async fn the_keys_of_trusts_end_like_all_others() {
    let (mut z1, mut z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    z2.party("b").await;
    let held = |zone: &Zone| {
        let trusts = zone.kdc.directory().trusts();
        trusts.outgoing("z2.example").unwrap().peer.as_ref().unwrap().held
    };
    let secret = async |zone: &Zone| {
        let z2 = "z2.example".parse().unwrap();
        zone.kdc.ledger().store().secret(&secret_name(&z2)).await.unwrap().is_some()
    };
    // Who lost the primary and nothing else keeps them.
    assert!(recovers(&mut z1, PartyKeys::Keep).await.is_empty());
    assert!(held(&z1).is_some() && secret(&z1).await);

    assert_eq!(recovers(&mut z1, PartyKeys::Erase).await, ["outgoing z2.example"]);
    assert!(held(&z1).is_none() && !secret(&z1).await);
    // The document holds, and says so; what the trust allows stays for the next offer.
    let documents = z1.kdc.ledger().store().documents(Kind::Trust).await.unwrap().documents;
    let record: TrustRecord = serde_json::from_str(&documents[0].body).unwrap();
    assert_eq!((record.direction, record.enabled, record.revision), (Direction::Outgoing, true, 2));
    let query = AuditQuery { action: Some("identity.recover".to_owned()), limit: 9, ..AuditQuery::default() };
    let told = z1.kdc.ledger().store().audit(&query).await.unwrap();
    let counts: Vec<_> = told.iter().map(|record| record.detail.contains(r#""trusts":1"#)).collect();
    assert_eq!(counts, [false, true]);

    // The other zone has heard of nothing.
    ask(&z1, &z2, &trust, &[]).unwrap();
    assert_eq!(recovers(&mut z2, PartyKeys::Erase).await, ["incoming z1.example"]);
    z2.clock.set(z1.now().max(z2.now()));
    assert_eq!(ask(&z1, &z2, &trust, &[]).unwrap_err(), ProblemType::Unauthenticated);
    let row = z2.kdc.directory().zone("#ZONE#z1.example@z2.example").unwrap();
    assert!(!row.has_key() && row.active().is_none());
}

/// A recovery of the zone that asks reaches no other: whoever stole the key has it until the zone that gives ends it.
#[tokio::test]
async fn the_key_that_was_stolen_is_good_until_the_other_zone_ends_it() {
    let (mut z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let stolen = trust_between(&z1, &z2).await;
    z2.party("b").await;
    recovers(&mut z1, PartyKeys::Erase).await;
    z2.clock.set(z1.now().max(z2.now()));
    assert!(ask_one(&z1, &z2, &stolen, "a", "b").is_ok());

    let (own, theirs) = (z2.kdc.bundle().await.unwrap(), z1.kdc.bundle().await.unwrap());
    let (trusts, caller, name) = (z2.kdc.trusts(), Caller::console(), z1.kdc.zone().clone());
    let terms = TrustPatch { fingerprint: Some(theirs.fingerprint().to_string()), ..TrustPatch::default() };
    trusts.offer(&caller, (&own, &theirs), &terms, None, |_| Ok(None)).await.unwrap();
    assert!(ask_one(&z1, &z2, &stolen, "a", "b").is_ok(), "a second offer ends nothing");

    let disable = TrustPatch { enabled: Some(false), ..TrustPatch::default() };
    let none = Precondition::NONE;
    trusts.update(&caller, Direction::Incoming, &name, &disable, &none).await.unwrap();
    assert_eq!(ask(&z1, &z2, &stolen, &[]).unwrap_err(), ProblemType::PartyDisabled);
    trusts.delete(&caller, Direction::Incoming, &name, &none).await.unwrap();
    assert_eq!(ask(&z1, &z2, &stolen, &[]).unwrap_err(), ProblemType::Unauthenticated);
    let lists = Some(vec!["*".to_owned()]);
    let terms = TrustPatch { sources: lists.clone(), destinations: lists, ..TrustPatch::default() };
    trusts.offer(&caller, (&own, &theirs), &terms, None, |_| Ok(None)).await.unwrap();
    assert_eq!(ask(&z1, &z2, &stolen, &[]).unwrap_err(), ProblemType::Unauthenticated, "made anew");
}
