//! Whoever should not come aboard, over TLS, with everything that it can have or record.
//!
//! Elsewhere: what one request decides (`kdc/src/enrollment/decide/tests.rs`); requests that were changed in any member,
//! sent to another zone or identity, or sealed to another key, and clocks (`kdc/tests/protocol/enrollment/attacked.rs`,
//! `tests/it/enroll.rs`); more hosts at once than a token has uses, on two KDCs (`tests/it/enroll.rs`); when a refusal
//! makes an agent come again (`client/tests/protocol/reenrolling.rs`); a thief of the primary identity
//! (`tests/load/comeback/thief.rs`); names that are none (`tests/vectors/enrollment`).

#![expect(clippy::unwrap_used, reason = "this is a test")]

use keycell_kdc::enrollment::EnrollmentMode;
use keycell_protocol::{Bundle, JoinToken, ProblemType};
use keycell_tests::admin::{ENROLLMENTS, JOIN_TOKENS};
use keycell_tests::cell::Cell;
use keycell_tests::host::Host;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::party::now;
use reqwest::Method;
use serde_json::{Value, json};

async fn refusal(host: &Host, http: &Http, bundle: &Bundle) -> Answer {
    host.enroll(http, bundle).await.unwrap_err()
}

/// How often each of these was recorded.
async fn count(admin: &Http, action: &str) -> usize {
    admin.records().await.iter().filter(|record| record["action"] == action).count()
}

async fn decide(admin: &Http, host: &Host, how: &str) -> u16 {
    let path = format!("{ENROLLMENTS}/{}/{how}", host.fingerprint());
    admin.send(Method::POST, &path, &Value::Null).await.status
}

