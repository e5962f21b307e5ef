//! A request counts once, also for a KDC that has forgotten what came before it was started.

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;

#[tokio::test]
async fn a_request_counts_once() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let http = kdc.http();
    let body = a.sign(&a.request(&["b@test.internal"]));
    assert_eq!(http.tickets(body.clone()).await.status, 200);
    for _ in 0..3 {
        assert_eq!(http.tickets(body.clone()).await.kind(), ProblemType::Replayed);
    }
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);

    // Of the same request many times at once, one is answered.
    let body = a.sign(&a.request(&["b@test.internal"]));
    let tries: Vec<_> = (0..32)
        .map(|_| {
            let (http, body) = (http.clone(), body.clone());
            tokio::spawn(async move { http.tickets(body).await.status })
        })
        .collect();
    let mut granted = 0;
    for attempt in tries {
        granted += u32::from(attempt.await.unwrap() == 200);
    }
    assert_eq!(granted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_open_the_door_to_a_replay() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let body = a.sign(&a.request(&["b@test.internal"]));
    assert_eq!(kdc.http().tickets(body.clone()).await.status, 200);

    for crash in [true, false] {
        if crash {
            kdc.kill9();
        } else {
            assert_eq!(kdc.terminate(), Some(0));
        }
        kdc = cell.serve();
        let problem = kdc.http().tickets(body.clone()).await.problem();
        assert_eq!(problem.kind, ProblemType::ClockSkew);
        // An honest party that asked just before the restart goes on at once with the time that it is told.
        let mut request = a.request(&["b@test.internal"]);
        request.timestamp = problem.server_time.unwrap();
        assert_eq!(kdc.http().tickets(a.sign(&request)).await.status, 200);
    }
}
