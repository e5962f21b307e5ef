//! `keycell ready`, which health checks run.

use std::sync::Arc;

use keycell_tests::cell::Cell;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;

#[test]
fn it_follows_the_kdc_of_the_configuration() {
    let cell = Cell::sqlite();
    let complaint = cell.run(&["ready"]).failed();
    assert!(complaint.contains("no KDC listens on 127.0.0.1:"), "{complaint}");
    let mut kdc = cell.serve();
    assert_eq!(cell.run(&["ready"]).succeeded().stdout, "The KDC is ready.\n");
    assert_eq!(cell.run(&["ready", "--json"]).succeeded().stdout.trim(), r#"{"ready":true}"#);
    // In a container it listens everywhere, and its URLs lead to wherever.
    cell.configure(&format!(
        "listen = \"0.0.0.0:{}\"\nurls = [\"https://kdc2.example.com\", \"https://localhost:1\"]",
        cell.listen().port()
    ));
    cell.run(&["ready"]).succeeded();
    // What answers there is none of this zone's.
    cell.configure("urls = [\"https://kdc2.example.com\"]");
    let complaint = cell.run(&["ready"]).failed();
    assert!(complaint.contains("is none of this zone's"), "{complaint}");
    assert_eq!(kdc.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_why_a_kdc_is_not_ready() {
    let cluster = Arc::new(Postgres::start());
    let cell = Cell::postgres(&cluster);
    let _kdc = cell.serve();
    cell.run(&["ready"]).succeeded();
    cluster.crash();
    let complaint = until("it is not ready", async || {
        let ended = cell.run(&["ready"]);
        (ended.code != Some(0)).then_some(ended)
    })
    .await
    .failed();
    assert!(complaint.contains("the KDC is not ready: the database has not answered"), "{complaint}");
}
