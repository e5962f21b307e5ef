//! Groups in a database that was set back: what the newer one took from somebody stays taken.

use std::fs;

use keycell_kdc::administration::Caller;
use keycell_kdc::audit::Action;
use keycell_kdc::cell::Cell;
use keycell_kdc::groups::forget_chains;
use keycell_kdc::kdc::Kdc;
use keycell_kdc::store::{Act, Kind, Write};
use keycell_kdc::watermark::Kept;
use keycell_protocol::{HeldKey, ProblemType};

use super::members::{L, opens, opens_now};
use crate::zone::Zone;

/// Ends the KDC and starts another as `keycell serve` does, with what this KDC remembers.
pub(crate) async fn serve(zone: &mut Zone, accepted: Option<Kept>) -> Result<(), String> {
    zone.kdc.close().await;
    let cell = Cell::open(&zone.config).await.unwrap();
    let watermark = cell.watermark(&zone.config, accepted, zone.now()).await;
    let watermark = watermark.map_err(|error| error.to_string())?;
    let kdc: Kdc = cell.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    kdc.follower().remember(watermark).await.unwrap();
    zone.kdc = kdc;
    zone.clock.advance(1);
    Ok(())
}

pub(super) async fn delete(zone: &Zone, local: &str) {
    let record = zone.kdc.directory().groups().get(local).cloned().unwrap();
    let event = Caller::console().event(zone.now(), Action::GroupDelete, record.name.as_str());
    let (id, expected) = (local.to_owned(), Some(record.revision));
    let mut act = Act::new(Write::DeleteDocument { kind: Kind::Group, id, expected }, event);
    act.writes.extend(forget_chains(&record));
    zone.kdc.ledger().commit(&act).await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_set_back_lets_no_member_back_in() {
    for kept in [Kept::Keep, Kept::Forget] {
        let mut zone = Zone::new().await;
        serve(&mut zone, None).await.unwrap();
        for group in ["web", "quiet", "gone"] {
            zone.group(group).await;
        }
        let (a, bad) = (zone.party("a").await, zone.party("web.bad").await);
        let good = zone.party("web.good").await;
        let file = zone.config.database.strip_prefix("sqlite:").unwrap().to_owned();
        let old = format!("{file}.old");
        zone.sql(&format!("VACUUM INTO '{old}'")).await;

        // After the backup: much comes and goes.
        zone.clock.advance(3 * L * 1000);
        let mut held: Vec<HeldKey> = zone.keys_of("web.bad", &bad, "web").unwrap().keys;
        for _ in 0..5 {
            zone.change_group("web", true, |_| ()).await;
            held.extend(zone.keys_of("web.bad", &bad, "web").unwrap().keys);
        }
        zone.exclude("web", "web.bad").await;
        held.extend(zone.keys_of("web.good", &good, "web").unwrap().keys);
        let lost = zone.chain("web");
        let quiet = zone.chain("quiet");
        delete(&zone, "gone").await;

        zone.kdc.close().await;
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{file}{end}"));
        }
        fs::rename(&old, &file).unwrap();
        let refused = serve(&mut zone, None).await.unwrap_err();
        assert!(refused.contains("members of the group web@cell1.internal were taken out"), "{refused}");
        assert!(refused.contains("the group gone@cell1.internal was deleted"), "{refused}");
        assert!(!refused.contains("quiet"), "{refused}");
        serve(&mut zone, Some(kept)).await.unwrap();

        // Whatever was held of what is lost opens nothing, and no number of it means another key.
        let now = zone.chain("web");
        assert!(now.version > lost.version && now.first > lost.generation(zone.now().seconds()), "{now:?}");
        assert!(zone.chain("quiet").version > quiet.version);
        let grant = zone.ticket_to("a", &a, "web").unwrap();
        assert!(!opens(&held, &grant));
        let known = zone.keys_of("web.good", &good, "web").unwrap();
        assert!(opens_now(&known, &grant, zone.now().seconds()));
        let told = zone.keys_of("web.bad", &bad, "web").map(drop);
        let gone = zone.ticket_to("a", &a, "gone").map(drop);
        match kept {
            Kept::Keep => {
                assert_eq!(told, Err(ProblemType::NotAllowed));
                assert_eq!(gone, Err(ProblemType::UnknownDestination));
                zone.group("gone").await;
            }
            Kept::Forget => assert_eq!((told, gone), (Ok(()), Ok(()))),
        }
        zone.ticket_to("a", &a, "gone").unwrap();
        // It is accepted for good; a group that is made again is another one.
        serve(&mut zone, None).await.unwrap();
        zone.ticket_to("a", &a, "gone").unwrap();
        assert_eq!(zone.chain("web"), now);
    }
}