async fn forget(admin: &Http, host: &Host) -> u16 {
    let path = format!("{ENROLLMENTS}/{}", host.fingerprint());
    admin.send(Method::DELETE, &path, &Value::Null).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_not_told_what_was_wrong() {
    let cell = Cell::sqlite();
    let other_host = cell.join_token_with(|record| record.hosts = vec!["db*.example".parse().unwrap()]).await;
    let elsewhere =
        cell.join_token_with(|record| record.networks = vec!["192.0.2.0/24".parse().unwrap()]).await;
    let over = cell.join_token_with(|record| record.expires_at = now()).await;
    let used_up = cell.join_token_with(|record| record.used = 1).await;
    let good = cell.join_token(1).await;
    let kdc = cell.serve();
    let (http, bundle, admin) = (kdc.http(), kdc.http().bundle().await, cell.admin(&kdc));
    let new = json!({ "service": "nanoprobe", "hosts": ["*"] });
    let made = admin.send(Method::POST, JOIN_TOKENS, &new).await.json();
    let revoked: JoinToken = made["token"].as_str().unwrap().parse().unwrap();
    let path = format!("{JOIN_TOKENS}/{}", revoked.id());
    assert_eq!(admin.send(Method::DELETE, &path, &Value::Null).await.status, 204);
    let guessed = JoinToken::generate(&mut keycell_client::system_rng());
    let half: JoinToken = format!("{}{}", &good.to_text()[..21], &guessed.to_text()[21..]).parse().unwrap();
    let denied = Host::new("nanoprobe", "web1.example").with(&good);
    assert_eq!(decide(&admin, &denied, "deny").await, 200);

    let host = || Host::new("nanoprobe", "web1.example");
    let mut answers = Vec::new();
    for (host, why) in [
        (host(), "it brings no join token"),
        (Host::new("cma", "web1.example").with(&good), "it is for another service"),
        (host().with(&other_host), "it is for other hosts"),
        (host().with(&elsewhere), "it is for other networks"),
        (host().with(&over), "it has expired"),
        (host().with(&used_up), "it is used up"),
        (host().with(&revoked), "it was revoked"),
        (host().with(&guessed), "there is no such join token"),
        (host().with(&half), "its secret is wrong"),
        (denied, "its key was denied"),
    ] {
        let answer = refusal(&host, &http, &bundle).await;
        assert_eq!(answer.kind(), ProblemType::EnrollmentRefused, "{why}");
        answers.push(answer.json());
        kdc.logs(why).await;
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    // Nothing came of it, and the token that was tried with is as good as before.
    assert_eq!(admin.get(PARTIES).await.json()["parties"], json!([]));
    assert_eq!((count(&admin, "party.enroll").await, cell.uses(&good).await), (0, 0));
    host().with(&good).enroll(&http, &bundle).await.unwrap();
}

/// Somebody on the way records what a host sends, and changes how it is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_request_is_worth_nothing() {
    let cell = Cell::sqlite();
    let token = cell.join_token(5).await;
    let kdc = cell.serve();
    let (http, bundle, admin) = (kdc.http(), kdc.http().bundle().await, cell.admin(&kdc));
    let host = Host::new("nanoprobe", "web1.example").with(&token);
    let respelled = |json: &[u8]| [json, b"\n"].concat();
    let problem = async |json: Vec<u8>| http.enroll(json).await.kind();

    let first = host.request(&bundle);
    let party = first.send(&http).await.unwrap();
    let before = admin.records().await.len();
    for _ in 0..10 {
        let again = first.send(&http).await.unwrap();
        assert_eq!(again.key.generation(), party.key.generation());
        assert_eq!(again.key.expose_secret(), party.key.expose_secret());
        assert_eq!(problem(respelled(&first.json)).await, ProblemType::Replayed);
    }
    assert_eq!((admin.records().await.len(), cell.uses(&token).await), (before, 1));
    let shown = admin.get(&party_path(&host.name())).await.json();
    let keys = shown["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["generation"]), (1, &json!(1)), "{shown}");

    // Respelled before it came: it is the host's word all the same, and keeps the host out for some seconds at the most.
    let stolen = host.request_at(&bundle, now().plus(1));
    assert_eq!(http.enroll(respelled(&stolen.json)).await.status, 200);
    assert_eq!(problem(stolen.json).await, ProblemType::Replayed);
    assert_eq!(problem(first.json).await, ProblemType::Replayed);
    let third = http.enroll(host.request_at(&bundle, now().plus(2)).json).await.problem();
    assert_eq!((third.status, third.kind), (429, ProblemType::RateLimited));
    assert!(third.retry_after.is_some_and(|wait| (1..=10).contains(&wait)), "{third:?}");
    assert_eq!((count(&admin, "party.enroll").await, count(&admin, "party.reenroll").await), (1, 1));
    assert_eq!(cell.uses(&token).await, 1);
}

/// An administrator made a party whose name looks as if it had come aboard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_of_whoever_had_it_first() {
    let cell = Cell::sqlite();
    let token = cell.join_token(2).await;
    let kdc = cell.serve();
    let (http, bundle, admin) = (kdc.http(), kdc.http().bundle().await, cell.admin(&kdc));
    let host = Host::new("nanoprobe", "web1.example").with(&token);
    let by_hand = admin.add(&host.name()).await;
    assert_eq!(refusal(&host, &http, &bundle).await.kind(), ProblemType::EnrollmentRefused);
    kdc.logs("an administrator made the party of this name").await;
    admin.add("b@test.internal").await;
    assert_eq!(by_hand.refusal(&http, "b@test.internal").await, None);
    assert_eq!(cell.uses(&token).await, 0);

    let other = Host::new("nanoprobe", "web2.example").with(&token);
    let party = other.enroll(&http, &bundle).await.unwrap();
    let taken = admin.send(Method::POST, PARTIES, &json!({ "name": other.name() })).await;
    assert_eq!(taken.status, 409, "{}", taken.text());
    assert_eq!(party.refusal(&http, &host.name()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_sent_away_stays_away_until_forgotten() {
    let cell = Cell::sqlite();
    let token = cell.join_token(9).await;
    let kdc = cell.serve();
    let (http, bundle, admin) = (kdc.http(), kdc.http().bundle().await, cell.admin(&kdc));
    let host = Host::new("nanoprobe", "web1.example").with(&token);
    // It never came, and its key is known to be in the wrong hands.
    assert_eq!(decide(&admin, &host, "deny").await, 200);
    assert_eq!(refusal(&host, &http, &bundle).await.status, 403);
    assert_eq!(forget(&admin, &host).await, 204);
    let request = host.request(&bundle);
    let party = request.send(&http).await.unwrap();

    // Disabled, it has neither tickets nor another key; nor the answer that it had.
    assert_eq!(admin.set_enabled(&host.name(), false).await.status, 200);
    assert_eq!(refusal(&host, &http, &bundle).await.status, 403);
    assert_eq!(http.enroll(request.json.clone()).await.status, 403);
    let no_ticket = party.ask(&http, &["b@test.internal"]).await.unwrap_err();
    assert_eq!(no_ticket.kind(), ProblemType::PartyDisabled);
    assert_eq!(admin.set_enabled(&host.name(), true).await.status, 200);

    // Deleted, its key is denied, under this name and any other.
    assert_eq!(admin.delete(&host.name()).await.status, 204);
    for name in ["web1.example", "web2.example"] {
        let as_this = Host { host: name.to_owned(), ..host.clone() };
        assert_eq!(refusal(&as_this, &http, &bundle).await.status, 403);
    }
    assert_eq!(http.enroll(request.json).await.status, 403);
    assert_eq!((cell.uses(&token).await, count(&admin, "party.enroll").await), (1, 1));
    assert_eq!(forget(&admin, &host).await, 204);
    // A stranger again, whom a token lets in; no generation means two keys.
    assert_eq!(host.clone().enroll(&http, &bundle).await.unwrap().key.generation().0, 2);
    assert_eq!(cell.uses(&token).await, 2);
    let without = Host { token: None, ..host.clone() };
    let forgotten = format!("{}?forget=true", party_path(&host.name()));
    assert_eq!(admin.send(Method::DELETE, &forgotten, &Value::Null).await.status, 204);
    assert_eq!(refusal(&without, &http, &bundle).await.status, 403);
    kdc.logs("it brings no join token").await;
}

/// One key that was denied, and all the names that one can think of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_denied_fills_no_log() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let (http, bundle, admin) = (kdc.http(), kdc.http().bundle().await, cell.admin(&kdc));
    let host = Host::new("nanoprobe", "web1.example");
    assert_eq!(decide(&admin, &host, "deny").await, 200);
    for number in 0..50 {
        let named = Host { host: format!("web{number}.example"), ..host.clone() };
        assert_eq!(refusal(&named, &http, &bundle).await.status, 403);
    }
    // What is counted is written at the end.
    drop((http, admin));
    assert_eq!(kdc.terminate(), Some(0));
    let kdc = cell.serve();
    let records = cell.admin(&kdc).records().await;
    let refused: Vec<_> = records.iter().filter(|record| record["action"] == "enrollment.refuse").collect();
    let counted: u64 = refused.iter().map(|record| record["detail"]["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 50);
    // A minute may have turned in between.
    assert!(refused.len() <= 3, "{} records", refused.len());
    let fingerprint = host.fingerprint().to_string();
    assert!(refused.iter().all(|record| record["target"] == fingerprint), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_one_address_is_that_addresss_alone() {
    const FLOOD: usize = 5_000;
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Token).await;
    let token = cell.join_token(1).await;
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (a, b) = (admin.add("a@test.internal").await, admin.add("b@test.internal").await);
    let (flooding, elsewhere) = (kdc.http(), kdc.http_from([127, 0, 0, 2].into()));
    let bundle = flooding.bundle().await;
    let before = admin.records().await.len();
    // A stranger each time under another name; what opens by no key; what is no request at all.
    let strangers: Vec<_> =
        (0..20).map(|number| Host::new("nanoprobe", &format!("h{number}")).request(&bundle).json).collect();
    let bodies = (0..FLOOD).map(|number| {
        let mut body = strangers[number % strangers.len()].clone();
        match number % 3 {
            0 => {}
            1 => {
                let at = body.len() - 40;
                body[at] = if body[at] == b'A' { b'B' } else { b'A' };
            }
            _ => body.truncate(body.len() / 2),
        }
        body
    });
    let mut bodies: Vec<Vec<u8>> = bodies.collect();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let share = bodies.split_off(bodies.len().saturating_sub(FLOOD / 8));
        let http = flooding.clone();
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for body in share {
                statuses.push(http.enroll(body).await.status);
            }
            statuses
        });
    }
    // Meanwhile others have their tickets, and one comes aboard.
    let mut served = 0;
    let host = Host::new("nanoprobe", "web1.example").with(&token);
    let mut aboard = false;
    while !clients.is_empty() && served < 200 {
        assert_eq!(a.refusal(&elsewhere, "b@test.internal").await, None);
        assert_eq!(b.refusal(&flooding, "a@test.internal").await, None, "also from there");
        if !aboard {
            match host.request(&bundle).send(&elsewhere).await {
                Ok(_) => aboard = true,
                Err(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
            }
        }
        served += 1;
    }
    let statuses: Vec<u16> = clients.join_all().await.into_iter().flatten().collect();
    assert!(aboard && served > 0);
    let of = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!(of(400) + of(401) + of(403) + of(429) + of(503), FLOOD, "{statuses:?}");
    assert!(of(400) > 0 && of(401) > 0 && of(403) > 0, "{} {} {}", of(400), of(401), of(403));
    assert!(of(429) > FLOOD / 2, "{}", of(429));
    drop((flooding, elsewhere, admin));
    assert_eq!(kdc.terminate(), Some(0));
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let after = admin.records().await.len();
    assert!(after - before < 20, "{} records of {FLOOD} requests", after - before);
    admin.assert_intact().await;
}
