//! When an issuer's keys are fetched, how long they count, and what happens when it is away.

use super::*;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A token of this key that holds at `now`.
fn token(signer: &Signer, kid: &str, now: UnixMillis) -> String {
    let now = now.seconds().0;
    let mut claims = claims();
    for (name, value) in [("iat", now), ("nbf", now), ("exp", now + 600)] {
        claims[name] = json!(value);
    }
    signer.token(&header("EdDSA", kid), &claims)
}

async fn holds(issuers: &Issuers, signer: &Signer, kid: &str, now: UnixMillis) -> Result<(), OidcError> {
    issuers.check(&token(signer, kid, now), now).await.map(drop)
}

/// Lets what was begun on the side come to its end: nothing of it waits for anything but its turn.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_they_are_due() {
    for (keep, fresh) in
        [(None, HOUR), (Some(1), 5 * MINUTE), (Some(1800), 30 * MINUTE), (Some(1 << 40), 24 * HOUR)]
    {
        let key = Signer::ed25519();
        let site = Site::new(&[key.jwk("k")]);
        *site.keep.lock().unwrap() = keep;
        let issuers = site.issuers(config());
        assert_eq!(site.asked(), 0, "nothing is asked before it is needed");
        for after in [0, 11 * SECOND, fresh - 1] {
            assert_eq!(holds(&issuers, &key, "k", NOW.plus(after)).await, Ok(()));
            settle().await;
            assert_eq!(site.asked(), 1, "{keep:?}: after {after} ms");
        }
        assert_eq!(holds(&issuers, &key, "k", NOW.plus(fresh)).await, Ok(()));
        settle().await;
        assert_eq!(site.asked(), 2, "{keep:?}");
    }
}

#[tokio::test]
async fn a_set_that_is_due_still_counts_while_the_next_comes() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let site = Site::new(&[old.jwk("old")]);
    let issuers = site.issuers(config());
    assert_eq!(holds(&issuers, &old, "old", NOW).await, Ok(()));
    site.publish(&[new.jwk("new")]);
    let later = NOW.plus(HOUR);
    // The issuer does not answer yet, and nobody waits for it.
    let answer = site.answers.acquire().await.unwrap();
    assert_eq!(holds(&issuers, &old, "old", later).await, Ok(()));
    drop(answer);
    settle().await;
    assert_eq!(holds(&issuers, &old, "old", later).await, Err(OidcError::UnknownKey), "its key is gone");
    assert_eq!(holds(&issuers, &new, "new", later).await, Ok(()));
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_at_once_and_the_old_one_ends() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let site = Site::new(&[old.jwk("old")]);
    let issuers = site.issuers(config());
    assert_eq!(holds(&issuers, &old, "old", NOW).await, Ok(()));
    site.publish(&[new.jwk("new")]);
    assert_eq!(holds(&issuers, &new, "new", NOW.plus(10 * SECOND)).await, Ok(()));
    assert_eq!(holds(&issuers, &old, "old", NOW.plus(10 * SECOND)).await, Err(OidcError::UnknownKey));
    // Under its old name, the new key is another key.
    site.publish(&[new.jwk("old")]);
    assert_eq!(holds(&issuers, &old, "old", NOW.plus(20 * SECOND)).await, Err(OidcError::Signature));
}

#[tokio::test]
async fn unknown_keys_make_one_fetch_in_ten_seconds() {
    let (key, mallory) = (Signer::ed25519(), Signer::ed25519());
    let site = Site::new(&[key.jwk("k")]);
    let issuers = site.issuers(config());
    for n in 0..200 {
        let kid = format!("random-{n}");
        assert_eq!(holds(&issuers, &mallory, &kid, NOW.plus(n * 100)).await, Err(OidcError::UnknownKey));
    }
    assert_eq!(site.asked(), 2, "at 0 and at 10 s, for 20 s of trying");
    assert_eq!(holds(&issuers, &key, "k", NOW.plus(20 * SECOND)).await, Ok(()));
    assert_eq!(site.asked(), 2);
}

#[tokio::test]
async fn all_who_wait_share_one_fetch_and_few_may_wait() {
    let key = Arc::new(Signer::ed25519());
    let site = Site::new(&[key.jwk("k")]);
    let issuers = Arc::new(site.issuers(config()));
    let answer = site.answers.acquire().await.unwrap();
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let (issuers, key) = (issuers.clone(), key.clone());
            tokio::spawn(async move { holds(&issuers, &key, "k", NOW).await })
        })
        .collect();
    settle().await;
    assert_eq!(asking.iter().filter(|one| one.is_finished()).count(), 8, "32 wait, the others are sent away");
    drop(answer);
    let mut held = 0;
    for one in asking {
        match one.await.unwrap() {
            Ok(()) => held += 1,
            error => assert_eq!(error, Err(OidcError::Away)),
        }
    }
    assert_eq!((held, site.asked()), (32, 1));
}

