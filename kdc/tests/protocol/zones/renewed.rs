//! A trust that is offered once more: its next key is for whoever accepts that, and for nobody else.

use keycell_kdc::administration::Caller;
use keycell_kdc::api::TrustPatch;
use keycell_kdc::identities::Identity;
use keycell_protocol::{Generation, IdentityName, OfferedTo, OfferingZone, ProblemType, Step};

use super::asked::zone;
use super::asking::ask_one;
use super::border::step;
use super::trust::trust_between;

/// Who has stolen the key of a trust must not be given the one that is to shut it out.
#[tokio::test]
async fn the_offered_key_is_not_given_to_who_has_the_one_before() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let before = trust_between(&z1, &z2).await;
    z2.party("b").await;
    let (ours, theirs) = (z2.kdc.bundle().await.unwrap(), z1.kdc.bundle().await.unwrap());
    let (terms, caller) = (TrustPatch::default(), Caller::console());
    let offered = z2.kdc.trusts().offer(&caller, (&ours, &theirs), &terms, None, |_| Ok(None));
    let offered = offered.await.unwrap();
    assert_eq!(offered.trust.staged(), Some(Generation(2)));

    // Another key it gets neither, for this one waits.
    assert_eq!(step(&z1, &z2, Step::Stage, &before).await.unwrap_err(), ProblemType::Conflict);
    assert!(ask_one(&z1, &z2, &before, "a", "b").is_ok());

    let secret = z1.kdc.ledger().store().secret("identity #KDC#00001").await.unwrap().unwrap();
    let secret = z1.kdc.ledger().keyring().open_secret(&secret).unwrap();
    let identity = Identity::from_secret(IdentityName::PRIMARY, &secret).unwrap();
    let to = OfferedTo { zone: z1.kdc.zone(), identity: identity.name(), secret: identity.encryption() };
    let by = OfferingZone::Fingerprint(ours.fingerprint());
    let next = offered.offer.open(to, by, z1.now().seconds()).unwrap();
    assert_eq!(next.generation(), Generation(2));
    assert_eq!(step(&z1, &z2, Step::Commit, &next).await.unwrap().map(drop), None);
    assert!(ask_one(&z1, &z2, &next, "a", "b").is_ok());
    assert_eq!(step(&z1, &z2, Step::Stage, &before).await.unwrap_err(), ProblemType::Conflict);
}
