//! Bodies that do not arrive.

use keycell_tests::cell::Cell;
use keycell_tests::openapi::Description;
use keycell_tests::wire::send;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::AsyncReadExt as _;

#[tokio::test]
async fn waiting_for_a_body_in_vain_is_as_described() {
    let cell = Cell::sqlite();
    cell.configure("limits = { request_timeout_seconds = 1 }");
    let kdc = cell.serve();
    let mut waiting = Vec::new();
    for operation in super::answering(408) {
        let mut stream = kdc.tls(&["http/1.1"]).await.unwrap();
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{name}", "a%40test.internal").replace("{id}", "a");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: kdc\r\ncontent-length: 100\r\n\r\n{{");
        send(&mut stream, head.as_bytes()).await.unwrap();
        waiting.push((operation, method_of(&head), path, stream));
    }
    assert!(waiting.len() >= 10);
    for (operation, method, path, mut stream) in waiting {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let (status, headers, body) = parsed(&String::from_utf8(answer).unwrap());
        assert_eq!(status, 408, "{operation}");
        assert_eq!(Description::shared().check(&method, &path, status, &headers, body.as_bytes()), operation);
    }
}

fn method_of(head: &str) -> Method {
    head.split(' ').next().unwrap().parse().unwrap()
}

/// Status, headers and body of an answer over HTTP/1.1 that has a length.
fn parsed(answer: &str) -> (u16, HeaderMap, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    });
    (status, headers.collect(), body.to_owned())
}
