//! What the KDC vouches for, end to end.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use keycell_client::system_rng;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_protocol::{
    AuthorKey, AuthorPublicKey, Bundle, GivenVoucher, ProblemType, SignedVoucherRequest, Signers, UnixMillis,
    VoucherRequest,
};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, party_path};
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::schema::Raw;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const A: &str = "a@test.internal";

fn key() -> AuthorKey {
    AuthorKey::generate(&mut system_rng())
}

async fn bundle(kdc: &Http) -> Bundle {
    Bundle::from_json(&kdc.get("/v1/bundle").await.body).unwrap()
}

/// Who holds the bundle, and nothing else, believes it.
async fn assert_holds(kdc: &Http, given: &GivenVoucher, party: &Party, public: AuthorPublicKey) {
    let bundle = bundle(kdc).await;
    let keys: Vec<_> = bundle.identities.iter().map(|identity| identity.signing_key).collect();
    assert_eq!(given.signers, keys);
    let mut signers = Signers::new();
    signers.set(&bundle.zone, &keys[..1]);
    given.voucher.verify(&signers).unwrap();
    assert_eq!((given.voucher.name(), given.voucher.public_key()), (&party.name, public));
    assert!(given.voucher.covers(SystemClock.now()));
    assert_eq!(given.voucher.signer(), keys[0].id(), "the primary vouches");
}

async fn author_key(admin: &Http) -> Value {
    admin.get(&party_path(A)).await.json()["author_key"].clone()
}

async fn forget(admin: &Http) -> Answer {
    Answer::of(admin.request(Method::DELETE, &format!("{}/author-key", party_path(A)))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_key_of_a_party_stays_until_an_administrator_removes_it() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        cell.configure("groups = { voucher_lifetime_seconds = 7200 }");
        let mut kdc = cell.serve();
        let (admin, http) = (cell.admin(&kdc), kdc.http());
        let a = admin.add(A).await;
        let (first, second) = (key(), key());
        assert_eq!(author_key(&admin).await, Value::Null);

        let given = a.voucher(&http, &first).await.unwrap();
        assert_holds(&http, &given, &a, first.public()).await;
        let now = SystemClock.now().seconds().0;
        let (from, until) = (given.voucher.not_before().0, given.voucher.not_after().0);
        assert_eq!(until - from, 7200 + 60, "and what the clocks may differ by");
        assert!((now - 70..=now).contains(&from), "{from} {now}");
        let renew = given.renew_after.0 - from - 60;
        assert!((3600..=5760).contains(&renew), "{renew}");
        let public: String = first.public().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(author_key(&admin).await, json!(public));
        let registered =
            admin.recorded("it is recorded", |record| record["action"] == "party.author_key.register").await;
        assert_eq!(registered["detail"]["public_key"], json!(public), "as it is shown");

        // Who has the party's key alone does not become the author.
        let refused = a.voucher(&http, &second).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemType::Conflict);
        let told = refused.text();
        assert!(told.contains("keycell party forget-author-key a@test.internal"), "{told}");
        a.voucher(&http, &first).await.unwrap();

        // It is kept with the party's key: through a restart, and when the party may not speak for a while.
        kdc.kill9();
        kdc = cell.serve();
        let (admin, http) = (cell.admin(&kdc), kdc.http());
        assert_eq!(a.voucher(&http, &second).await.unwrap_err().status, 409);
        assert_eq!(admin.set_enabled(A, false).await.status, 200);
        let refused = a.voucher(&http, &first).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemType::PartyDisabled);
        assert_eq!(admin.set_enabled(A, true).await.status, 200);
        a.voucher(&http, &first).await.unwrap();
        assert_eq!(a.voucher(&http, &second).await.unwrap_err().status, 409);

        assert_eq!(forget(&admin).await.status, 204);
        assert_eq!(author_key(&admin).await, Value::Null);
        let revision = admin.get(&party_path(A)).await.json()["revision"].clone();
        assert_eq!(forget(&admin).await.status, 204, "again");
        assert_eq!(admin.get(&party_path(A)).await.json()["revision"], revision, "nothing was changed");
        let given = a.voucher(&http, &second).await.unwrap();
        assert_holds(&http, &given, &a, second.public()).await;
        assert_eq!(a.voucher(&http, &first).await.unwrap_err().status, 409);

        let records = admin.records().await;
        let told = |record: &Value| {
            let action = record["action"].as_str().unwrap().to_owned();
            action.starts_with("party.author_key").then(|| (action, record["actor"].clone()))
        };
        let told: Vec<_> = records.iter().filter_map(told).collect();
        let (register, remove) = ("party.author_key.register", "party.author_key.remove");
        assert_eq!(
            told.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(),
            [register, remove, register]
        );
        assert_eq!(told[0].1, json!("party:a@test.internal"));
        admin.assert_intact().await;
        assert!(!kdc.log().contains("panic"));
        let metrics = http.get("/metrics").await.text();
        assert!(metrics.contains("keycell_vouchers_total 2"), "{metrics}");

        // What was stolen is thrown away with all that it was bound to.
        let erased = json!({ "enabled": false, "erase_keys": true });
        assert_eq!(admin.send(Method::PATCH, &party_path(A), &erased).await.status, 200);
        assert_eq!(author_key(&admin).await, Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_request_gets_no_voucher() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let (a, b) = (admin.add(A).await, admin.add("b@test.internal").await);
    let (mine, other) = (key(), key());
    let ask = async |body: Vec<u8>| http.voucher(body).await;
    let request = a.voucher_request(&mine);

    // Somebody else's key, without what proves that it is held.
    let stolen = VoucherRequest { public_key: other.public(), ..request.clone() };
    assert_eq!(ask(a.sign_voucher(&stolen)).await.kind(), ProblemType::MalformedRequest);
    let elsewhere = VoucherRequest { proof: a.voucher_request(&mine).proof, ..request.clone() };
    assert_eq!(ask(a.sign_voucher(&elsewhere)).await.kind(), ProblemType::MalformedRequest, "another nonce");
    let weak = VoucherRequest { public_key: AuthorPublicKey::new([0; 32]), ..request.clone() };
    assert_eq!(ask(a.sign_voucher(&weak)).await.kind(), ProblemType::MalformedRequest);

    // Another party's name, and another party's key.
    let named = VoucherRequest { source: b.name.clone(), ..request.clone() };
    let signed = SignedVoucherRequest::sign(&named, &a.voucher_keys()).to_json();
    assert_eq!(ask(signed).await.kind(), ProblemType::Unauthenticated);
    let text = String::from_utf8(a.sign_voucher(&request)).unwrap().replace(A, "b@test.internal");
    assert_eq!(ask(text.into_bytes()).await.kind(), ProblemType::Unauthenticated);
    let text = String::from_utf8(a.sign_voucher(&request)).unwrap().replace(A, "nobody@test.internal");
    assert_eq!(ask(text.into_bytes()).await.kind(), ProblemType::Unauthenticated);

    // The signature of a request for something else does not hold here, nor this one's there.
    assert_eq!(ask(a.sign(&a.request(&["b@test.internal"]))).await.kind(), ProblemType::Unauthenticated);
    let here = a.sign_voucher(&request);
    assert_eq!(http.tickets(here.clone()).await.kind(), ProblemType::Unauthenticated);
    assert_eq!(http.rotation(here).await.kind(), ProblemType::Unauthenticated);

    // Off by more than a minute, and twice.
    let old = VoucherRequest { timestamp: UnixMillis(request.timestamp.0 - 61_000), ..request.clone() };
    assert_eq!(ask(a.sign_voucher(&old)).await.kind(), ProblemType::ClockSkew);
    assert_eq!(admin.get(&party_path(A)).await.json()["author_key"], Value::Null, "nothing was registered");
    let body = a.sign_voucher(&request);
    assert_eq!(ask(body.clone()).await.status, 200);
    assert_eq!(ask(body).await.kind(), ProblemType::Replayed);
    assert_eq!(ask(b"{}".to_vec()).await.kind(), ProblemType::MalformedRequest);
    assert!(!kdc.log().contains("panic"));
}

