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
async fn failures_shut_an_address_out_and_nobody_else() {
    let cell = Cell::sqlite();
    cell.configure("limits = { failures_per_address = { per_second = 1, burst = 5 } }");
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    let b = admin.add("b@test.internal").await;
    let (here, there) = (kdc.http_from([127, 0, 0, 3].into()), kdc.http_from([127, 0, 0, 2].into()));

    // Somebody at one address guesses keys, tokens, and repeats what was heard: all of it counts.
    let mut guess = a.request(&["b@test.internal"]);
    guess.source = b.name.clone();
    let heard = a.sign(&a.request(&["b@test.internal"]));
    assert_eq!(there.tickets(heard.clone()).await.status, 200);
    let guesser = here.clone().with_token("guessed");
    let mut refused = None;
    for n in 0..60 {
        let answer = match n % 3 {
            0 => here.tickets(a.sign(&guess)).await,
            1 => here.tickets(heard.clone()).await,
            _ => guesser.get("/v1/admin/parties").await,
        };
        if answer.status == 429 {
            refused = Some((n, answer));
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let (tries, answer) = refused.expect("the address is shut out");
    assert!((5..20).contains(&tries), "{tries}");
    retry_after(&answer);
    // Also what is right is not looked at from there; elsewhere all goes on, and time heals.
    let right = a.request(&["b@test.internal"]);
    retry_after(&here.tickets(a.sign(&right)).await);
    assert_eq!(a.refusal(&there, "b@test.internal").await, None);
    assert_eq!(admin.get("/v1/admin/parties").await.status, 200);
    keycell_tests::wait::until("the address is let in again", async || {
        a.ask(&here, &["b@test.internal"]).await.ok()
    })
    .await;
}
