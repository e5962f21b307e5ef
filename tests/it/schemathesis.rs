//! schemathesis asks a KDC everything that `openapi.yaml` describes, rightly and wrongly, and looks at each answer. What it
//! expects, and why, is in tests/schemathesis/schemathesis.toml.

use std::path::Path;
use std::process::Command;

use keycell_kdc::keyring::MasterKeySource;
use keycell_tests::cell::{Cell, binary, ended};

#[tokio::test]
async fn nothing_that_can_be_asked_breaks_the_kdc() {
    // target/debug/keycell
    let target = binary().parent().and_then(Path::parent).unwrap().to_owned();
    let tool = target.join("schemathesis/bin/schemathesis");
    assert!(tool.is_file(), "there is no {}: tests/schemathesis/install puts it there", tool.display());
    let cell = Cell::sqlite();
    let rate = "{ per_second = 1000000, burst = 1000000 }";
    cell.configure(&format!("limits = {{ per_address = {rate}, failures_per_address = {rate} }}"));
    // One to go over to.
    MasterKeySource::File(cell.file("master.key")).append(None, &mut keycell_kdc::random::system()).unwrap();
    let mut kdc = cell.serve();
    let token = cell.token("admin");

    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let report = ended(
        Command::new(tool)
            .current_dir(cell.folder())
            .arg("--config-file")
            .arg(tests.join("schemathesis/schemathesis.toml"))
            .arg("run")
            .arg(tests.join("../openapi.yaml"))
            .args(["--no-color", "--url", &kdc.url(), "--tls-verify"])
            .arg(cell.file("tls/roots.pem"))
            .env("PYTHONPATH", tests.join("schemathesis"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1")
            .env("KEYCELL_TEST_TOKEN", &token)
            .env("KEYCELL_TEST_ZONE", Cell::ZONE),
    );
    assert_eq!(report.code, Some(0), "{}{}", report.stdout, report.stderr);

    // A run in which everything is refused would pass too: it must have got somewhere.
    let metrics = kdc.http().get("/metrics").await.text();
    // A party that is there and a member of a group that is there: too much for names that are drawn.
    let member = ("PUT", "/v1/admin/groups/{name}/excluded/{party}");
    for route in keycell_kdc::http::routes() {
        let status = if route.method == "DELETE" { 204 } else { 200 };
        let counted = format!("keycell_http_requests_total{{route=\"{}\",status=\"{status}\"}} ", route.path);
        let count = metrics.lines().find_map(|line| line.strip_prefix(&counted)).unwrap_or("0");
        // No ticket and no key without a signature, and no epoch is confirmed but the one that is shown. What is made is 201.
        let unlikely = [
            "/v1/tickets",
            "/v1/keys/rotate",
            "/v1/group-keys",
            "/v1/peer/tickets",
            "/v1/vouchers",
            "/v1/enroll",
            "/v1/admin/conflicts/{name}",
            // Nobody waits who could be approved.
            "/v1/admin/enrollments/{fingerprint}/approve",
            "/v1/admin/ratchet/confirm",
            // No offer and no bundle of another zone is drawn that holds.
            "/v1/admin/trusts/offers",
            "/v1/admin/trusts/accepted",
            "/v1/admin/trusts/{direction}/{zone}",
            "/v1/admin/trusts/{direction}/{zone}/rotate",
        ];
        let expected = !unlikely.contains(&route.path) && (route.method.as_str(), route.path) != member;
        assert!(!expected || count != "0", "nothing of {} {} succeeded\n{metrics}", route.method, route.path);
    }
    assert_eq!(kdc.terminate(), Some(0));
    let errors: Vec<_> =
        kdc.log().lines().filter(|line| line.contains(" ERROR ")).map(str::to_owned).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