/// So many were deleted that the file of revocations does not have the names of the first any more.
#[tokio::test]
async fn a_group_that_was_deleted_long_ago_does_not_come_back_either() {
    for kept in [Kept::Keep, Kept::Forget] {
        let mut zone = Zone::new().await;
        serve(&mut zone, None).await.unwrap();
        zone.group("web").await;
        zone.group("gone").await;
        let a = zone.party("a").await;
        let file = zone.config.database.strip_prefix("sqlite:").unwrap().to_owned();
        let old = format!("{file}.old");
        zone.sql(&format!("VACUUM INTO '{old}'")).await;
        delete(&zone, "gone").await;
        for n in 0..600 {
            zone.clock.advance(1);
            zone.group(&format!("g{n}")).await;
            delete(&zone, &format!("g{n}")).await;
        }
        let known = zone.kdc.follower().watermark().unwrap().known();
        assert!(known.len() < 520, "{}", known.len());
        serve(&mut zone, None).await.unwrap();
        zone.ticket_to("a", &a, "web").unwrap();

        zone.kdc.close().await;
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{file}{end}"));
        }
        fs::rename(&old, &file).unwrap();
        let refused = serve(&mut zone, None).await.unwrap_err();
        assert!(refused.contains("the group gone@cell1.internal was deleted"), "{refused}");
        assert!(!refused.contains("web@cell1.internal"), "{refused}");
        serve(&mut zone, Some(kept)).await.unwrap();
        let gone = zone.ticket_to("a", &a, "gone").map(drop);
        match kept {
            Kept::Keep => {
                assert_eq!(gone, Err(ProblemType::UnknownDestination));
                zone.group("gone").await;
            }
            Kept::Forget => assert_eq!(gone, Ok(())),
        }
        // Who is there now is there for good, however long ago it was made.
        for _ in 0..2 {
            serve(&mut zone, None).await.unwrap();
            for group in ["web", "gone"] {
                zone.ticket_to("a", &a, group).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_group_whose_row_was_taken_away_does_not_come_back_as_it_was_before() {
    let mut zone = Zone::new().await;
    serve(&mut zone, None).await.unwrap();
    zone.group("web").await;
    let (a, bad) = (zone.party("a").await, zone.party("web.bad").await);
    let old = zone.kdc.ledger().store().document(Kind::Group, "web").await.unwrap().unwrap();
    zone.exclude("web", "web.bad").await;
    // First so that nothing in memory is newer, then as it was.
    zone.sql_documents("group", "UPDATE document SET revision = revision + 1 WHERE id = 'web'").await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(zone.ticket_to("a", &a, "web").unwrap_err(), ProblemType::UnknownDestination);
    let sealed: String = old.sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    let back = format!(
        "UPDATE document SET revision = {}, body = '{}', sealed = x'{sealed}' WHERE kind = 'group'",
        old.revision,
        old.body.replace('\'', "''")
    );
    zone.sql_documents("group", &back).await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(zone.keys_of("web.bad", &bad, "web").unwrap_err(), ProblemType::NotAllowed);
    assert_eq!(zone.ticket_to("a", &a, "web").unwrap_err(), ProblemType::UnknownDestination);
}

#[tokio::test]
async fn a_member_whose_row_says_that_it_is_disabled_is_stopped_all_the_same() {
    let zone = Zone::new().await;
    zone.group("web").await;
    zone.party("web.bad").await;
    let before = zone.chain("web").version;
    zone.sql("UPDATE party SET enabled = 0 WHERE name LIKE 'web.bad@%'").await;
    zone.set_enabled("web.bad", false).await;
    assert!(zone.chain("web").version > before, "its keys of the group are good no more");
    // Whoever wrote that takes it back in vain: the keys are bound to what Keycell wrote.
    let stopped = zone.kdc.ledger().store().party(&zone.name("web.bad")).await.unwrap().unwrap();
    assert_eq!((stopped.enabled, stopped.revocation_epoch), (false, 1));
    zone.kdc.ledger().keyring().open_key(&stopped, &stopped.keys[0]).unwrap();
}
