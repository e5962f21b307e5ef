//! Which tokens hold, and why the others do not.

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;
use crate::oidc::claims::Claims;

#[tokio::test]
async fn a_good_token_holds_under_every_kind_of_key() {
    let signers = [
        (Signer::rsa(), &["RS256", "RS512", "PS256"][..]),
        (Signer::p256(), &["ES256"]),
        (Signer::ed25519(), &["EdDSA"]),
    ];
    for (signer, algorithms) in &signers {
        for algorithm in *algorithms {
            let token = signer.token(&header(algorithm, "k"), &claims());
            let identity = check(&[signer.jwk("k")], config(), &token).await.unwrap();
            assert_eq!((identity.subject.as_str(), identity.role), ("alice", Role::Admin), "{algorithm}");
            assert_eq!(identity.issuer, ISSUER);
            assert_eq!((identity.expires_at.0, identity.id.as_deref()), (NOW.seconds().0 + 600, Some("t1")));
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_its_claims() {
    let signer = Signer::ed25519();
    let now = NOW.seconds().0;
    let (groups, sub) = (|| "groups".parse().unwrap(), || "sub".parse().unwrap());
    for (claims, error) in [
        (with("iss", json!("https://id.example.com/realms/b")), OidcError::UnknownIssuer),
        (with("iss", json!(format!("{ISSUER}/"))), OidcError::UnknownIssuer),
        (with("iss", json!([ISSUER])), OidcError::Claim("iss")),
        (without("iss"), OidcError::Claim("iss")),
        (with("aud", json!("somebody")), OidcError::Audience),
        (with("aud", json!(["somebody", "keycell2"])), OidcError::Audience),
        (with("aud", json!([])), OidcError::Audience),
        (with("aud", json!({ "keycell": true })), OidcError::Claim("aud")),
        (without("aud"), OidcError::Claim("aud")),
        (with("exp", json!(now - 30)), OidcError::Expired),
        (with("exp", json!("soon")), OidcError::Claim("exp")),
        (with("exp", json!(-1)), OidcError::Claim("exp")),
        (with("exp", json!(1e300)), OidcError::Claim("exp")),
        (with("exp", Value::Null), OidcError::Claim("exp")),
        (without("exp"), OidcError::Claim("exp")),
        (with("exp", json!(now + 86_401)), OidcError::TooLong),
        (with("nbf", json!(now + 31)), OidcError::NotYet),
        (with("nbf", json!("now")), OidcError::Claim("nbf")),
        (with("iat", json!(now + 31)), OidcError::Future),
        (with("iat", json!(now - 86_000)), OidcError::TooLong),
        (with("sub", json!("")), OidcError::Subject(sub())),
        (with("sub", json!("a\nb")), OidcError::Subject(sub())),
        (with("sub", json!("a".repeat(256))), OidcError::Subject(sub())),
        (with("sub", json!(7)), OidcError::Subject(sub())),
        (without("sub"), OidcError::Subject(sub())),
        (without("groups"), OidcError::NoRoles(groups())),
        (with("groups", json!({ "keycell-admins": true })), OidcError::NoRoles(groups())),
        (with("groups", json!(["keycell-admins", 1])), OidcError::NoRoles(groups())),
        (with("groups", json!([])), OidcError::Role(groups())),
        (with("groups", json!("KEYCELL-ADMINS")), OidcError::Role(groups())),
        (with("groups", json!("keycell-admins staff")), OidcError::Role(groups())),
        (with("jti", json!(1)), OidcError::Claim("jti")),
    ] {
        let token = signer.token(&header("EdDSA", "k"), &claims);
        assert_eq!(check(&[signer.jwk("k")], config(), &token).await, Err(error), "{claims}");
    }
}

#[tokio::test]
async fn the_limits_of_its_claims() {
    let signer = Signer::ed25519();
    let now = NOW.seconds().0;
    let mut long_without_iat = without("iat");
    long_without_iat["exp"] = json!(now + 86_400);
    for claims in [
        with("exp", json!(now - 29)),
        with("exp", json!(now as f64 + 0.5)),
        with("nbf", json!(now + 30)),
        with("iat", json!(now + 30)),
        with("exp", json!(now + 86_400)),
        long_without_iat,
        without("nbf"),
        without("jti"),
        with("aud", json!(["keycell"])),
        with("sub", json!("é".repeat(255))),
        with("groups", json!("keycell-admins")),
    ] {
        let token = signer.token(&header("EdDSA", "k"), &claims);
        let checked = check(&[signer.jwk("k")], config(), &token).await;
        assert_eq!(checked.map(|identity| identity.role), Ok(Role::Admin), "{claims}");
    }
}

#[tokio::test]
async fn several_audiences_need_a_party_that_is_known() {
    let signer = Signer::ed25519();
    for (audiences, party, holds) in [
        (json!(["keycell", "account"]), json!("keycell"), true),
        (json!(["keycell", "account"]), json!("keycell-cli"), true),
        (json!(["keycell", "account"]), json!("account"), false),
        (json!(["keycell"]), json!("account"), true),
        (json!("keycell"), json!("account"), true),
    ] {
        let mut claims = with("aud", audiences);
        claims["azp"] = party;
        let token = signer.token(&header("EdDSA", "k"), &claims);
        let checked = check(&[signer.jwk("k")], config(), &token).await;
        assert_eq!(
            checked.map(drop),
            if holds { Ok(()) } else { Err(OidcError::AuthorizedParty) },
            "{claims}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_its_form() {
    let signer = Signer::ed25519();
    let good = signer.token(&header("EdDSA", "k"), &claims());
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let changed = {
        let other = if signature.starts_with('A') { "B" } else { "A" };
        format!("{head}.{body}.{other}{}", &signature[1..])
    };
    let other_claims = format!("{head}.{}.{signature}", encode(with("sub", json!("bob")).to_string()));
    let header = |change: Value| {
        let mut header = header("EdDSA", "k");
        header.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        signer.token(&header, &claims())
    };
    for (token, says) in [
        (String::new(), "three parts"),
        ("open sesame".to_owned(), "three parts"),
        (format!("{head}.{body}"), "three parts"),
        (format!("{good}.{signature}"), "three parts"),
        (format!("{head}.{body}.{}", "A".repeat(16 * 1024)), "16 KiB"),
        (format!("!{good}"), "header"),
        (format!("{}.{body}.{signature}", encode("[]")), "header"),
        (format!("{}.{body}.{signature}", encode(r#"{"kid":"k"}"#)), "header"),
        (format!("{}.{body}.{signature}", encode(r#"{"alg":"EdDSA","kid":"k","kid":"j"}"#)), "header"),
        (format!("{head}=.{body}.{signature}"), "header"),
        (header(json!({ "kid": null })), "names no key"),
        (header(json!({ "crit": ["exp"] })), "crit"),
        (header(json!({ "typ": "logout+jwt" })), "typ"),
        (format!("{head}.{body}."), "signature"),
        (changed, "signature"),
        (other_claims, "signature"),
    ] {
        let error = check(&[signer.jwk("k")], config(), &token).await.unwrap_err().to_string();
        assert!(error.contains(says), "{token}: {error}");
    }
    for typ in [json!("jwt"), json!("at+jwt"), json!("application/AT+JWT"), Value::Null] {
        assert!(check(&[signer.jwk("k")], config(), &header(json!({ "typ": typ }))).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn keys_and_algorithms_are_not_confused() {
    let (rsa, ec, mallory) = (Signer::rsa(), Signer::p256(), Signer::rsa());
    let keys = [rsa.jwk("rsa"), ec.jwk("ec")];
    let shared = |alg: &str, secret: &[u8]| {
        let message = message(&header(alg, "rsa"), &claims());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", encode(tag))
    };
    let unsigned = |alg: &str| format!("{}.", message(&header(alg, "rsa"), &claims()));
    let mut brought = header("RS256", "rsa");
    brought["jwk"] = mallory.jwk("rsa");
    brought["jku"] = json!("https://mallory.example/keys");
    for (what, token, error) in [
        ("no algorithm", unsigned("none"), OidcError::Algorithm),
        ("no algorithm, in capitals", unsigned("NONE"), OidcError::Algorithm),
        ("the public key as a secret", shared("HS256", &rsa.public()), OidcError::Algorithm),
        ("the public key as a secret of another key's", shared("RS256", &rsa.public()), OidcError::Signature),
        ("another's key", mallory.token(&header("RS256", "rsa"), &claims()), OidcError::Signature),
        ("a key that it brings along", mallory.token(&brought, &claims()), OidcError::Signature),
        ("a key nobody has", rsa.token(&header("RS256", "x"), &claims()), OidcError::UnknownKey),
        ("a key of another kind", rsa.token(&header("RS256", "ec"), &claims()), OidcError::UnknownKey),
        ("a key of another kind", ec.token(&header("ES256", "rsa"), &claims()), OidcError::UnknownKey),
        ("another curve", ec.token(&header("ES384", "ec"), &claims()), OidcError::UnknownKey),
        (
            "another padding than was used",
            {
                let pkcs = rsa.token(&header("RS256", "rsa"), &claims());
                let signature = pkcs.rsplit('.').next().unwrap().to_owned();
                format!("{}.{signature}", message(&header("PS256", "rsa"), &claims()))
            },
            OidcError::Signature,
        ),
    ] {
        assert_eq!(check(&keys, config(), &token).await, Err(error), "{what}");
    }

    // The set says which algorithm a key is for, and the configuration which ones count at all.
    let mut only = rsa.jwk("rsa");
    only["alg"] = json!("PS256");
    let token = rsa.token(&header("RS256", "rsa"), &claims());
    assert_eq!(check(&[only], config(), &token).await, Err(OidcError::UnknownKey));
    let narrow = IssuerConfig { algorithms: vec![super::super::Algorithm::ES256], ..config() };
    assert_eq!(check(&keys, narrow, &token).await, Err(OidcError::Algorithm));
    assert!(check(&keys, config(), &token).await.is_ok());
}

#[tokio::test]
async fn an_issuer_vouches_for_itself_alone() {
    let (a, b) = (Signer::ed25519(), Signer::ed25519());
    let other = "https://id.example.com/realms/b";
    let (site_a, site_b) = (Site::new(&[a.jwk("k")]), Site::new(&[b.jwk("k")]));
    *site_b.discovery.lock().unwrap() = json!({ "issuer": other, "jwks_uri": format!("{other}/keys") });
    let configs = [config(), IssuerConfig { issuer: other.to_owned(), ..config() }];
    let site = |config: &IssuerConfig| if config.issuer == ISSUER { site_a.clone() } else { site_b.clone() };
    let issuers =
        Issuers::over(&configs, Duration::from_secs(60), |config| Ok(Box::new(Wire(site(config))))).unwrap();
    let token =
        |signer: &Signer, issuer: &str| signer.token(&header("EdDSA", "k"), &with("iss", json!(issuer)));
    for (signer, issuer, holds) in
        [(&a, ISSUER, true), (&b, other, true), (&a, other, false), (&b, ISSUER, false)]
    {
        let checked = issuers.check(&token(signer, issuer), NOW).await.map(|identity| identity.issuer);
        assert_eq!(checked, if holds { Ok(issuer.to_owned()) } else { Err(OidcError::Signature) });
    }
    assert!(issuers.knows(ISSUER) && issuers.named_by(&token(&a, other)));
    assert!(
        !issuers.knows("keycell:z") && !issuers.named_by(&token(&a, "keycell:z")) && !issuers.named_by("x")
    );
}

#[test]
fn errors_tell_nothing_of_the_token() {
    let (groups, sub) = ("groups".parse().unwrap(), "sub".parse().unwrap());
    assert_eq!(
        OidcError::Role(groups).to_string(),
        "no value of the claim groups is one of this issuer's roles"
    );
    assert!(OidcError::Subject(sub).to_string().contains("the claim sub names nobody"));
}

proptest! {
    /// The role is that of the highest value, in whatever order and company, at whatever depth.
    #[test]
    fn the_highest_role_wins(
        mut values in prop::collection::vec("[a-z]{1,6}", 0..6),
        path in prop::collection::vec("[a-z]{1,6}", 1..4),
        (admin, auditor) in any::<(bool, bool)>(),
        place in any::<prop::sample::Index>(),
    ) {
        for (there, name) in [(admin, "keycell-admins"), (auditor, "keycell-auditors")] {
            if there {
                values.insert(place.index(values.len() + 1), name.to_owned());
            }
        }
        let claims = path.iter().rev().fold(json!(values), |inner, name| json!({ name: inner }));
        let config = IssuerConfig { role_claim: path.join(".").parse().unwrap(), ..config() };
        let role = Claims::signed(claims.as_object().unwrap().clone()).role(&config);
        let expected = match (admin, auditor) {
            (true, _) => Ok(Role::Admin),
            (false, true) => Ok(Role::Auditor),
            (false, false) => Err(OidcError::Role(config.role_claim)),
        };
        prop_assert_eq!(role, expected);
    }

    /// Whatever is sent: refused, and nothing breaks.
    #[test]
    fn noise_is_no_token(text in "[ -~]{0,60}", parts in prop::collection::vec("\\PC{0,30}", 3)) {
        let issuers = Issuers::new(&[]).unwrap();
        let encoded = parts.iter().map(encode).collect::<Vec<_>>().join(".");
        prop_assert!(!issuers.named_by(&text) && !issuers.named_by(&encoded));
    }
}
