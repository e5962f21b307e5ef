//! Whole requests that are refused, and what the sender learns from it.

use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{
    Epoch, Generation, Instance, LongTermKey, Nonce, ProblemType, SignedRequest, TicketRequest,
};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::party::{Party, now};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// Everything of an answer that does not differ from request to request anyway.
fn seen(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), format!("{value:?}")));
    let headers = headers.filter(|(name, _)| name != "x-request-id" && name != "date");
    let mut document = answer.json();
    // The KDC's time is there, for a clock that is so wrong that it names another epoch; it goes on meanwhile.
    let time = document["server_time"].take();
    assert!(time.as_u64().is_some_and(|time| time.abs_diff(now().0) < 60_000), "{}", answer.text());
    (answer.status, document.to_string(), headers.collect())
}

fn forged(name: &str, generation: u32, epoch: u32, secret: [u8; 32]) -> Vec<u8> {
    let key = LongTermKey::new(Generation(generation), Epoch(epoch), secret);
    let request = TicketRequest {
        source: name.parse().unwrap(),
        destinations: vec!["b@test.internal".parse().unwrap()],
        timestamp: now(),
        nonce: Nonce::generate(&mut keycell_kdc::random::system()),
        instance: Instance([7; 16]),
    };
    SignedRequest::sign(&request, &key.subkeys()).unwrap().to_json()
}

#[tokio::test]
async fn who_fails_authentication_learns_only_that() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("b@test.internal").await;
    let old = admin.add("a@test.internal").await;
    assert_eq!(admin.delete("a@test.internal").await.status, 204);
    let a = admin.add("a@test.internal").await;
    assert_eq!(a.key.generation(), Generation(2));
    let x = admin.add("x@test.internal").await;

    let secret = *a.key.expose_secret();
    let epoch = a.subkeys().epoch.0;
    let mut changed: Value = serde_json::from_slice(&a.sign(&a.request(&["b@test.internal"]))).unwrap();
    changed["metadata"] = json!(URL_SAFE_NO_PAD.encode("{}"));
    // X signs well, in A's name.
    let mut in_anothers_name = x.request(&["b@test.internal"]);
    in_anothers_name.source = a.name.clone();
    let mut signed: Value = serde_json::from_slice(&x.sign(&in_anothers_name)).unwrap();
    signed["key"]["name"] = json!("x@test.internal");
    signed["key"]["generation"] = json!(x.key.generation());

    let http = kdc.http();
    let cases = [
        ("a wrong key", forged("a@test.internal", 2, epoch, [9; 32])),
        ("an unknown name", forged("nobody@test.internal", 1, epoch, [9; 32])),
        ("a name of another zone", forged("a@elsewhere.example", 1, epoch, [9; 32])),
        ("a dead generation with its key", old.sign(&old.request(&["b@test.internal"]))),
        ("a generation that never was", forged("a@test.internal", 3, epoch, secret)),
        ("an epoch long past", forged("a@test.internal", 2, epoch - 100, secret)),
        ("an epoch far ahead", forged("a@test.internal", 2, epoch + 100, secret)),
        ("the end of time", forged("a@test.internal", 2, u32::MAX, secret)),
        ("metadata that was not signed", changed.to_string().into_bytes()),
        ("X's key with A's name", x.sign(&in_anothers_name)),
        ("X's key for A's request", signed.to_string().into_bytes()),
    ];
    let mut first = None;
    for (what, body) in cases {
        let answer = http.tickets(body).await;
        assert_eq!(answer.kind(), ProblemType::Unauthenticated, "{what}");
        let first = first.get_or_insert_with(|| seen(&answer));
        assert_eq!(*first, seen(&answer), "{what}");
    }
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_the_time() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let http = kdc.http();
    for offset in [-3_600_000, -61_000, 61_000, 3_600_000, i64::MAX] {
        let mut request = a.request(&["b@test.internal"]);
        request.timestamp = request.timestamp.shifted(offset);
        let answer = http.tickets(a.sign(&request)).await;
        let problem = answer.problem();
        assert_eq!(problem.kind, ProblemType::ClockSkew, "{offset}");
        let server_time = problem.server_time.expect("the KDC tells its time");
        assert!(server_time.distance(now()) < 60_000);

        // Corrected by it, the same request is good.
        request.timestamp = server_time;
        let answer = http.tickets(a.sign(&request)).await;
        assert!(a.open(&answer.body, &request).is_ok(), "{}", answer.text());
    }
    // Ahead within the tolerance is good; who cannot sign learns nothing of what else is wrong.
    let mut request = a.request(&["b@test.internal"]);
    request.timestamp = request.timestamp.shifted(30_000);
    assert_eq!(http.tickets(a.sign(&request)).await.status, 200);
    request.timestamp = request.timestamp.shifted(-3_600_000);
    let mut forged: Value = serde_json::from_slice(&a.sign(&request)).unwrap();
    forged["signature"] = json!(URL_SAFE_NO_PAD.encode([1; 32]));
    assert_eq!(http.tickets(forged.to_string()).await.kind(), ProblemType::Unauthenticated);
}

