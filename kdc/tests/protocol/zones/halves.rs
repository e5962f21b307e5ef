//! A trust of which one half was put back without the other: the document, or the principal that the zone is.

use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::api::TrustPatch;
use keycell_kdc::trust::Direction;
use keycell_protocol::ProblemType;

use super::asked::zone;
use super::asking::{ask, ask_one};
use super::trust::{change_trust, trust_between};
use crate::zone::Zone;

async fn switch(at: &Zone, other: &Zone, enabled: bool) {
    let patch = TrustPatch { enabled: Some(enabled), ..TrustPatch::default() };
    let (trusts, caller) = (at.kdc.trusts(), Caller::console());
    trusts.update(&caller, Direction::Incoming, other.kdc.zone(), &patch, &Precondition::NONE).await.unwrap();
}

#[tokio::test]
async fn one_command_brings_both_to_the_same() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let key = trust_between(&z1, &z2).await;
    z2.party("b").await;
    let document =
        |enabled| change_trust(&z2, Direction::Incoming, &z1, move |trust| trust.enabled = enabled);
    let principal = || z2.kdc.directory().zone("#ZONE#z1.example@z2.example").unwrap().record().enabled;

    document(false).await;
    assert!(principal());
    switch(&z2, &z1, false).await;
    assert!(!principal());
    document(true).await;
    assert_eq!(ask(&z1, &z2, &key, &[]).unwrap_err(), ProblemType::PartyDisabled);
    switch(&z2, &z1, true).await;
    assert!(ask_one(&z1, &z2, &key, "a", "b").is_ok());
}
