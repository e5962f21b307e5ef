//! Keys that are replaced, end to end: by their parties and by administrators, through crashes and on several KDCs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use keycell_protocol::{Generation, LongTermKey, Rotated, Step};
use keycell_tests::cell::{Cell, ended};
use keycell_tests::http::{Answer, Http};
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use serde_json::{Value, json};

const B: &str = "b@test.internal";

async fn states(admin: &Http, name: &str) -> Vec<(u64, String)> {
    let page = admin.get(&format!("/v1/admin/parties/{name}%40test.internal/keys")).await.json();
    let state =
        |key: &Value| (key["generation"].as_u64().unwrap(), key["state"].as_str().unwrap().to_owned());
    page["keys"].as_array().unwrap().iter().map(state).collect()
}

fn state(generation: u64, state: &str) -> (u64, String) {
    (generation, state.to_owned())
}

async fn commit(party: &Party, kdc: &Http) -> Result<(), Answer> {
    let rotated = party.rotate(kdc, Step::Commit).await?;
    assert!(matches!(rotated, Rotated::Committed { generation, .. } if generation == party.key.generation()));
    Ok(())
}

/// Whoever asked for it waits, the party does it by itself, and the KDC is killed after each step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_replaces_its_key_through_crashes_of_the_kdc() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        let mut kdc = cell.serve();
        let (admin, http) = (cell.admin(&kdc), kdc.http());
        let (a, _b) = (admin.add("a@test.internal").await, admin.add(B).await);
        assert!(!a.is_told_to_rotate(&http, B).await.unwrap());
        let mut waiting = cell.command();
        waiting.args(["key", "rotate", "a", "--wait", "--json"]);
        let waiting = std::thread::spawn(move || ended(&mut waiting));
        until("it is told", async || a.is_told_to_rotate(&http, B).await.unwrap().then_some(())).await;
        let due = admin.get("/v1/admin/parties?rotation_due=true").await.json();
        assert_eq!(due["parties"].as_array().unwrap().len(), 1);

        let next = a.stage(&http).await.unwrap();
        // For the one that waits, a KDC that is away is an error, so it is let through before.
        commit(&next, &http).await.unwrap();
        let waited = waiting.join().unwrap().succeeded().stdout;
        assert_eq!(serde_json::from_str::<Value>(&waited).unwrap(), json!({ "asked": 1, "rotated": 1 }));
        assert!(!next.is_told_to_rotate(&http, B).await.unwrap());
        assert_eq!(states(&admin, "a").await, [state(1, "retiring"), state(2, "active")]);

        // Another one, and the KDC does not live through any of it.
        let c = admin.add("c@test.internal").await;
        let next = c.stage(&http).await.unwrap();
        kdc.kill9();
        kdc = cell.serve();
        let (admin, http) = (cell.admin(&kdc), kdc.http());
        assert_eq!(states(&admin, "c").await, [state(1, "active"), state(2, "staged")]);
        let again = c.stage(&http).await.unwrap();
        assert_eq!(again.key.expose_secret(), next.key.expose_secret());
        assert_eq!(next.is_told_to_rotate(&http, B).await.unwrap_err().status, 401, "it is only staged");
        commit(&next, &http).await.unwrap();
        kdc.kill9();
        kdc = cell.serve();
        let (admin, http) = (cell.admin(&kdc), kdc.http());
        commit(&next, &http).await.unwrap();
        assert_eq!(states(&admin, "c").await, [state(1, "retiring"), state(2, "active")]);
        c.is_told_to_rotate(&http, B).await.unwrap();
        next.is_told_to_rotate(&http, B).await.unwrap();
        let refused = next.rotate(&http, Step::Stage).await.unwrap_err();
        assert_eq!(refused.status, 409, "{}", refused.text());
        let wait = refused.json()["retry_after"].as_u64().unwrap();
        assert!((900..=1020).contains(&wait), "{wait}");
        let metrics = http.get("/metrics").await.text();
        assert!(metrics.contains("keycell_key_rotations_total{step=\"commit\"} 0"), "{metrics}");
        assert!(!kdc.log().contains("panic"));
    }
}

