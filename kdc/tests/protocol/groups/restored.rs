//! Backups that are put back one after the other, the wrong one first: it takes nothing from what is remembered of groups.

use std::fs;

use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::watermark::Kept;
use keycell_protocol::ProblemType;

use super::set_back::{delete, serve};
use crate::zone::Zone;

/// The database as it is, in a file beside it.
pub(crate) async fn backup(zone: &Zone, name: &str) -> String {
    let copy = format!("{}.{name}", file(zone));
    zone.sql(&format!("VACUUM INTO '{copy}'")).await;
    copy
}

/// Puts a backup in the place of the database, and starts the KDC on it.
pub(crate) async fn accept(zone: &mut Zone, backup: &str, damage: &str) {
    zone.kdc.close().await;
    let file = file(zone);
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{file}{end}"));
    }
    fs::copy(backup, &file).unwrap();
    zone.sql(damage).await;
    serve(zone, None).await.unwrap_err();
    serve(zone, Some(Kept::Keep)).await.unwrap();
}

fn file(zone: &Zone) -> String {
    zone.config.database.strip_prefix("sqlite:").unwrap().to_owned()
}

#[tokio::test]
async fn a_group_that_the_wrong_backup_lacks_comes_back_with_the_right_one() {
    let mut zone = Zone::new().await;
    serve(&mut zone, None).await.unwrap();
    let a = zone.party("a").await;
    let wrong = backup(&zone, "wrong").await;
    zone.group("prod").await;
    // So many that the names of the first are forgotten, and all that is older with them.
    for n in 0..520 {
        zone.clock.advance(1);
        zone.group(&format!("g{n}")).await;
        delete(&zone, &format!("g{n}")).await;
    }
    zone.group("gone").await;
    let right = backup(&zone, "right").await;
    zone.group("later").await;
    delete(&zone, "gone").await;

    accept(&mut zone, &wrong, "").await;
    assert_eq!(zone.ticket_to("a", &a, "prod").unwrap_err(), ProblemType::UnknownDestination);
    // The KDC goes on for a while: groups change, and it is started again.
    zone.group("meanwhile").await;
    delete(&zone, "meanwhile").await;
    serve(&mut zone, None).await.unwrap();
    accept(&mut zone, &right, "").await;
    zone.ticket_to("a", &a, "prod").unwrap();
    assert_eq!(zone.ticket_to("a", &a, "gone").unwrap_err(), ProblemType::UnknownDestination);
    // It is one like any other again.
    delete(&zone, "prod").await;
    accept(&mut zone, &right, "").await;
    assert_eq!(zone.ticket_to("a", &a, "prod").unwrap_err(), ProblemType::UnknownDestination);
}

#[tokio::test]
async fn who_was_taken_out_of_a_group_stays_out_after_the_wrong_backup() {
    let mut zone = Zone::new().await;
    serve(&mut zone, None).await.unwrap();
    let bad = zone.party("web.bad").await;
    let wrong = backup(&zone, "wrong").await;
    zone.group("web").await;
    let right = backup(&zone, "right").await;
    zone.exclude("web", "web.bad").await;

    accept(&mut zone, &wrong, "").await;
    accept(&mut zone, &right, "").await;
    assert_eq!(zone.kdc.directory().groups().len(), 1);
    assert_eq!(zone.keys_of("web.bad", &bad, "web").unwrap_err(), ProblemType::NotAllowed);
}

