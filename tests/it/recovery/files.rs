//! Only the file of the zone's own secondary does it.

use super::*;

/// Writes an identity that this process has.
fn write(cell: &Cell, name: &str, zone: &str, identity: Identity) {
    let exported = Exported::new(zone.parse().unwrap(), identity);
    exported.write(&cell.folder().join(name), &Passphrase::new(PASSPHRASE)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_files_are_refused() {
    let (cell, stranger) = (Cell::sqlite(), Cell::sqlite());
    let random = || keycell_client::system_rng();
    // The primary's, as a thief could make it.
    let (opened, _) = open(&cell).await;
    let secret = opened.store.secret("identity #KDC#00001").await.unwrap().unwrap();
    let secret = opened.keyring.open_secret(&secret).unwrap();
    opened.store.close().await;
    write(&cell, "primary.age", Cell::ZONE, Identity::from_secret(IdentityName::PRIMARY, &secret).unwrap());
    write(&cell, "zone.age", "other.internal", Identity::generate(IdentityName::SECONDARY, &mut random()));
    export(&stranger, "secondary.age");
    fs::copy(stranger.folder().join("secondary.age"), cell.folder().join("stranger.age")).unwrap();
    export(&cell, "secondary.age");
    fs::write(cell.folder().join("text.age"), "mine").unwrap();
    let whole = fs::read(cell.folder().join("secondary.age")).unwrap();
    fs::write(cell.folder().join("half.age"), &whole[..whole.len() / 2]).unwrap();
    let database = fs::read(cell.file("keycell.db")).unwrap();
    for (file, why) in [
        ("primary.age", "the file holds #KDC#00001, which is the primary: the cell recovers on #KDC#00002"),
        ("zone.age", "the file is of the zone other.internal, and the database of test.internal"),
        ("stranger.age", "the file holds a #KDC#00002 that is not this database's"),
        ("text.age", "text.age is no exported identity of a KDC"),
        ("half.age", "half.age is no exported identity of a KDC"),
        ("nothing.age", "cannot write or read nothing.age"),
    ] {
        let refused = recover(&cell, file, &[]).failed();
        assert!(refused.contains(why), "{file}: {refused}");
    }
    fs::write(cell.folder().join("wrong"), "another passphrase").unwrap();
    let wrong = ["identity", "recover", "secondary.age", "--yes", "--passphrase-file", "wrong"];
    let refused = ended(cell.command().args(wrong)).failed();
    assert!(refused.contains("secondary.age does not open with this passphrase"), "{refused}");
    assert_eq!(fs::read(cell.file("keycell.db")).unwrap(), database, "nothing was changed");
    let kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [1, 2]);
}

/// A secondary that never left the database was stolen with it: that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secondary_that_was_in_the_database_is_warned_of() {
    let cell = Cell::sqlite();
    let (opened, _) = open(&cell).await;
    let secret = opened.store.secret("identity #KDC#00002").await.unwrap().unwrap();
    let secret = opened.keyring.open_secret(&secret).unwrap();
    opened.store.close().await;
    write(
        &cell,
        "secondary.age",
        Cell::ZONE,
        Identity::from_secret(IdentityName::SECONDARY, &secret).unwrap(),
    );
    fs::write(cell.folder().join("passphrase"), PASSPHRASE).unwrap();
    let told = recover(&cell, "secondary.age", &[]).succeeded().stdout;
    assert!(told.contains("WARNING: the private half of #KDC#00002 was in this database."), "{told}");
    let kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [2, 3]);
    let view: Value = cell.admin(&kdc).get("/v1/admin/identities").await.json();
    assert_eq!(view["identities"][2]["private_half"], "deleted");
}