#[tokio::test]
async fn a_fetch_goes_on_when_its_asker_is_gone() {
    let key = Signer::ed25519();
    let site = Site::new(&[key.jwk("k")]);
    let issuers = Arc::new(site.issuers(config()));
    let answer = site.answers.acquire().await.unwrap();
    let asking = tokio::spawn({
        let (issuers, token) = (issuers.clone(), token(&key, "k", NOW));
        async move { issuers.check(&token, NOW).await }
    });
    settle().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    drop(answer);
    settle().await;
    assert_eq!(holds(&issuers, &key, "k", NOW.plus(1)).await, Ok(()));
    assert_eq!(site.asked(), 1);
}

#[tokio::test]
async fn known_keys_count_for_a_day_when_the_issuer_is_away() {
    let key = Signer::ed25519();
    let site = Site::new(&[key.jwk("k")]);
    let issuers = site.issuers(config());
    assert_eq!(holds(&issuers, &key, "k", NOW).await, Ok(()));
    site.go_away(true);
    for after in [HOUR, 2 * HOUR, 24 * HOUR - 1] {
        assert_eq!(holds(&issuers, &key, "k", NOW.plus(after)).await, Ok(()), "after {after} ms");
        settle().await;
    }
    assert_eq!(holds(&issuers, &key, "k", NOW.plus(24 * HOUR + 10 * SECOND)).await, Err(OidcError::Away));
    site.go_away(false);
    assert_eq!(holds(&issuers, &key, "k", NOW.plus(24 * HOUR + 20 * SECOND)).await, Ok(()));
}

#[tokio::test]
async fn an_issuer_that_was_never_there_is_asked_again() {
    let key = Signer::ed25519();
    let site = Site::new(&[key.jwk("k")]);
    site.go_away(true);
    let issuers = site.issuers(config());
    assert_eq!(holds(&issuers, &key, "k", NOW).await, Err(OidcError::Away));
    site.go_away(false);
    assert_eq!(holds(&issuers, &key, "k", NOW.plus(9 * SECOND)).await, Err(OidcError::Away));
    assert_eq!(site.asked(), 1);
    assert_eq!(holds(&issuers, &key, "k", NOW.plus(10 * SECOND)).await, Ok(()));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_holds_nobody_up_for_long() {
    let key = Signer::ed25519();
    let site = Site::new(&[key.jwk("k")]);
    let issuers = site.patient(config(), Duration::from_millis(1));
    let answer = site.answers.acquire().await.unwrap();
    assert_eq!(holds(&issuers, &key, "k", NOW).await, Err(OidcError::Away));
    drop(answer);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_the_fetching() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let site = Site::new(&[old.jwk("old")]);
    let issuers = site.issuers(config());
    assert_eq!(holds(&issuers, &old, "old", NOW).await, Ok(()));
    site.publish(&[new.jwk("new")]);
    assert_eq!(holds(&issuers, &new, "new", NOW.minus(2 * HOUR)).await, Ok(()));
}

#[tokio::test]
async fn what_is_no_discovery_document_of_this_issuer_gives_no_keys() {
    let key = Signer::ed25519();
    let keys = format!("{ISSUER}/keys");
    for discovery in [
        json!({ "issuer": format!("{ISSUER}/"), "jwks_uri": keys }),
        json!({ "issuer": "https://id.example.com", "jwks_uri": keys }),
        json!({ "issuer": ISSUER, "jwks_uri": "http://id.example.com/keys" }),
        json!({ "issuer": ISSUER, "jwks_uri": "/keys" }),
        json!({ "issuer": ISSUER }),
        json!({ "jwks_uri": keys }),
        json!([]),
    ] {
        let site = Site::new(&[key.jwk("k")]);
        *site.discovery.lock().unwrap() = discovery.clone();
        assert_eq!(holds(&site.issuers(config()), &key, "k", NOW).await, Err(OidcError::Away), "{discovery}");
    }
    let site = Site::new(&[]);
    *site.keys.lock().unwrap() = json!({ "no": "keys" });
    assert_eq!(holds(&site.issuers(config()), &key, "k", NOW).await, Err(OidcError::Away));
}

#[tokio::test]
async fn an_issuer_that_a_reload_leaves_as_it_is_keeps_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let root = || crate::certificates::make(&[], ([127, 0, 0, 1], 1).into(), NOW).unwrap().roots;
    std::fs::write(&roots, root()).unwrap();
    let config = IssuerConfig { roots: Some(roots.clone()), ..config() };
    let key = Signer::ed25519();
    let site = Site::new(&[key.jwk("k")]);
    let issuers = site.issuers(config.clone());
    assert_eq!(holds(&issuers, &key, "k", NOW).await, Ok(()));
    let kept = |next: &Issuers| Arc::ptr_eq(&issuers.0[0].source, &next.0[0].source);

    let same = issuers.again(std::slice::from_ref(&config)).unwrap();
    assert!(kept(&same));
    assert_eq!(holds(&same, &key, "k", NOW).await, Ok(()));
    assert_eq!(site.asked(), 1);
    let stricter = IssuerConfig { audience: "other".to_owned(), ..config.clone() };
    assert!(!kept(&issuers.again(&[stricter]).unwrap()));
    assert!(issuers.again(&[]).unwrap().0.is_empty());
    // Whoever the old root vouched for counts no more.
    std::fs::write(&roots, root()).unwrap();
    assert!(!kept(&issuers.again(std::slice::from_ref(&config)).unwrap()));
}