#[tokio::test]
async fn a_disabled_party_is_told_so_and_only_itself() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 200);
    let refused = a.ask(&kdc.http(), &["b@test.internal"]).await.unwrap_err();
    assert_eq!(refused.kind(), ProblemType::PartyDisabled);
    let stranger = forged("a@test.internal", 1, a.subkeys().epoch.0, [9; 32]);
    assert_eq!(kdc.http().tickets(stranger).await.kind(), ProblemType::Unauthenticated);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_a_reason() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    let http = kdc.http();
    let good = a.sign(&a.request(&["b@test.internal"]));
    let mut extra: Value = serde_json::from_slice(&good).unwrap();
    extra["more"] = json!(1);

    for (what, body) in [
        ("nothing", Vec::new()),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("more after it", [good.as_slice(), b"{}"].concat()),
        ("an unknown field", extra.to_string().into_bytes()),
        ("no JSON", b"\xff\xfe".to_vec()),
        ("a deep nest", "[".repeat(100_000).into_bytes()),
        ("1,001 destinations", oversigned(&a, 1_001)),
        ("no destination", oversigned(&a, 0)),
    ] {
        let answer = http.tickets(body).await;
        assert_eq!(answer.kind(), ProblemType::MalformedRequest, "{what}");
    }
    // What `oversigned` signs is right apart from the number.
    assert_eq!(http.tickets(oversigned(&a, 1_000)).await.status, 200);

    let too_large = http.tickets(vec![b' '; 600 * 1024]).await;
    assert_eq!(too_large.kind(), ProblemType::TooLarge);
    for media_type in ["text/plain", "application/problem+json", ""] {
        let request = http.request(Method::POST, "/v1/tickets").header(CONTENT_TYPE, media_type);
        let answer = Answer::of(request.body(good.clone())).await;
        assert_eq!(answer.kind(), ProblemType::UnsupportedMediaType, "{media_type}");
    }
    let request = http.request(Method::POST, "/v1/tickets");
    let answer = Answer::of(request.header(CONTENT_TYPE, "Application/JSON; charset=utf-8").body(good)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    wrong_paths(&http).await;
}

async fn wrong_paths(http: &Http) {
    for path in ["/", "/v1", "/v1/tickets/", "/v2/tickets", "/v1/admin", "/..%2fmetrics"] {
        assert_eq!(http.get(path).await.kind(), ProblemType::NotFound, "{path}");
    }
    assert_eq!(http.get("/v1/tickets").await.kind(), ProblemType::MethodNotAllowed);
}

/// A request with any number of destinations, signed as docs/protocol.md §4.2 and §7 say, without the protocol crate:
/// that one would not sign it.
fn oversigned(party: &Party, destinations: usize) -> Vec<u8> {
    struct Len;
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            32
        }
    }
    let keys = party.subkeys();
    assert_eq!(keys.epoch, party.key.epoch(), "the test ran over midnight: run it again");
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, party.key.expose_secret());
    let mut subkey = [0; 32];
    prk.expand(&[b"keycell/1 request"], Len).unwrap().fill(&mut subkey).unwrap();

    let random = Nonce::generate(&mut keycell_kdc::random::system());
    let metadata = json!({
        "source": party.name,
        "destinations": vec!["b@test.internal"; destinations],
        "timestamp": now(),
        "nonce": random,
        "instance": random,
    });
    let metadata = URL_SAFE_NO_PAD.encode(metadata.to_string());
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &subkey), metadata.as_bytes());
    let key = json!({ "name": party.name, "generation": keys.generation, "epoch": keys.epoch });
    let signature = URL_SAFE_NO_PAD.encode(signature);
    json!({ "key": key, "metadata": metadata, "signature": signature }).to_string().into_bytes()
}
