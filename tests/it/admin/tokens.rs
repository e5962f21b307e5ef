//! Tokens that are none, or not enough.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use keycell_kdc::audit::{Action, Actor, Event};
use keycell_kdc::config::Config;
use keycell_kdc::store::{Act, Kind, Write};
use keycell_kdc::token::{Role, TokenRecord};
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

/// What a token says: the one of a token that the zone knows, so that it lacks nothing but what is changed.
struct Claims(Value);

impl Claims {
    fn of(cell: &Cell) -> Self {
        let token = cell.token("admin");
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        Self(serde_json::from_slice(&claims).unwrap())
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.0.clone();
        claims[name] = value;
        claims
    }

    fn without(&self, name: &str) -> Value {
        let mut claims = self.0.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }
}

/// The zone's own token key, as somebody holds it who has the master key and the database.
async fn token_key(cell: &Cell) -> Vec<u8> {
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let secret = opened.store.secret("administrator token key").await.unwrap().unwrap();
    opened.store.close().await;
    opened.keyring.open_secret(&secret).unwrap().to_vec()
}

/// A token that is good for two seconds, which nobody can ask for.
async fn short_token(cell: &Cell) -> String {
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let now = now();
    let record = TokenRecord {
        subject: "short".to_owned(),
        role: Role::Admin,
        created_at: now,
        expires_at: now.seconds().plus(2).millis(),
        created_by: "test".to_owned(),
        revoked_at: None,
    };
    let (id, body) = ("0123456789abcdef01234567", serde_json::to_string(&record).unwrap());
    let random = &mut keycell_kdc::random::system();
    let document = opened.keyring.seal_document(Kind::Token, id.to_owned(), 1, body, random);
    let event = Event::new(now, Actor::Kdc, Action::TokenCreate, id);
    let act = Act::new(Write::PutDocument { document, expected: None }, event);
    opened.store.commit(&act, &opened.audit_key).await.unwrap();
    opened.store.close().await;
    opened.tokens.sign(id, &record).unwrap().to_string()
}

fn signed(pkcs8: &[u8], claims: &Value) -> String {
    let key = EncodingKey::from_ed_der(pkcs8);
    jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
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
    let signed = |claims: &Value| signed(&pkcs8, claims);
    let claims = Claims::of(&cell);
    let under = |algorithm, secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(algorithm), &claims.0, &key).unwrap()
    };
    // What is changed below is all that is wrong with it.
    let good = signed(&claims.0);
    assert!(may_list(&http.clone().with_token(&good)).await);

    let now = now().seconds().0;
    let other = Cell::sqlite().token("admin");
    let stranger = EncodingKey::from_ed_der(&keycell_kdc::token::TokenKey::generate().unwrap());
    let stranger = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims.0, &stranger).unwrap();
    let (head, tail) = good.split_at(good.len() - 10);
    let mut changed = tail.to_owned();
    changed.replace_range(0..1, if tail.starts_with('A') { "B" } else { "A" });
    for (what, token) in [
        ("no algorithm", unsigned("none", &claims.0)),
        ("no algorithm, in capitals", unsigned("NONE", &claims.0)),
        ("no signature", unsigned("EdDSA", &claims.0)),
        ("HS256 with the public key as the secret", under(Algorithm::HS256, &public)),
        ("HS512 with the public key as the secret", under(Algorithm::HS512, &public)),
        ("another zone's", other),
        ("another key's", stranger),
        ("a changed signature", format!("{head}{changed}")),
        ("another audience", signed(&claims.with("aud", json!("keycell-admin:elsewhere.example")))),
        ("another issuer", signed(&claims.with("iss", json!("keycell:elsewhere.example")))),
        ("expired", signed(&claims.with("exp", json!(now - 1)))),
        ("not valid yet", signed(&claims.with("nbf", json!(now + 3600)))),
        ("no role", signed(&claims.without("role"))),
        ("no end", signed(&claims.without("exp"))),
        ("no beginning", signed(&claims.without("nbf"))),
        ("no audience", signed(&claims.without("aud"))),
        ("an unknown role", signed(&claims.with("role", json!("root")))),
        ("an end beyond numbers", signed(&claims.with("exp", json!(1e300)))),
        ("another role than it was made with", signed(&claims.with("role", json!("operator")))),
        ("another subject", signed(&claims.with("sub", json!("mallory")))),
        ("a later end", signed(&claims.with("exp", json!(now + 3 * 86_400)))),
        ("no name", signed(&claims.without("jti"))),
        (
            "a name that the zone does not know",
            signed(&claims.with("jti", json!("0123456789abcdef01234567"))),
        ),
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
    let http = kdc.http().with_token(&short_token(&cell).await);
    assert!(may_list(&http).await);
    keycell_tests::wait::until("the token ends", async || (!may_list(&http).await).then_some(())).await;
}
