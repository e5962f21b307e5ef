//! Hosts come aboard over TLS: on both databases, through two KDCs, and through a crash.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keycell_kdc::enrollment::EnrollmentMode;
use keycell_protocol::{JoinToken, Outcome, ProblemType, Step};
use keycell_tests::cell::Cell;
use keycell_tests::host::Host;
use keycell_tests::http::{Answer, Http};
use keycell_tests::party::{Party, now};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use tokio::task::JoinSet;

const FAST: &str = "limits = { enrollments_per_address = { per_second = 1000000, burst = 1000000 } }";

async fn on_both(test: impl AsyncFn(Cell)) {
    test(Cell::sqlite()).await;
    test(Cell::postgres(&Postgres::shared())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_comes_aboard_and_back() {
    on_both(async |cell| {
        let token = cell.join_token(1).await;
        let mut kdc = cell.serve();
        let (http, bundle) = (kdc.http(), kdc.http().bundle().await);
        let (one, two) =
            (Host::new("nanoprobe", "web1.example").with(&token), Host::new("nanoprobe", "web2.example"));
        let first = one.enroll(&http, &bundle).await.unwrap();
        assert_eq!(first.name.to_string(), one.name());
        let refused = two.clone().with(&token).enroll(&http, &bundle).await.unwrap_err();
        assert_eq!((refused.status, refused.kind()), (403, ProblemType::EnrollmentRefused));
        assert_eq!(two.enroll(&http, &bundle).await.unwrap_err().kind(), ProblemType::EnrollmentRefused);

        let admin = cell.admin(&kdc);
        let other = admin.add("b@test.internal").await;
        assert!(gets(&first, &http, "b@test.internal").await);
        assert!(gets(&other, &http, &one.name()).await);

        // A new process with the same key, whose store was lost.
        let second = one.enroll(&http, &bundle).await.unwrap();
        assert_eq!(second.key.generation().0, 2);
        // Which is for it alone.
        let staged = first.rotate(&http, Step::Stage).await.unwrap_err();
        assert_eq!((staged.status, staged.kind()), (409, ProblemType::Conflict));
        assert!(staged.problem().retry_after.is_some_and(|wait| (86_000..=86_400).contains(&wait)));
        assert!(gets(&first, &http, "b@test.internal").await);
        second.rotate(&http, Step::Commit).await.unwrap();
        assert!(gets(&second, &http, "b@test.internal").await);
        admin.assert_intact().await;
        drop((http, admin));
        assert_eq!(kdc.terminate(), Some(0));
        assert_eq!(cell.uses(&token).await, 1);
        // Never in the log.
        assert!(!kdc.log().contains(&token.to_text()[21..]));
    })
    .await;
}

/// Whether the KDC gives a party a ticket.
async fn gets(party: &Party, http: &Http, destination: &str) -> bool {
    let outcomes = party.ask(http, &[destination]).await.unwrap();
    matches!(outcomes.as_slice(), [Outcome::Granted(_)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_good_is_answered_as_it_is() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Tofu).await;
    let kdc = cell.serve();
    let (http, bundle) = (kdc.http(), kdc.http().bundle().await);
    let host = Host::new("nanoprobe", "web1.example");
    let problem = async |body: Vec<u8>| http.enroll(body).await.problem();

    let late = problem(host.request_at(&bundle, now().minus(3_600_000)).json).await;
    assert_eq!(late.kind, ProblemType::ClockSkew);
    assert!(late.server_time.unwrap().distance(now()) < 60_000);

    let mut secondary = bundle.clone();
    secondary.identities.remove(0);
    let elsewhere = problem(host.request(&secondary).json).await;
    assert_eq!((elsewhere.status, elsewhere.kind), (409, ProblemType::IdentityUnknown));
    assert_eq!(elsewhere.identity.map(|name| name.to_string()).as_deref(), Some("#KDC#00001"));
    // As if the secondary were the primary.
    secondary.identities[0].name = bundle.identities[0].name;
    let unread = problem(host.request(&secondary).json).await;
    assert_eq!((unread.kind, unread.reenroll_within), (ProblemType::Unauthenticated, Some(600)));

    let mut other = bundle.clone();
    other.zone = "other.internal".parse().unwrap();
    let wrong = problem(host.request(&other).json).await;
    assert_eq!((wrong.status, wrong.field.as_deref()), (400, Some("zone")));
    assert_eq!(problem(b"{}".to_vec()).await.kind, ProblemType::MalformedRequest);
    assert_eq!(problem(vec![b' '; 8193]).await.kind, ProblemType::TooLarge);

    let (old, sent) = (host.request_at(&bundle, now().minus(5_000)), host.request(&bundle));
    let party = sent.send(&http).await.unwrap();
    assert_eq!(sent.send(&http).await.unwrap().key.expose_secret(), party.key.expose_secret());
    assert_eq!(problem(old.json).await.kind, ProblemType::Replayed);
    let admin = cell.admin(&kdc);
    admin.set_enabled(&host.name(), false).await;
    assert_eq!(problem(host.request(&bundle).json).await.kind, ProblemType::EnrollmentRefused);
    kdc.logs("the party is disabled").await;
}

/// A host that was not heard of yet is told how hosts spread; so is one that was erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_known_is_told_within_what_time_to_enroll() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let party = admin.add("a@test.internal").await;
    admin.delete("a@test.internal").await;
    let answer = party.ask(&kdc.http(), &["b@test.internal"]).await.unwrap_err();
    let problem = answer.problem();
    assert_eq!((problem.kind, problem.reenroll_within), (ProblemType::Unauthenticated, Some(600)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_floods_is_slowed_down() {
    let cell = Cell::sqlite();
    cell.configure("limits = { enrollments_per_address = { per_second = 1, burst = 3 } }");
    let kdc = cell.serve();
    let (http, bundle) = (kdc.http(), kdc.http().bundle().await);
    let limited = until("it is too often", async || {
        let refused = Host::new("nanoprobe", "web1").enroll(&http, &bundle).await.unwrap_err();
        (refused.status == 429).then_some(refused)
    });
    let limited = limited.await;
    assert_eq!(limited.kind(), ProblemType::RateLimited);
    assert!(limited.problem().retry_after.is_some());
    // All else goes on.
    assert_eq!(http.get("/v1/zone").await.status, 200);
}

/// Two KDCs share the uses of one token, whatever comes where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kdcs_take_no_more_than_a_token_has() {
    let cell = Cell::postgres(&Postgres::shared());
    cell.configure(FAST);
    let token = cell.join_token(150).await;
    let (mut one, mut two) = (cell.serve(), cell.replica());
    let bundle = one.http().bundle().await;
    let mut hosts = JoinSet::new();
    for number in 0..200 {
        let http = if number % 2 == 0 { one.http() } else { two.http() };
        let (host, bundle) = (Host::new("nanoprobe", &format!("h{number}")).with(&token), bundle.clone());
        hosts.spawn(async move { patiently(&host, &http, &bundle).await.map(|party| party.name) });
    }
    let outcomes = hosts.join_all().await;
    let aboard: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    let refused = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    assert!(refused.clone().all(|answer| answer.kind() == ProblemType::EnrollmentRefused));
    assert_eq!((aboard.len(), refused.count()), (150, 50));
    let page = cell.admin(&two).get("/v1/admin/parties?limit=1000").await.json();
    assert_eq!(page["parties"].as_array().unwrap().len(), 150);
    cell.admin(&one).assert_intact().await;
    assert_eq!((one.terminate(), two.terminate()), (Some(0), Some(0)));
    assert_eq!(cell.uses(&token).await, 150);
}

/// Sends the very same request again while the KDC has too much to do.
async fn patiently(host: &Host, http: &Http, bundle: &keycell_protocol::Bundle) -> Result<Party, Answer> {
    let sent = host.request(bundle);
    loop {
        match sent.send(http).await {
            Err(answer) if answer.status == 503 => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nobody_and_counts_nobody_twice() {
    on_both(async |cell| {
        cell.configure(FAST);
        let token = cell.join_token(2_000).await;
        killed(&cell, &token).await;
    })
    .await;
}

async fn killed(cell: &Cell, token: &JoinToken) {
    const HOSTS: usize = 1_000;
    const CLIENTS: usize = 20;
    let mut kdc = cell.serve();
    let bundle = kdc.http().bundle().await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (http, bundle, token, done) = (kdc.http(), bundle.clone(), token.clone(), done.clone());
        clients.spawn(async move {
            let mut sent = Vec::new();
            for number in 0..HOSTS / CLIENTS {
                let host = Host::new("nanoprobe", &format!("h{client}-{number}")).with(&token);
                let request = host.request(&bundle);
                let asked = http.request(reqwest::Method::POST, "/v1/enroll");
                let asked = asked.header("content-type", "application/json").body(request.json.clone());
                // No answer once it is killed.
                let answer = match Answer::try_of(asked).await {
                    Ok(answer) if answer.status == 200 => Some(request.party(&answer.body).unwrap()),
                    _ => None,
                };
                done.fetch_add(usize::from(answer.is_some()), Ordering::SeqCst);
                sent.push((request, answer));
            }
            sent
        });
    }
    until("half are aboard", async || (done.load(Ordering::SeqCst) >= HOSTS / 2).then_some(())).await;
    kdc.kill9();
    let sent: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert!(sent.iter().any(|(_, party)| party.is_none()), "it was killed in the middle");

    let mut kdc = cell.serve();
    let (http, admin) = (kdc.http(), cell.admin(&kdc));
    admin.add("b@test.internal").await;
    // Whoever was answered is there with that very key; whoever was not sends the same again.
    let mut parties = Vec::new();
    for (request, party) in &sent {
        let again = request.send(&http).await.unwrap();
        if let Some(party) = party {
            assert_eq!(again.key.generation(), party.key.generation());
            assert_eq!(again.key.expose_secret(), party.key.expose_secret());
        }
        parties.push(again);
    }
    for party in parties.iter().step_by(97) {
        assert!(gets(party, &http, "b@test.internal").await);
    }
    let records = admin.records().await;
    let enrolled = records.iter().filter(|record| record["action"] == "party.enroll").count();
    assert_eq!(enrolled, HOSTS, "each once");
    assert!(!records.iter().any(|record| record["action"] == "party.reenroll"));
    admin.assert_intact().await;
    drop((http, admin));
    assert_eq!(kdc.terminate(), Some(0));
    assert_eq!(cell.uses(token).await, HOSTS as u32);
}
