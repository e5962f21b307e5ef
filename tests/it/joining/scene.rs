//! Hosts as administrators find them.

use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_kdc::enrollment::{WaitingFor, WaitingRecord, WaitingState};
use keycell_kdc::store::Kind;
use keycell_tests::admin::ENROLLMENT;
use keycell_tests::cell::Cell;
use keycell_tests::host::Host;
use keycell_tests::http::Http;
use reqwest::Method;
use serde_json::json;

/// Hosts come while an administrator decides on each, and wait.
pub(crate) async fn wait(admin: &Http, hosts: &[&Host]) {
    lets_in(admin, "approve").await;
    let bundle = admin.bundle().await;
    for host in hosts {
        host.wait(admin, &bundle).await;
    }
}

/// Hosts come aboard while nobody decides.
pub(crate) async fn enroll(admin: &Http, hosts: &[&Host]) {
    lets_in(admin, "tofu").await;
    let bundle = admin.bundle().await;
    for host in hosts {
        host.enroll(admin, &bundle).await.unwrap();
    }
}

async fn lets_in(admin: &Http, mode: &str) {
    let set = admin.send(Method::PATCH, ENROLLMENT, &json!({ "mode": mode })).await;
    assert_eq!(set.status, 200, "{}", set.text());
}

/// Keeps this of hosts, which never came: more of them than may come from one network, or what became of them long ago.
pub(crate) async fn keep(cell: &Cell, hosts: &[(&Host, WaitingRecord)]) {
    let body = |(host, record): &(&Host, WaitingRecord)| (host.fingerprint().to_string(), record.clone());
    cell.put_documents(Kind::Enrollment, &hosts.iter().map(body).collect::<Vec<_>>()).await;
}

/// What is kept of a host while it waits.
pub(crate) fn waiting(host: &Host) -> WaitingRecord {
    let now = SystemClock.now();
    WaitingRecord {
        state: WaitingState::Waiting,
        because: Some(WaitingFor::Approval),
        service: Some(host.service.parse().unwrap()),
        host: Some(host.host.parse().unwrap()),
        public_key: Some(host.public_key()),
        token: None,
        address: Some("192.0.2.7".parse().unwrap()),
        first_at: now,
        decided_at: None,
        decided_by: None,
        until: Some(now.plus(86_400_000)),
        note: String::new(),
        revision: 1,
    }
}
