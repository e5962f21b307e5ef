//! Who can write to the database, and has no master key, lets nobody in by it.

use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::api::PartyPatch;
use keycell_kdc::enrollment::{EnrollmentMode, Refusal};
use keycell_kdc::identities::{Exported, Identity};
use keycell_kdc::recovery::{PartyKeys, recover};
use keycell_kdc::store::KeyState::Active;
use keycell_protocol::{EnrollmentState, IdentityName};

use super::host::{Host, refused};
use crate::groups::restored::{accept, backup};
use crate::groups::set_back::serve;
use crate::zone::Zone;

/// A host that is aboard and whose keys are all erased, as after a recovery, in a zone that lets nobody new in.
async fn erased(zone: &Zone) -> Host {
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let host = Host::new(zone, "nanoprobe", "web1.example", 1);
    host.enrolls(zone).await.unwrap();
    zone.set(|setting| setting.mode = EnrollmentMode::Closed).await;
    update(zone, &host, PartyPatch { enabled: Some(false), erase_keys: Some(true), ..PartyPatch::default() })
        .await;
    host
}

async fn update(zone: &Zone, host: &Host, patch: PartyPatch) {
    let name = zone.name(&host.local());
    zone.kdc.parties().update(&Caller::console(), &name, &patch, &Precondition::NONE).await.unwrap();
    zone.clock.advance(20_000);
}

#[tokio::test]
async fn a_row_that_somebody_made_up_lets_nobody_in() {
    let mut zone = Zone::new().await;
    let host = erased(&zone).await;
    update(&zone, &host, PartyPatch { enabled: Some(true), ..PartyPatch::default() }).await;
    let stranger = Host::new(&zone, "nanoprobe", "web1.example", 2);
    let record = {
        let party = zone.kdc.directory().party(zone.name(&host.local()).as_str()).unwrap();
        let mut record = party.record().enrollment.clone().unwrap();
        record.public_key = stranger.key.public();
        record.to_json()
    };
    // All that the other has, its seal too; and no seal at all.
    zone.sql(&format!(
        "INSERT INTO party (name, enabled, revision, revocation_epoch, created_at, updated_at, log_tickets, note,
             rotate_after, author_key, enrollment, enrollment_seal, enrollment_master, last_generation, change)
         SELECT '{}', enabled, revision, revocation_epoch, created_at, updated_at, log_tickets, note, rotate_after,
             author_key, '{record}', enrollment_seal, enrollment_master, last_generation, change + 1 FROM party;
         UPDATE change_counter SET last = last + 1",
        zone.name(&stranger.local())
    ))
    .await;
    zone.restart().await;
    refused(stranger.enrolls(&zone).await, Refusal::Damaged);
    zone.sql("UPDATE party SET enrollment_seal = X'', enrollment_master = 0 WHERE enrollment LIKE '%web1%'")
        .await;
    refused(stranger.enrolls(&zone).await, Refusal::Damaged);
    refused(host.enrolls(&zone).await, Refusal::Damaged);
    zone.kdc.keep_house().await.unwrap();
    assert!(zone.kdc.directory().party(zone.name(&stranger.local()).as_str()).is_some());
    // Nothing that is done to the row by administrators makes it hold.
    update(&zone, &stranger, PartyPatch { enabled: Some(false), ..PartyPatch::default() }).await;
    let name = zone.name(&stranger.local());
    let enable = PartyPatch { enabled: Some(true), ..PartyPatch::default() };
    let enabled = zone.kdc.parties().update(&Caller::console(), &name, &enable, &Precondition::NONE).await;
    assert!(enabled.unwrap_err().to_string().contains("damaged"));
    refused(stranger.enrolls(&zone).await, Refusal::Disabled);
}

#[tokio::test]
async fn nobody_is_enabled_past_keycell() {
    let mut zone = Zone::new().await;
    let host = erased(&zone).await;
    zone.sql("UPDATE party SET enabled = 1").await;
    zone.restart().await;
    refused(host.enrolls(&zone).await, Refusal::Damaged);
    zone.sql("UPDATE party SET revocation_epoch = 0").await;
    refused(host.enrolls(&zone).await, Refusal::Damaged);
}

/// A seal of which nobody can tell whether it holds keeps nobody from taking something away.
#[tokio::test]
async fn a_seal_under_a_version_that_is_not_there_keeps_nobody_from_disabling() {
    for erase_keys in [None, Some(true)] {
        let mut zone = Zone::new().await;
        zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
        let host = Host::new(&zone, "nanoprobe", "web1.example", 1);
        host.enrolls(&zone).await.unwrap();
        zone.sql("UPDATE party SET enrollment_master = 99").await;
        zone.restart().await;
        let enabled =
            |zone: &Zone| zone.kdc.directory().party(zone.name(&host.local()).as_str()).unwrap().enabled();
        assert!(enabled(&zone), "its keys are as they were");
        update(&zone, &host, PartyPatch { enabled: Some(false), erase_keys, ..PartyPatch::default() }).await;
        assert!(!enabled(&zone));
        refused(host.enrolls(&zone).await, Refusal::Disabled);
        // It holds no more.
        let (name, enable) =
            (zone.name(&host.local()), PartyPatch { enabled: Some(true), ..PartyPatch::default() });
        let back = zone.kdc.parties().update(&Caller::console(), &name, &enable, &Precondition::NONE).await;
        assert!(back.unwrap_err().to_string().contains("damaged"));
    }
}

