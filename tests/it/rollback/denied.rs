//! A host that is denied stays so, whatever backup is put back.

use std::fs;

use keycell_kdc::enrollment::EnrollmentMode;
use keycell_protocol::Bundle;
use keycell_tests::backup::Recovery;
use keycell_tests::cell::Cell;
use keycell_tests::host::Host;
use keycell_tests::http::Http;
use keycell_tests::postgres::Postgres;
use serde_json::json;

fn fingerprint(host: &Host) -> String {
    let name = host.name();
    name.split_once("::").unwrap().1.split_once('@').unwrap().0.to_owned()
}

async fn is_let_in(host: &Host, kdc: &Http, bundle: &Bundle) -> bool {
    match host.enroll(kdc, bundle).await {
        Ok(_) => true,
        Err(answer) => {
            assert_eq!(answer.status, 403, "{}", answer.text());
            false
        }
    }
}

async fn denials_outlive_a_restore(cell: Cell) {
    cell.lets_in(EnrollmentMode::Token).await;
    let token = cell.join_token(20).await;
    let recovery = Recovery::of(&cell);
    let replace: &[&str] = if cell.cluster().is_some() { &["--replace"] } else { &[] };
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let bundle = kdc.http().bundle().await;
    let host = |name: &str| Host::new("nanoprobe", name).with(&token);
    let [deleted, denied, late, pardoned] = ["deleted", "denied", "late", "pardoned"].map(host);
    deleted.enroll(&kdc.http(), &bundle).await.unwrap();
    let backup = recovery.back_up(&cell, "before.age");
    late.enroll(&kdc.http(), &bundle).await.unwrap();
    for host in [&deleted, &late] {
        assert_eq!(admin.delete(&host.name()).await.status, 204);
    }
    cell.run(&["enroll", "deny", &fingerprint(&denied)]).succeeded();
    cell.run(&["enroll", "deny", &fingerprint(&pardoned)]).succeeded();
    cell.run(&["enroll", "forget", &fingerprint(&pardoned)]).succeeded();
    assert_eq!(kdc.terminate(), Some(0));
    // Put back by somebody who knows nothing of revocations.
    let known = fs::read(cell.file("revocations")).unwrap();
    fs::remove_file(cell.file("revocations")).unwrap();
    let more = [replace, &["--forget-revocations"]].concat();
    recovery.restore(&cell, &backup, &more).succeeded();
    fs::write(cell.file("revocations"), known).unwrap();
    let refused = cell.run(&["check-config"]).failed();
    for host in [&deleted, &denied, &late] {
        let says = format!("the host with the fingerprint {} was denied", fingerprint(host));
        assert!(refused.contains(&says), "{says}: {refused}");
    }
    assert!(!refused.contains(&fingerprint(&pardoned)), "{refused}");
    let told = cell.run(&["--json", "check-config"]).stdout;
    assert!(told.contains("\"denial_lost\""), "{told}");

    let mut kdc = cell.serve_told(&["--accept-rollback"]);
    for host in [&deleted, &denied, &late] {
        assert!(!is_let_in(host, &kdc.http(), &bundle).await, "{}", host.host);
    }
    assert!(is_let_in(&pardoned, &kdc.http(), &bundle).await);
    let admin = cell.admin(&kdc);
    let record = admin.recorded("it is recorded", |record| {
        record["action"] == "enrollment.deny" && record["target"] == fingerprint(&denied)
    });
    assert_eq!(record.await["detail"]["restored"], json!(true));
    admin.assert_intact().await;
    assert_eq!(kdc.terminate(), Some(0));

    // As `restore` does it; and it can be lifted as any other.
    let restored = recovery.restore(&cell, &backup, replace).succeeded().stdout;
    assert!(restored.contains("4 that were revoked since the backup stay revoked"), "{restored}");
    let mut kdc = cell.serve();
    assert!(!is_let_in(&denied, &kdc.http(), &bundle).await);
    cell.run(&["enroll", "forget", &fingerprint(&denied)]).succeeded();
    assert!(is_let_in(&denied, &kdc.http(), &bundle).await);
    assert!(!is_let_in(&deleted, &kdc.http(), &bundle).await);
    kdc.kill9();
    cell.run(&["check-config"]).succeeded();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_outlive_a_restore_on_sqlite() {
    denials_outlive_a_restore(Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_outlive_a_restore_on_postgres() {
    denials_outlive_a_restore(Cell::postgres(&Postgres::shared())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_before_a_crash_is_remembered_at_the_next_start() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let hosts = ["a", "b"].map(|name| fingerprint(&Host::new("nanoprobe", name)));
    cell.run(&["enroll", "deny", &hosts[0]]).succeeded();
    let before = fs::read_to_string(cell.file("revocations")).unwrap();
    assert!(before.contains(&hosts[0]), "{before}");
    cell.run(&["enroll", "deny", &hosts[1]]).succeeded();
    cell.run(&["enroll", "forget", &hosts[0]]).succeeded();
    drop(kdc);
    // As if it had been killed before the file was written.
    fs::write(cell.file("revocations"), before).unwrap();
    cell.run(&["check-config"]).succeeded();
    drop(cell.serve());
    let after = fs::read_to_string(cell.file("revocations")).unwrap();
    let last = |host: &str| after.lines().rfind(|line| line.contains(host)).unwrap_or_default();
    assert!(
        last(&hosts[0]).starts_with("{\"let_off\"") && last(&hosts[1]).starts_with("{\"denial\""),
        "{after}"
    );
}
