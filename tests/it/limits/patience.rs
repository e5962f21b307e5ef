//! Clients that take their time: each is cut off, and nobody waits for them.

use keycell_tests::cell::Cell;
use keycell_tests::kdc::Kdc;
use keycell_tests::wire::send;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

fn impatient() -> (Cell, Kdc) {
    let cell = Cell::sqlite();
    cell.configure("limits = { request_timeout_seconds = 1, connections = 4 }");
    let kdc = cell.serve();
    (cell, kdc)
}

/// Everything until the KDC closes the connection.
async fn to_the_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A connection that is reset has ended too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_says_nothing_is_cut_off_and_gives_its_place_back() {
    let (_cell, kdc) = impatient();
    // All places, and some in the queue.
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(kdc.address()).await.unwrap());
    }
    assert_eq!(kdc.http().get("/livez").await.status, 200);
    for mut stream in silent {
        assert_eq!(to_the_end(&mut stream).await, "");
    }
    let metrics = kdc.http().get("/metrics").await.text();
    let failures =
        metrics.lines().find_map(|line| line.strip_prefix("keycell_tls_handshake_failures_total "));
    assert!(failures.unwrap().parse::<u32>().unwrap() >= 8, "{metrics}");
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() {
    let (_cell, kdc) = impatient();
    let mut stream = kdc.tls(&["http/1.1"]).await.unwrap();
    send(&mut stream, b"GET /v1/zone HTTP/1.1\r\nhost: kdc\r\nx-slow: ").await.unwrap();
    let answer = to_the_end(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_begins_is_cut_off() {
    let (_cell, kdc) = impatient();
    for protocol in ["http/1.1", "h2"] {
        let mut stream = kdc.tls(&[protocol]).await.unwrap();
        assert!(!to_the_end(&mut stream).await.starts_with("HTTP/1.1 200"), "{protocol}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_answered_so() {
    let (_cell, kdc) = impatient();
    let mut stream = kdc.tls(&["http/1.1"]).await.unwrap();
    let head = "POST /v1/tickets HTTP/1.1\r\nhost: kdc\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    send(&mut stream, head.as_bytes()).await.unwrap();
    let answer = to_the_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("urn:keycell:problem:timeout"), "{answer}");
}

#[tokio::test]
async fn a_drip_is_no_progress() {
    let (_cell, kdc) = impatient();
    let (mut reader, mut writer) = tokio::io::split(kdc.tls(&["http/1.1"]).await.unwrap());
    send(&mut writer, b"GET /v1/zone HTTP/1.1\r\nx-slow: ").await.unwrap();
    let drip = tokio::spawn(async move {
        // Each byte on its own, until the other end has had enough.
        while send(&mut writer, b"y").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let answer = to_the_end(&mut reader).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    drip.abort();
}
