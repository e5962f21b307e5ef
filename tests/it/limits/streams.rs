//! Calls that go on for a while: for as long as something happens, and their token holds.

use std::sync::Arc;

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, PARTIES, party_path};
use keycell_tests::kdc::Kdc;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use keycell_tests::wire::send;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn an_import_is_not_cut_off_for_waiting() {
    let cell = Cell::sqlite();
    cell.configure("limits = { request_timeout_seconds = 1, idle_seconds = 1 }");
    let kdc = cell.serve();
    let mut import = begun(&kdc, &cell.token("operator")).await;
    // Connections that rest are ended meanwhile, one after the other.
    for _ in 0..3 {
        let mut resting = kdc.tls(&["http/1.1"]).await.unwrap();
        send(&mut resting, b"GET /livez HTTP/1.1\r\nhost: kdc\r\n\r\n").await.unwrap();
        let answer = rest_of(&mut resting).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    chunk(&mut import, "{\"name\":\"b@test.internal\"}\n").await;
    send(&mut import, b"0\r\n\r\n").await.unwrap();
    let answer = rest_of(&mut import).await;
    assert!(answer.contains("\"created\":2"), "{answer}");
}

#[tokio::test]
async fn an_import_ends_with_its_token() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let token = cell.token("operator");
    let mut import = begun(&kdc, &token).await;
    let holder = kdc.http().with_token(&token);
    let id = holder.get("/v1/admin/whoami").await.json();
    let id = id["token"].as_str().unwrap();
    let path = format!("/v1/admin/tokens/{id}");
    let revoked = Answer::of(admin.request(Method::DELETE, &path)).await;
    assert!((200..300).contains(&revoked.status), "{}", revoked.text());
    assert_eq!(holder.get("/v1/admin/whoami").await.kind(), ProblemType::InvalidToken);
    // It may be cut off at any moment.
    let _ = send(&mut import, b"1b\r\n{\"name\":\"b@test.internal\"}\n\r\n0\r\n\r\n").await;
    let answer = rest_of(&mut import).await;
    assert!(!answer.contains("summary"), "{answer}");
    for name in ["a@test.internal", "b@test.internal"] {
        assert_eq!(admin.get(&party_path(name)).await.status, 404, "{name}");
    }
    // The place is free.
    let own = cell.token("operator");
    until("another import begins", async || {
        let mut another = started(&kdc, &own).await;
        let mut begun = [0; 15];
        another.read_exact(&mut begun).await.unwrap();
        (&begun == b"HTTP/1.1 200 OK").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_takes_its_time_and_two_may() {
    let cell = Cell::postgres(&Arc::new(Postgres::start()));
    cell.configure("limits = { request_timeout_seconds = 1 }");
    let kdc = cell.serve();
    let (admin, auditor) = (cell.admin(&kdc), kdc.http().with_token(&cell.token("auditor")));
    let config: toml::Table = std::fs::read_to_string(cell.file("keycell.toml")).unwrap().parse().unwrap();
    let mut database = PgConnection::connect(config["database"].as_str().unwrap()).await.unwrap();
    let mut locked = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await.unwrap();
    let mut verifying = JoinSet::new();
    for _ in 0..3 {
        let auditor = auditor.clone();
        verifying
            .spawn(async move { Answer::of(auditor.request(Method::POST, "/v1/admin/audit/verify")).await });
    }
    let third = verifying.join_next().await.unwrap().unwrap();
    assert_eq!((third.kind(), third.header("retry-after")), (ProblemType::Overloaded, "5"));
    assert_eq!(auditor.get("/v1/admin/audit?outcome=denied").await.kind(), ProblemType::Overloaded);
    assert_eq!(auditor.get("/v1/admin/audit/export").await.kind(), ProblemType::Overloaded);
    // The time that others have passes.
    for _ in 0..2 {
        let late = admin.send(Method::POST, PARTIES, &json!({ "name": "a@test.internal" })).await;
        assert_eq!(late.kind(), ProblemType::Unavailable);
    }
    locked.rollback().await.unwrap();
    for answer in verifying.join_all().await {
        assert_eq!((answer.status, &answer.json()["intact"]), (200, &json!(true)));
    }
    assert_eq!(auditor.get("/v1/admin/audit?outcome=denied").await.status, 200);
}

/// An import that has sent one line.
async fn begun(kdc: &Kdc, token: &str) -> TlsStream<TcpStream> {
    let mut import = started(kdc, token).await;
    let mut begun = [0; 15];
    import.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    chunk(&mut import, "{\"name\":\"a@test.internal\"}\n").await;
    import
}

async fn started(kdc: &Kdc, token: &str) -> TlsStream<TcpStream> {
    let mut import = kdc.tls(&["http/1.1"]).await.unwrap();
    let head = format!(
        "POST /v1/admin/parties/import HTTP/1.1\r\nhost: kdc\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    send(&mut import, head.as_bytes()).await.unwrap();
    import
}

async fn chunk(stream: &mut TlsStream<TcpStream>, text: &str) {
    send(stream, format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.unwrap();
}

async fn rest_of(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
