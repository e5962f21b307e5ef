//! What those leave in the audit log who have no token that holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::PARTIES;

// The clients must hear that the KDC stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_write_no_text_of_theirs_and_no_more_than_they_may_fail() {
    let cell = Cell::sqlite();
    cell.configure("limits = { failures_per_address = { per_second = 1, burst = 10 } }");
    let mut kdc = cell.serve();
    let token = cell.token("auditor");
    let (_, rest) = token.split_once('.').unwrap();
    let mut refused = 0;
    for n in 0..40 {
        let header = format!("{{\"typ\":\"JWT\",\"alg\":\"chosen-{n}\\n\"}}");
        let http = kdc.http().with_token(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header)));
        match http.get(PARTIES).await.kind() {
            ProblemType::InvalidToken => refused += 1,
            kind => assert_eq!(kind, ProblemType::RateLimited),
        }
    }
    assert!((10..40).contains(&refused), "{refused}");
    // What is counted is written when it stops at the latest.
    assert_eq!(kdc.terminate(), Some(0));
    assert!(!kdc.log().contains("chosen"), "{}", kdc.log());
    let kdc = cell.serve();
    let auditor = kdc.http().with_token(&token);
    let page = auditor.get("/v1/admin/audit?action=administrator.deny").await;
    assert!(!page.text().contains("chosen"), "{}", page.text());
    let page = page.json();
    let records = page["records"].as_array().unwrap();
    assert!(records.iter().all(|record| record["detail"]["problem"] == "malformed"), "{page}");
    let counted: u64 = records.iter().map(|record| record["detail"]["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(counted, refused, "{page}");
}
