//! `/openapi.yaml` and `/docs`, as a program and as a browser see them.

use std::process::Command;

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::wait::until;
use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;

const FILE: &str = "/openapi.yaml";
const PAGE: &str = "/docs";

#[tokio::test]
async fn anyone_can_read_them() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let http = kdc.http();

    let file = http.get(FILE).await;
    assert_eq!((file.status, file.header("content-type")), (200, "application/yaml"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
    assert_eq!(file.text(), std::fs::read_to_string(source).unwrap());
    assert_eq!(file.header("content-security-policy"), "default-src 'none'");

    let page = http.get(PAGE).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text().starts_with("<!doctype html>\n<html lang=\"en\">"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");

    for answer in [file, page] {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-cache");
    }
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let mut known = Vec::new();
    for path in [FILE, PAGE] {
        let etag = kdc.http().get(path).await.header("etag").to_owned();
        let weak = format!("\"other\", W/{etag}");
        for tags in [etag.as_str(), &weak, "*"] {
            let answer = having(&kdc.http(), path, tags).await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{path} {tags}");
            assert_eq!(answer.header("etag"), etag);
            assert_eq!(answer.header("cache-control"), "no-cache");
            assert_eq!(answer.header("content-type"), "");
        }
        for tags in ["\"other\"", &etag.to_lowercase(), "x"] {
            let answer = having(&kdc.http(), path, tags).await;
            assert_eq!((answer.status, answer.body.is_empty()), (200, false), "{path} {tags}");
        }
        known.push((path, etag));
    }
    assert_ne!(known[0].1, known[1].1);

    // The same program answers the same after a restart.
    kdc.kill9();
    let kdc = cell.serve();
    for (path, etag) in known {
        assert_eq!(having(&kdc.http(), path, &etag).await.status, 304);
    }
}

#[tokio::test]
async fn asking_too_often_is_refused_here_too() {
    let cell = Cell::sqlite();
    cell.configure("limits = { per_address = { per_second = 1, burst = 1 } }");
    let kdc = cell.serve();
    for path in [FILE, PAGE] {
        let refused = until("it is too often", async || {
            let answer = kdc.http().get(path).await;
            (answer.status != 200).then_some(answer)
        });
        assert_eq!(refused.await.kind(), ProblemType::RateLimited);
    }
}

/// What the policy forbids, or what is not there, a browser writes to its console.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_the_page_with_its_style_and_complains_of_nothing() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let profile = tempfile::tempdir().unwrap();
    let browse = |url: String| {
        let mut command = Command::new("timeout");
        command.args(["60", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors"]);
        command.args(["--enable-logging=stderr", "--dump-dom", "--window-size=400,800"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let (shown, complaints) = browse(format!("{}{PAGE}", kdc.url()));
    assert!(shown.contains("id=\"createParty\""), "{shown}\n{complaints}");
    assert!(!complaints.contains(":CONSOLE"), "{complaints}");

    // With another style than the policy names there is a complaint: it would have been seen above.
    let page = kdc.http().get(PAGE).await;
    let policy = page.header("content-security-policy").replace("; frame-ancestors 'none'", "");
    let meta = format!("<head><meta http-equiv=\"content-security-policy\" content=\"{policy}\">");
    for (style, complains) in [("<style>", false), ("<style>/* */", true)] {
        let file = profile.path().join("page.html");
        std::fs::write(&file, page.text().replace("<head>", &meta).replace("<style>", style)).unwrap();
        let (_, complaints) = browse(format!("file://{}", file.display()));
        assert_eq!(complaints.contains(":CONSOLE"), complains, "{complaints}");
    }
}

async fn having(http: &Http, path: &str, tags: &str) -> Answer {
    Answer::of(http.request(Method::GET, path).header(IF_NONE_MATCH, tags)).await
}
