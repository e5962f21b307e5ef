//! Stopping a KDC: what it has accepted is answered, whole.

use keycell_tests::cell::Cell;
use keycell_tests::wait::until;
use keycell_tests::wire::send;
use rustix::process::{Signal, kill_process};
use tokio::io::AsyncReadExt as _;

const CLIENTS: usize = 24;

/// Every client has sent all of its request but the last byte when the KDC is told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_answered() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    drop(admin);

    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let request = a.request(&["b@test.internal"; 1000]);
        let body = a.sign(&request);
        let (last, most) = body.split_last().unwrap();
        let mut stream = kdc.tls(&["http/1.1"]).await.unwrap();
        let head = format!(
            "POST /v1/tickets HTTP/1.1\r\nhost: kdc\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        send(&mut stream, head.as_bytes()).await.unwrap();
        send(&mut stream, most).await.unwrap();
        clients.push((stream, request, *last));
    }
    let watcher = kdc.http();
    until("all are in work", async || {
        let metrics = watcher.get("/metrics").await.text();
        let in_flight =
            metrics.lines().find_map(|line| line.strip_prefix("keycell_http_requests_in_flight "));
        // The one that asks is in work as well.
        (in_flight.unwrap().parse::<usize>().unwrap() == CLIENTS + 1).then_some(())
    })
    .await;

    kill_process(kdc.pid(), Signal::TERM).unwrap();
    let address = kdc.address();
    until("nobody new is let in", async || tokio::net::TcpStream::connect(address).await.err()).await;
    assert!(kdc.runs(), "it waits for what it accepted");
    let answers: Vec<_> = clients
        .into_iter()
        .map(|(mut stream, request, last)| {
            tokio::spawn(async move {
                send(&mut stream, &[last]).await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                (answer, request)
            })
        })
        .collect();
    for answer in answers {
        let (answer, request) = answer.await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert_eq!(a.open(body.as_bytes(), &request).unwrap().outcomes.len(), 1000);
    }
    assert_eq!(kdc.wait(), Some(0));
    assert!(kdc.log().contains("stopped"), "{}", kdc.log());
}

/// The same with many requests on HTTP/2 connections, at no chosen moment: what is answered is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_whole_or_the_request_was_not_accepted() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let http = kdc.http();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let request = a.request(&["b@test.internal"; 1000]);
        let (http, body) = (http.clone(), a.sign(&request));
        tasks.spawn(async move {
            let post = http.request(reqwest::Method::POST, "/v1/tickets");
            let post = post.header("content-type", "application/json").body(body);
            // An answer that begins must end.
            match post.send().await {
                Ok(answer) => Some((answer.status().as_u16(), answer.bytes().await.unwrap(), request)),
                Err(_) => None,
            }
        });
    }
    let first = tasks.join_next().await.unwrap().unwrap();
    assert!(first.is_some());
    assert_eq!(kdc.terminate(), Some(0));
    while let Some(outcome) = tasks.join_next().await {
        let Some((status, body, request)) = outcome.unwrap() else { continue };
        assert_eq!(status, 200);
        assert_eq!(a.open(&body, &request).unwrap().outcomes.len(), 1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_to_do_is_no_reason_to_wait() {
    let cell = Cell::sqlite();
    cell.configure("limits = { shutdown_seconds = 300 }");
    let mut kdc = cell.serve();
    // Connections that ask for nothing, or not now, hold nobody up.
    let idle = (kdc.tls(&["http/1.1"]).await.unwrap(), kdc.http());
    assert_eq!(idle.1.get("/livez").await.status, 200);
    assert_eq!(kdc.terminate(), Some(0));
    drop(idle);
}