#[tokio::test]
async fn who_was_taken_out_stays_out_where_the_row_of_the_group_is_damaged() {
    let mut zone = Zone::new().await;
    serve(&mut zone, None).await.unwrap();
    zone.group("web").await;
    let (a, bad) = (zone.party("a").await, zone.party("web.bad").await);
    let old = backup(&zone, "old").await;
    zone.exclude("web", "web.bad").await;

    let set = |to: &str| format!("UPDATE document SET {to} WHERE id = 'web'");
    let bytes = "CAST(substr(CAST(body AS BLOB), 1, length(CAST(body AS BLOB)) - 1) AS TEXT)";
    for (spoilt, mended) in [
        ("revision = -revision", "revision = -revision"),
        ("body = CAST(CAST(body AS BLOB) || x'ff' AS TEXT)", &format!("body = {bytes}")),
    ] {
        accept(&mut zone, &old, &set(spoilt)).await;
        zone.ticket_to("a", &a, "web").unwrap_err();
        assert!(zone.kdc.directory().broken_groups().contains("web"), "{spoilt}");
        // Somebody mends the row as it was in the backup.
        zone.sql_documents("group", &set(mended)).await;
        zone.kdc.follower().catch_up().await.unwrap();
        assert!(zone.kdc.directory().broken_groups().contains("web"), "{spoilt}");
        assert_eq!(zone.ticket_to("a", &a, "web").unwrap_err(), ProblemType::UnknownDestination);
        assert_eq!(zone.keys_of("web.bad", &bad, "web").unwrap_err(), ProblemType::NotAllowed);
    }
}

/// What somebody who can write to the database puts back of `web`: the row and the secrets of its chains.
fn put_back(from: &str) -> String {
    format!(
        "ATTACH '{from}' AS old;
         INSERT OR REPLACE INTO document SELECT * FROM old.document WHERE kind = 'group' AND id = 'web';
         INSERT OR IGNORE INTO secret SELECT * FROM old.secret"
    )
}

#[tokio::test]
async fn a_group_that_was_deleted_while_a_kdc_was_down_is_not_put_back_there() {
    let mut zone = Zone::new().await;
    serve(&mut zone, None).await.unwrap();
    zone.group("web").await;
    let copy = backup(&zone, "copy").await;
    // The other KDC has no part in this one's file.
    zone.restart().await;
    delete(&zone, "web").await;
    serve(&mut zone, None).await.unwrap();
    zone.sql_documents("group", &put_back(&copy)).await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert!(zone.kdc.directory().groups().is_empty());
    let refused = serve(&mut zone, None).await.unwrap_err();
    assert!(refused.contains("the group web@cell1.internal was deleted"), "{refused}");
}

#[tokio::test]
async fn a_group_that_is_deleted_among_rows_that_do_not_hold_is_not_put_back() {
    for (damage, others) in [
        // It is out of service itself; another one is.
        ("UPDATE document SET revision = revision + 1 WHERE id = 'web'", 1),
        ("UPDATE document SET revision = -1 WHERE id = 'other'", 0),
    ] {
        let mut zone = Zone::new().await;
        serve(&mut zone, None).await.unwrap();
        zone.group("web").await;
        zone.group("other").await;
        let copy = backup(&zone, "copy").await;
        zone.sql_documents("group", damage).await;
        zone.kdc.follower().catch_up().await.unwrap();
        assert_eq!(zone.kdc.directory().broken_groups().len(), 1, "{damage}");
        zone.kdc.groups().delete(&Caller::console(), &zone.name("web"), &Precondition::NONE).await.unwrap();
        zone.sql_documents("group", &put_back(&copy)).await;
        zone.kdc.follower().catch_up().await.unwrap();
        assert!(!zone.kdc.directory().groups().contains_key("web"), "{damage}");
        assert_eq!(zone.kdc.directory().groups().len(), others, "{damage}");
    }
}

#[tokio::test]
async fn another_kdc_hears_of_what_was_accepted_and_takes_no_group_that_it_lacks_for_deleted() {
    let mut zone = Zone::new().await;
    serve(&mut zone, None).await.unwrap();
    let a = zone.party("a").await;
    zone.group("gone").await;
    let wrong = backup(&zone, "wrong").await;
    zone.group("prod").await;
    let right = backup(&zone, "right").await;
    let own = zone.config.revocations.clone();
    let other = own.with_extension("other");
    zone.kdc.close().await;
    fs::copy(&own, &other).unwrap();

    accept(&mut zone, &wrong, "").await;
    delete(&zone, "gone").await;
    zone.config.revocations = other;
    serve(&mut zone, None).await.unwrap();
    accept(&mut zone, &right, "").await;
    zone.ticket_to("a", &a, "prod").unwrap();
    assert_eq!(zone.ticket_to("a", &a, "gone").unwrap_err(), ProblemType::UnknownDestination);
}
