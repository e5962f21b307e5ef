//! Administrators with tokens of a real OpenID Connect issuer.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "this is a test")]

#[path = "oidc/issuer.rs"]
mod issuer;

use issuer::Site;
use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, PARTIES};
use keycell_tests::kdc::Kdc;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::json;

async fn status(kdc: &Kdc, token: &str) -> u16 {
    kdc.http().with_token(token).get(PARTIES).await.status
}

async fn create(http: &Http, name: &str) -> u16 {
    http.send(Method::POST, PARTIES, &json!({ "name": name })).await.status
}

#[tokio::test]
async fn a_token_gives_the_role_of_its_groups() {
    let (cell, site) = (Cell::sqlite(), Site::new());
    site.configure(&cell);
    cell.run(&["check-config"]).succeeded();
    let own = cell.token("auditor");
    let (issuer, kdc) = (site.start(), cell.serve());
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let alice = kdc.http().with_token(&issuer.token("alice", algorithm).await);
        let name = format!("{}@test.internal", algorithm.to_lowercase());
        assert_eq!(create(&alice, &name).await, 201, "{algorithm}\n{}", kdc.log());
        let audrey = kdc.http().with_token(&issuer.token("audrey", algorithm).await);
        assert_eq!(audrey.get(PARTIES).await.status, 200, "{algorithm}");
        assert_eq!(create(&audrey, "b@test.internal").await, 403, "{algorithm}");
    }
    kdc.logs(&format!("external:alice@{}", site.url())).await;

    let mallory = issuer.token("mallory", "RS256").await;
    let mut signature_changed = issuer.token("alice", "RS256").await;
    let last = signature_changed.len() - 10;
    let other = if signature_changed[last..].starts_with('A') { "B" } else { "A" };
    signature_changed.replace_range(last..=last, other);
    for (token, why) in [
        (mallory.clone(), "no value of the claim groups"),
        (issuer.token("nobody", "RS256").await, "the claim groups is missing"),
        (issuer.token_for("alice", "elsewhere", "RS256").await, "aud does not have"),
        (signature_changed, "signature is wrong"),
    ] {
        let answer = kdc.http().with_token(&token).get(PARTIES).await;
        assert_eq!(answer.kind(), ProblemType::InvalidToken, "{why}");
        kdc.logs(why).await;
    }
    assert!(!kdc.log().contains(&mallory), "no token is in the log");
    assert_eq!(status(&kdc, &own).await, 200, "the zone's own tokens hold as before");
}

#[tokio::test]
async fn the_issuer_changes_its_keys() {
    let (cell, site) = (Cell::sqlite(), Site::new());
    site.configure(&cell);
    let (issuer, kdc) = (site.start(), cell.serve());
    let old = issuer.token("alice", "ES256").await;
    assert_eq!(status(&kdc, &old).await, 200);
    drop(issuer);
    let issuer = site.start();
    assert_eq!(status(&kdc, &old).await, 200, "what is known still counts");
    let new = issuer.token("alice", "ES256").await;
    until("the new key is found", async || (status(&kdc, &new).await == 200).then_some(())).await;
    assert_eq!(status(&kdc, &old).await, 401, "and the old one is gone");
    kdc.logs("the issuer has no key of the token's kid").await;
}

#[tokio::test]
async fn the_issuer_is_away_and_comes_back() {
    let (cell, site) = (Cell::sqlite(), Site::new());
    site.configure(&cell);
    let before = site.start().token("alice", "RS256").await;
    let own = cell.token("admin");
    let kdc = cell.serve();
    assert_eq!(status(&kdc, &own).await, 200, "the KDC starts and works without it");
    for _ in 0..3 {
        let answer = kdc.http().with_token(&before).get(PARTIES).await;
        assert_eq!(answer.kind(), ProblemType::Unavailable);
        assert!(!answer.header("retry-after").is_empty());
    }
    let issuer = site.start();
    let token = issuer.token("alice", "RS256").await;
    until("the issuer is asked again", async || (status(&kdc, &token).await == 200).then_some(())).await;
    drop(issuer);
    assert_eq!(status(&kdc, &token).await, 200, "known keys count while it is away");
    kdc.logs("the OIDC issuer answers again").await;
    let log = kdc.log();
    assert_eq!(log.matches("cannot fetch the OIDC issuer's keys").count(), 1, "{log}");
    assert_eq!(log.matches("the OIDC issuer answers again").count(), 1, "{log}");
}

#[tokio::test]
async fn an_issuer_under_another_root_is_not_believed() {
    let (cell, site) = (Cell::sqlite(), Site::new());
    site.configure(&cell);
    std::fs::write(cell.file("issuer.pem"), cell.roots()).unwrap();
    let (issuer, kdc) = (site.start(), cell.serve());
    let token = issuer.token("alice", "RS256").await;
    assert_eq!(status(&kdc, &token).await, 503);
    kdc.logs("invalid peer certificate").await;
}

#[test]
fn a_mistake_in_the_section_is_named_before_the_kdc_starts() {
    let (cell, site) = (Cell::sqlite(), Site::new());
    site.configure(&cell);
    std::fs::write(cell.file("issuer.pem"), "nothing").unwrap();
    for command in ["check-config", "serve"] {
        let complaint = cell.run(&[command]).failed();
        assert!(complaint.contains("issuer.pem does not hold root certificates"), "{complaint}");
    }
    site.configure(&cell);
    let path = cell.file("keycell.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("[[oidc]]", "[[oidc]]\nalgorithms = [\"HS256\"]")).unwrap();
    let complaint = cell.run(&["check-config"]).failed();
    // Not what stands there: it could be a password.
    assert!(complaint.contains(", line ") && complaint.contains("expected one of `RS256`"), "{complaint}");
}
