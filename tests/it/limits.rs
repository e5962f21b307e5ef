//! What one KDC lets itself in for: rates, sizes, places and patience.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

#[path = "limits/patience.rs"]
mod patience;
#[path = "limits/rates.rs"]
mod rates;
#[path = "limits/streams.rs"]
mod streams;

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, PARTIES};
use keycell_tests::wait::until;
use keycell_tests::wire::send;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Body, Method};
use sqlx::Connection as _;
use tokio::io::AsyncReadExt as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_kdc_sheds_what_comes_on_top_and_still_shows_that_it_lives() {
    let cell = Cell::sqlite();
    cell.configure("limits = { requests_in_flight = 1 }");
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());

    // One change that waits for the database holds the only place.
    let database = format!("sqlite:{}", cell.file("keycell.db").display());
    let mut database = sqlx::SqliteConnection::connect(&database).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut database).await.unwrap();
    let waiting = tokio::spawn(async move {
        let party = serde_json::json!({ "name": "a@test.internal" });
        loop {
            // It may itself be what comes on top.
            let answer = admin.try_send(Method::POST, PARTIES, &party).await.unwrap();
            if answer.status != 503 {
                return answer.status;
            }
        }
    });
    let shed = until("the place is taken", async || {
        let answer = http.get("/v1/zone").await;
        (answer.status != 200).then_some(answer)
    });
    let shed = shed.await;
    assert_eq!(shed.kind(), ProblemType::Overloaded);
    assert_eq!((shed.status, shed.header("retry-after")), (503, "1"));
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(http.get(path).await.status, 200, "{path}");
    }
    let metrics = http.get("/metrics").await.text();
    assert!(metrics.contains("problem=\"urn:keycell:problem:overloaded\""), "{metrics}");

    // The database answers; so does the KDC, and others have their turn.
    sqlx::query("ROLLBACK").execute(&mut database).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 201);
    until("the place is free", async || (http.get("/v1/zone").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn who_sends_slowly_takes_no_place() {
    let cell = Cell::sqlite();
    cell.configure("limits = { requests_in_flight = 1, request_timeout_seconds = 300 }");
    let kdc = cell.serve();
    let http = kdc.http();
    let head = "POST /v1/tickets HTTP/1.1\r\nhost: kdc\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = kdc.tls(&["http/1.1"]).await.unwrap();
        send(&mut stream, head.as_bytes()).await.unwrap();
        send(&mut stream, b"{").await.unwrap();
        slow.push(stream);
    }
    until("all are in work", async || {
        let metrics = http.get("/metrics").await.text();
        metrics.contains("keycell_http_requests_in_flight 21").then_some(())
    })
    .await;
    assert_eq!(http.get("/v1/zone").await.status, 200);
    for mut stream in slow {
        send(&mut stream, b"\"a\": 1 }").await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400");
    }
}

#[tokio::test]
async fn a_body_past_the_limit_is_not_waited_for() {
    let cell = Cell::sqlite();
    cell.configure("limits = { body_bytes = 4096 }");
    let kdc = cell.serve();
    let http = kdc.http();
    let post = |body: Body| {
        http.request(Method::POST, "/v1/tickets").header(CONTENT_TYPE, "application/json").body(body)
    };
    assert_eq!(Answer::of(post(vec![b' '; 4096].into())).await.kind(), ProblemType::MalformedRequest);
    assert_eq!(Answer::of(post(vec![b' '; 4097].into())).await.kind(), ProblemType::TooLarge);

    // Announced too long: refused with nothing of it read.
    let mut claimed = kdc.tls(&["http/1.1"]).await.unwrap();
    let head = "POST /v1/tickets HTTP/1.1\r\nhost: kdc\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n";
    send(&mut claimed, head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    claimed.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_whole_policy_has_room_once_the_token_holds() {
    let cell = Cell::sqlite();
    cell.configure("limits = { body_bytes = 4096 }");
    let kdc = cell.serve();
    let put = async |token: &str, bytes: usize| {
        let http = kdc.http().with_token(token);
        let put = http.request(Method::PUT, "/v1/admin/policy?dry_run=true");
        let mut policy = "{\"rules\":[]}".to_owned();
        policy.push_str(&" ".repeat(bytes - policy.len()));
        Answer::of(put.header(CONTENT_TYPE, "application/json").body(policy)).await
    };
    let (admin, auditor) = (cell.token("admin"), cell.token("auditor"));
    assert_eq!(put(&admin, 8 << 20).await.status, 200);
    assert_eq!(put(&admin, (8 << 20) + 1).await.kind(), ProblemType::TooLarge);
    assert_eq!(put("none", 8 << 20).await.kind(), ProblemType::InvalidToken);
    assert_eq!(put(&auditor, 8 << 20).await.kind(), ProblemType::Forbidden);
}

#[tokio::test]
async fn a_body_of_no_announced_length_ends_at_the_limit() {
    let cell = Cell::sqlite();
    cell.configure("limits = { body_bytes = 4096 }");
    let kdc = cell.serve();
    let mut endless = kdc.tls(&["http/1.1"]).await.unwrap();
    let head = "POST /v1/tickets HTTP/1.1\r\nhost: kdc\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    send(&mut endless, head.as_bytes()).await.unwrap();
    for _ in 0..5 {
        let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
        send(&mut endless, chunk.as_bytes()).await.unwrap();
    }
    let mut answer = [0; 12];
    endless.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn heads_are_bounded_in_number_and_size() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let http = kdc.http();
    for (protocol, headers, size) in
        [("http/1.1", 80, 1), ("http/1.1", 1, 300_000), ("h2", 1, 100_000), ("h2", 30, 1_000)]
    {
        let answered = match protocol {
            "h2" => h2_status(&http, headers, size).await.is_some_and(|status| status == 200),
            _ => http1_status(&kdc, headers, size).await.starts_with("HTTP/1.1 200"),
        };
        assert!(!answered, "{protocol}: {headers} headers of {size} bytes");
    }
    assert!(http1_status(&kdc, 30, 100).await.starts_with("HTTP/1.1 200"));
    assert_eq!(h2_status(&http, 30, 100).await, Some(200));
}

async fn http1_status(kdc: &keycell_tests::kdc::Kdc, headers: usize, size: usize) -> String {
    let mut stream = kdc.tls(&["http/1.1"]).await.unwrap();
    let mut head = "GET /v1/zone HTTP/1.1\r\nhost: kdc\r\nconnection: close\r\n".to_owned();
    for n in 0..headers {
        head.push_str(&format!("x-{n}: {}\r\n", "y".repeat(size)));
    }
    head.push_str("\r\n");
    // It may be cut off while it writes, and has its answer then.
    let _ = send(&mut stream, head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn h2_status(http: &keycell_tests::http::Http, headers: usize, size: usize) -> Option<u16> {
    let mut request = http.request(Method::GET, "/v1/zone").version(reqwest::Version::HTTP_2);
    for n in 0..headers {
        let name = HeaderName::try_from(format!("x-{n}")).unwrap();
        request = request.header(name, HeaderValue::try_from("y".repeat(size)).unwrap());
    }
    Answer::try_of(request).await.ok().map(|answer| answer.status)
}