#[tokio::test]
async fn a_seal_under_a_version_that_is_not_there_keeps_nobody_from_accepting_a_rollback() {
    let mut zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1);
    host.enrolls(&zone).await.unwrap();
    serve(&mut zone, None).await.unwrap();
    let old = backup(&zone, "old").await;
    let stop = PartyPatch { enabled: Some(false), erase_keys: Some(true), ..PartyPatch::default() };
    update(&zone, &host, stop).await;
    serve(&mut zone, None).await.unwrap();
    accept(&mut zone, &old, "UPDATE party SET enrollment_master = 99").await;
    assert!(!zone.kdc.directory().party(zone.name(&host.local()).as_str()).unwrap().enabled());
    refused(host.enrolls(&zone).await, Refusal::Disabled);
}

/// The seal that was emptied when it was disabled is no reason to disable it again.
#[tokio::test]
async fn who_is_disabled_twice_was_disabled_once() {
    let mut zone = Zone::new().await;
    let host = erased(&zone).await;
    let revision = |zone: &Zone| {
        zone.kdc.directory().party(zone.name(&host.local()).as_str()).unwrap().record().revision
    };
    let disable = || PartyPatch { enabled: Some(false), ..PartyPatch::default() };
    update(&zone, &host, PartyPatch { enabled: Some(true), ..PartyPatch::default() }).await;
    zone.sql("UPDATE party SET enrollment_seal = zeroblob(45)").await;
    zone.restart().await;
    update(&zone, &host, disable()).await;
    let (before, told) = (revision(&zone), zone.events("party.disable").await.len());
    update(&zone, &host, disable()).await;
    assert_eq!((revision(&zone), zone.events("party.disable").await.len()), (before, told));
    // One that is not as Keycell left it does count.
    zone.sql("UPDATE party SET enrollment_seal = zeroblob(45), enrollment_master = 1").await;
    update(&zone, &host, disable()).await;
    assert!(revision(&zone) > before);
}

/// Who does not come back by itself after a recovery is named.
#[tokio::test]
async fn a_recovery_names_whose_seal_does_not_hold() {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let hosts = [1, 2].map(|number| Host::new(&zone, "nanoprobe", &format!("web{number}"), number));
    for host in &hosts {
        host.enrolls(&zone).await.unwrap();
    }
    zone.sql("UPDATE party SET enrollment_seal = zeroblob(45) WHERE name LIKE 'nanoprobe.web1%'").await;
    zone.kdc.close().await;
    let cell = zone.cell().await;
    let name = IdentityName::PRIMARY.next().unwrap();
    let kept = cell.store.secret(&format!("identity {name}")).await.unwrap().unwrap();
    let secret = cell.keyring.open_secret(&kept).unwrap();
    let exported = Exported::new(cell.zone.zone.clone(), Identity::from_secret(name, &secret).unwrap());
    let recovered = recover(&cell, exported, PartyKeys::Erase, None, zone.now()).await.unwrap();
    assert_eq!(recovered.erased.damaged, [format!("party {}", zone.name(&hosts[0].local()))]);
    assert_eq!((recovered.erased.enrolled, recovered.erased.parties()), (1, 1));
    cell.store.close().await;
}

#[tokio::test]
async fn every_column_that_counts_is_sealed() {
    let zone = Zone::new().await;
    let host = erased(&zone).await;
    update(&zone, &host, PartyPatch { enabled: Some(true), ..PartyPatch::default() }).await;
    let mut back = Vec::new();
    for (column, value) in [
        ("revocation_epoch", "7"),
        ("author_key", "zeroblob(32)"),
        ("enrollment", r#"replace(enrollment, '"timestamp":', '"timestamp":1')"#),
        ("enrollment", r#"replace(enrollment, '"admission":"tofu"', '"admission":"token"')"#),
        ("enrollment_seal", "zeroblob(45)"),
        ("enrollment_seal", "substr(enrollment_seal, 1, 44)"),
    ] {
        zone.sql("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM party").await;
        zone.sql(&format!("UPDATE party SET {column} = {value}")).await;
        back.push(host.enrolls(&zone).await);
        zone.sql(&format!("UPDATE party SET {column} = (SELECT {column} FROM kept); DROP TABLE kept")).await;
    }
    back.into_iter().for_each(|outcome| refused(outcome, Refusal::Damaged));
    // As Keycell wrote it, it holds: also where nothing else of the party does.
    let aboard = host.enrolls(&zone).await.unwrap();
    assert_eq!(aboard.enrolled.state, EnrollmentState::Active);
    assert_eq!(zone.states(&host.local()).await.last().unwrap().1, Active);
}
