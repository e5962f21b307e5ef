//! Too many requests from one party or one address, and what it is to others.

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::Answer;

fn retry_after(answer: &Answer) -> u64 {
    let problem = answer.problem();
    assert_eq!(problem.kind, ProblemType::RateLimited);
    let seconds: u64 = answer.header("retry-after").parse().expect("whole seconds");
    assert_eq!(problem.retry_after, Some(seconds));
    assert!(seconds >= 1);
    seconds
}

#[tokio::test]
async fn a_party_pays_for_each_ticket_and_others_do_not_pay_for_it() {
    let cell = Cell::sqlite();
    cell.configure("limits = { tickets_per_party = { per_second = 1, burst = 1000 } }");
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (a, b) = (admin.add("a@test.internal").await, admin.add("b@test.internal").await);
    let http = kdc.http();
    let to_b = vec!["b@test.internal"; 900];
    assert_eq!(a.ask(&http, &to_b).await.unwrap().len(), 900);
    let wait = retry_after(&a.ask(&http, &to_b).await.unwrap_err());
    assert!((700..=800).contains(&wait), "{wait}");
    // What is left still buys a small request; another party has its own.
    assert_eq!(a.ask(&http, &["b@test.internal"]).await.unwrap().len(), 1);
    assert_eq!(b.ask(&http, &["a@test.internal"; 900]).await.unwrap().len(), 900);
}

#[tokio::test]
async fn an_address_over_its_rate_is_refused_and_others_are_not() {
    let cell = Cell::sqlite();
    cell.configure("limits = { per_address = { per_second = 1, burst = 20 } }");
    let kdc = cell.serve();
    let (here, there) = (kdc.http(), kdc.http_from([127, 0, 0, 2].into()));
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(here.get("/v1/zone").await);
    }
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!((10..=20).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|answer| retry_after(answer) >= 1));
    assert_eq!(there.get("/v1/zone").await.status, 200);
    // Who watches is not counted.
    for _ in 0..40 {
        assert_eq!(here.get("/livez").await.status, 200);
    }
}

#[tokio::test]
async fn who_fails_too_often_learns_nothing_more_and_nobody_else_pays_for_it() {
    let cell = Cell::sqlite();
    cell.configure("limits = { failures_per_address = { per_second = 1, burst = 5 } }");
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    let b = admin.add("b@test.internal").await;
    let (here, there) = (kdc.http_from([127, 0, 0, 3].into()), kdc.http_from([127, 0, 0, 2].into()));

    // Somebody at one address guesses keys and tokens.
    let mut guess = a.request(&["b@test.internal"]);
    guess.source = b.name.clone();
    let guesser = here.clone().with_token("guessed");
    let mut tries = 0;
    keycell_tests::wait::until("it was too often", async || {
        tries += 1;
        let guessed = match tries % 2 {
            0 => here.tickets(a.sign(&guess)).await,
            _ => guesser.get("/v1/admin/parties").await,
        };
        if guessed.status == 429 {
            return Some(retry_after(&guessed));
        }
        assert_eq!(guessed.status, 401);
        // Who shares the address and can authenticate goes on.
        assert_eq!(a.refusal(&here, "b@test.internal").await, None);
        None
    })
    .await;
    assert!(tries > 5, "{tries}");
    assert_eq!(a.refusal(&here, "b@test.internal").await, None);
    // Elsewhere a failure is still a failure.
    assert_eq!(there.tickets(a.sign(&guess)).await.kind(), ProblemType::Unauthenticated);
    assert_eq!(admin.get("/v1/admin/parties").await.status, 200);
}
