//! Tokens that are none, or not enough.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use keycell_kdc::config::Config;
use keycell_kdc::token::Role;
use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::party::now;
use reqwest::Method;
use serde_json::{Value, json};

async fn may_list(http: &Http) -> bool {
    let answer = http.get(PARTIES).await;
    if answer.status == 200 {
        return true;
    }
    assert_eq!(answer.kind(), ProblemType::InvalidToken);
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    false
}

fn claims() -> Value {
    let now = now().seconds().0;
    json!({
        "iss": "keycell:test.internal", "aud": "keycell-admin:test.internal", "sub": "mallory", "role": "admin",
        "iat": now, "nbf": now, "exp": now + 600, "jti": "1",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// The zone's own token key, as somebody holds it who has the master key and the database.
async fn token_key(cell: &Cell) -> Vec<u8> {
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let secret = opened.store.secret("administrator token key").await.unwrap().unwrap();
    opened.store.close().await;
    opened.keyring.open_secret(&secret).unwrap().to_vec()
}

fn unsigned(algorithm: &str, claims: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": algorithm }).to_string();
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[tokio::test]
async fn a_token_that_does_not_hold_opens_nothing() {
    let cell = Cell::sqlite();
    cell.configure("limits = { failures_per_address = { per_second = 1000, burst = 1000 } }");
    let kdc = cell.serve();
    let http = kdc.http();
    let pkcs8 = token_key(&cell).await;
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let signed = |claims: &Value| {
        let key = EncodingKey::from_ed_der(&pkcs8);
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
    };
    let under = |algorithm, secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(algorithm), &claims(), &key).unwrap()
    };
    // What is changed below is all that is wrong with it.
    let good = signed(&claims());
    assert!(may_list(&http.clone().with_token(&good)).await);

    let now = now().seconds().0;
    let other = Cell::sqlite().token("admin");
    let stranger = EncodingKey::from_ed_der(&keycell_kdc::token::TokenKey::generate().unwrap());
    let stranger = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims(), &stranger).unwrap();
    let (head, tail) = good.split_at(good.len() - 10);
    let mut changed = tail.to_owned();
    changed.replace_range(0..1, if tail.starts_with('A') { "B" } else { "A" });
    for (what, token) in [
        ("no algorithm", unsigned("none", &claims())),
        ("no algorithm, in capitals", unsigned("NONE", &claims())),
        ("no signature", unsigned("EdDSA", &claims())),
        ("HS256 with the public key as the secret", under(Algorithm::HS256, &public)),
        ("HS512 with the public key as the secret", under(Algorithm::HS512, &public)),
        ("another zone's", other),
        ("another key's", stranger),
        ("a changed signature", format!("{head}{changed}")),
        ("another audience", signed(&with("aud", json!("keycell-admin:elsewhere.example")))),
        ("another issuer", signed(&with("iss", json!("keycell:elsewhere.example")))),
        ("expired", signed(&with("exp", json!(now - 1)))),
        ("not valid yet", signed(&with("nbf", json!(now + 3600)))),
        ("no role", signed(&without("role"))),
        ("no end", signed(&without("exp"))),
        ("no beginning", signed(&without("nbf"))),
        ("no audience", signed(&without("aud"))),
        ("an unknown role", signed(&with("role", json!("root")))),
        ("an end beyond numbers", signed(&with("exp", json!(1e300)))),
        ("nothing", String::new()),
        ("words", "open sesame".to_owned()),
    ] {
        assert!(!may_list(&http.clone().with_token(&token)).await, "{what}: {token}");
    }
    assert!(!may_list(&http).await, "no token");
    for header in ["Basic YTpi", "bearer", "Bearer", &format!("Token {good}")] {
        let request = http.request(Method::GET, PARTIES).header("authorization", header);
        assert_eq!(Answer::of(request).await.kind(), ProblemType::InvalidToken, "{header}");
    }
    let in_query = http.get(&format!("{PARTIES}?access_token={good}")).await;
    assert_eq!(in_query.kind(), ProblemType::InvalidToken);
}

#[tokio::test]
async fn a_role_reaches_so_far_and_no_further() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.admin(&kdc).add("a@test.internal").await;
    for (role, may_change) in [(Role::Auditor, false), (Role::Operator, true), (Role::Admin, true)] {
        let http = kdc.http().with_token(&cell.token(&role.to_string()));
        assert!(may_list(&http).await, "{role}");
        assert_eq!(http.get(&party_path("a@test.internal")).await.status, 200);
        let new = json!({ "name": format!("{role}@test.internal") });
        let answers = [
            http.send(Method::POST, PARTIES, &new).await,
            http.set_enabled("a@test.internal", false).await,
            http.delete(&format!("{role}@test.internal")).await,
        ];
        for answer in answers {
            if may_change {
                assert!([200, 201, 204].contains(&answer.status), "{role}: {}", answer.text());
            } else {
                assert_eq!(answer.kind(), ProblemType::Forbidden, "{role}");
            }
        }
    }
    // A party's own request is no administrator's, whatever it signs.
    let forbidden = kdc.http().with_token(&cell.token("auditor")).delete("nobody@test.internal").await;
    assert_eq!(forbidden.kind(), ProblemType::Forbidden, "the role is looked at before the name");
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let made = cell.run(&["token", "create", "--ttl", "2s", "--out", "-"]).succeeded();
    let http = kdc.http().with_token(made.stdout.trim());
    assert!(may_list(&http).await);
    keycell_tests::wait::until("the token ends", async || (!may_list(&http).await).then_some(())).await;
}