/// Whoever can write to the database gives nobody another author.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_written_into_the_database_is_none() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add(A).await;
    let (mine, other) = (key(), key());
    a.voucher(&http, &mine).await.unwrap();
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // Under a KDC that runs, which looks into the database for a key that it does not know.
    let mut database = Raw::open(&url).await;
    let forged = hex(other.public().as_bytes());
    database.run(&format!("PRAGMA busy_timeout = 60000; UPDATE party SET author_key = X'{forged}'")).await;
    assert_eq!(a.voucher(&http, &other).await.unwrap_err().status, 500);
    a.voucher(&http, &mine).await.unwrap();
    database.run("UPDATE party SET author_key = X''").await;
    assert_eq!(a.voucher(&http, &other).await.unwrap_err().status, 500, "nor is it free again");
    database.close().await;
    assert_eq!(kdc.terminate(), Some(0));
    for (author_key, accepted) in [
        (hex(other.public().as_bytes()), false),
        (String::new(), false),
        (hex(mine.public().as_bytes()), true),
    ] {
        let mut database = Raw::open(&url).await;
        database.run(&format!("UPDATE party SET author_key = X'{author_key}'")).await;
        database.close().await;
        let mut kdc = cell.serve();
        let http = kdc.http();
        assert_eq!(a.voucher(&http, &mine).await.is_ok(), accepted, "{author_key}");
        assert!(a.voucher(&http, &other).await.is_err(), "{author_key}");
        assert_eq!(kdc.terminate(), Some(0));
    }
}

/// A KDC of the release before would take the keys of such a party for damaged: from the first on, it must not go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_key_of_a_zone_ends_the_release_before() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add(A).await;
    let mut database = Raw::open(&format!("sqlite:{}", cell.file("keycell.db").display())).await;
    database.run("PRAGMA busy_timeout = 60000; UPDATE schema_needs SET oldest = 3").await;
    a.voucher(&http, &key()).await.unwrap();
    assert_eq!(database.texts("SELECT CAST(oldest AS TEXT) FROM schema_needs").await, ["4"]);
    database.close().await;
}

/// Several KDCs of a zone, asked at once, agree on one key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_kdcs_register_one_key() {
    let cell = Cell::postgres(&Postgres::shared());
    let (one, other) = (cell.serve(), cell.replica());
    let admin = cell.admin(&one);
    for n in 0..8 {
        let name = format!("a{n}@test.internal");
        let party = admin.add(&name).await;
        until("the other KDC knows it", async || {
            let admin = cell.admin(&other);
            (admin.get(&party_path(&name)).await.status == 200).then_some(())
        })
        .await;
        let keys = [key(), key()];
        let (here, there) = (one.http(), other.http());
        let (first, second) = tokio::join!(party.voucher(&here, &keys[0]), party.voucher(&there, &keys[1]));
        let statuses =
            [&first, &second].map(|answer| answer.as_ref().err().map_or(200, |answer| answer.status));
        assert!(statuses == [200, 409] || statuses == [409, 200], "{statuses:?}");
        let kept = usize::from(first.is_err());
        for kdc in [&here, &there] {
            party.voucher(kdc, &keys[kept]).await.unwrap();
            assert_eq!(party.voucher(kdc, &keys[1 - kept]).await.unwrap_err().status, 409);
        }
    }
    admin.assert_intact().await;
}