/// Two KDCs of one zone, asked at the same time and in turns, while an administrator changes the party on both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_kdcs_and_an_administrator_at_once_agree_on_one_key() {
    let cell = Cell::postgres(&Postgres::shared());
    let (one, other) = (cell.serve(), cell.replica());
    let (admin, there) = (cell.admin(&one), cell.admin(&other));
    admin.add(B).await;
    for n in 0..8 {
        let name = format!("a{n}@test.internal");
        let party = admin.add(&name).await;
        until("the other KDC knows it", async || {
            (there.get(&format!("/v1/admin/parties/{name}")).await.status == 200).then_some(())
        })
        .await;
        let noise = async |admin: &Http| {
            for note in ["x", "y", "z"] {
                let path = format!("/v1/admin/parties/{name}");
                let answer = admin.send(reqwest::Method::PATCH, &path, &json!({ "note": note })).await;
                assert!([200, 409].contains(&answer.status), "{}", answer.text());
            }
        };
        // Whoever meets others five times over is told to try again; nothing else may come of it.
        let staged = async |http: &Http| {
            until("it is staged", async || match party.stage(http).await {
                Ok(next) => Some(next),
                Err(answer) => {
                    assert_eq!(
                        (answer.status, answer.text().contains("others keep")),
                        (409, true),
                        "{}",
                        answer.text()
                    );
                    None
                }
            })
            .await
        };
        let (first, second, (), ()) =
            tokio::join!(staged(&admin), staged(&there), noise(&admin), noise(&there));
        assert_eq!(first.key.expose_secret(), second.key.expose_secret());
        // The KDC that did not stage it may not have heard of it yet.
        let committed = async |http: &Http| {
            until("it is committed", async || match commit(&first, http).await {
                Ok(()) => Some(()),
                Err(answer) => {
                    assert_eq!(answer.status, 409, "{}", answer.text());
                    None
                }
            })
            .await;
        };
        let ((), (), (), ()) =
            tokio::join!(committed(&there), committed(&admin), noise(&admin), noise(&there));
        let short = format!("a{n}");
        for admin in [&admin, &there] {
            assert_eq!(states(admin, &short).await, [state(1, "retiring"), state(2, "active")]);
            first.is_told_to_rotate(admin, B).await.unwrap();
        }
    }
    // Staged here, committed there at once: a KDC asks the database before it says that there is no such key.
    for n in 0..8 {
        let party = admin.add(&format!("c{n}@test.internal")).await;
        let next = party.stage(&admin).await.unwrap();
        commit(&next, &there).await.unwrap();
        let last = next.rotate(&admin, Step::Commit).await.unwrap();
        assert!(matches!(last, Rotated::Committed { .. }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_hands_out_keys_on_the_command_line() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let (a, _b) = (cell.add("a"), cell.add("b"));

    let said = cell.run(&["key", "rotate", "a", "--key-file", "new.key"]).succeeded().stdout;
    assert!(said.contains("generation 2; it is in new.key.") && said.contains("accepted until 20"), "{said}");
    let new = Party::load(&cell.folder().join("new.key"));
    a.is_told_to_rotate(&http, B).await.unwrap();
    new.is_told_to_rotate(&http, B).await.unwrap();
    let refused = cell.run(&["key", "rotate", "a", "--key-file", "new.key"]).failed();
    assert!(refused.contains("new.key exists already"), "{refused}");

    let said = cell.run(&["key", "rotate", "a", "--key-file", "newer.key", "--now"]).succeeded().stdout;
    assert!(said.contains("generation 3") && said.contains("no other key"), "{said}");
    let newer = Party::load(&cell.folder().join("newer.key"));
    for gone in [&a, &new] {
        assert_eq!(gone.is_told_to_rotate(&http, B).await.unwrap_err().status, 401);
    }
    newer.is_told_to_rotate(&http, B).await.unwrap();
    assert_eq!(states(&admin, "a").await, [state(3, "active")]);
    let listed = cell.run(&["key", "list", "a"]).succeeded().stdout;
    assert!(listed.contains("GENERATION") && listed.contains("3           active"), "{listed}");

    // By pattern and by service; those that are named must be there.
    let asked = |arguments: &[&str]| -> Value {
        let said = cell.run(&[&["key", "rotate", "--json"], arguments].concat()).succeeded().stdout;
        serde_json::from_str(&said).unwrap()
    };
    assert_eq!(asked(&["--matching", "*"]), json!({ "asked": 2 }));
    assert_eq!(asked(&["--service", "b"]), json!({ "asked": 1 }));
    assert_eq!(asked(&["--matching", "*", "--older-than", "1d"]), json!({ "asked": 0 }));
    assert!(newer.is_told_to_rotate(&http, B).await.unwrap());
    assert!(
        cell.run(&["key", "rotate", "nobody"]).failed().contains("there is no party nobody@test.internal")
    );
    assert!(cell.run(&["key", "rotate", "a", "b", "--key-file", "x.key"]).failed().contains("name one"));

    // Somebody copied the key file.
    let said = cell.run(&["party", "disable", "a", "--now"]).succeeded().stdout;
    assert!(said.contains("end by 20") && said.contains("in 15 min") && said.contains("erased"), "{said}");
    let said = cell.run(&["party", "enable", "a"]).succeeded().stdout;
    assert!(said.contains("It has no key: `keycell key rotate a@test.internal --key-file FILE`"), "{said}");
    assert_eq!(newer.is_told_to_rotate(&http, B).await.unwrap_err().status, 401);
    cell.run(&["key", "rotate", "a", "--key-file", "last.key"]).succeeded();
    Party::load(&cell.folder().join("last.key")).is_told_to_rotate(&http, B).await.unwrap();
    for key in ["a.key", "new.key", "newer.key", "last.key"] {
        let file: Value = serde_json::from_slice(&std::fs::read(cell.folder().join(key)).unwrap()).unwrap();
        assert!(!kdc.log().contains(file["key"].as_str().unwrap()));
    }
}

/// Guessing costs the same as with tickets, whatever is wrong with the guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_rotations_count_against_the_address() {
    let cell = Cell::sqlite();
    cell.configure("limits = { failures_per_address = { per_second = 1, burst = 4 } }");
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    let guess = a.with_key(&LongTermKey::new(a.key.generation(), a.key.epoch(), [7; 32]));
    let later = a.with_key(&LongTermKey::new(Generation(9), a.key.epoch(), [7; 32]));
    let nobody = Party { name: "nobody@test.internal".parse().unwrap(), ..a.with_key(&guess.key) };
    let mut refused = Vec::new();
    for guess in [&guess, &later, &nobody] {
        let mut answer = guess.rotate(&http, Step::Commit).await.unwrap_err().json();
        assert!(answer["server_time"].is_u64());
        answer["server_time"] = json!(0);
        refused.push((answer["status"].as_u64(), answer));
    }
    assert!(refused.iter().all(|one| *one == refused[0]), "none of them tells which it was: {refused:?}");
    assert_eq!(refused[0].0, Some(401));
    until("it is too often", async || {
        let answer = guess.rotate(&http, Step::Stage).await.unwrap_err();
        (answer.status == 429 && answer.text().contains("failed authentications")).then_some(())
    })
    .await;
    // Whoever has the key is not kept from it.
    a.stage(&http).await.unwrap();
}

/// It stays true however often it is asked for, and what is shortened afterwards shortens no ticket that is out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_party_is_usable_until_the_last_ticket_has_ended() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    assert_eq!(admin.get("/v1/admin/parties/a%40test.internal").await.json()["usable_until"], Value::Null);
    let first = admin.set_enabled("a@test.internal", false).await.json();
    let until = first["usable_until"].as_u64().unwrap();
    assert_eq!(until, first["updated_at"].as_u64().unwrap() + 900_000);
    assert_eq!(admin.set_enabled("a@test.internal", false).await.json()["usable_until"], until);
    let zone = json!({ "ticket_lifetime_seconds": 60 });
    assert_eq!(admin.send(reqwest::Method::PATCH, "/v1/admin/zone", &zone).await.status, 200);
    assert_eq!(admin.get("/v1/admin/parties/a%40test.internal").await.json()["usable_until"], until);
    let metrics = until_bound(&admin).await;
    assert!(metrics > 60.0 && metrics <= 900.0, "{metrics}");
}

/// The gauge, once it was measured.
async fn until_bound(http: &Http) -> f64 {
    until("the bound is measured", async || {
        let page = http.get("/metrics").await.text();
        let line =
            page.lines().find(|line| line.starts_with("keycell_revocation_bound_seconds "))?.to_owned();
        line.rsplit(' ').next().unwrap().parse().ok().filter(|bound| *bound > 0.0)
    })
    .await
}
