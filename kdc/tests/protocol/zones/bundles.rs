//! The bundle of a zone that is trusted already: what it brings that is new counts by the fingerprint that somebody was told.

use keycell_kdc::administration::{AdminError, Caller, Precondition};
use keycell_kdc::api::TrustPatch;
use keycell_kdc::trust::Direction;
use keycell_protocol::{Bundle, IdentityName};

use super::asked::zone;
use super::trust::{change_trust, trust_between};
use crate::zone::Zone;

const OTHER: &str = "0000-0000-0000-0000-0000-0000-0000-0000";

/// What anybody can make who knows the name of a zone.
async fn made_up(of: &str, numbers: [u32; 2]) -> Bundle {
    let mut bundle = zone(of).await.kdc.bundle().await.unwrap();
    for (identity, number) in bundle.identities.iter_mut().zip(numbers) {
        identity.name = IdentityName::new(number).unwrap();
    }
    bundle
}

fn with(bundle: &Bundle, fingerprint: Option<&str>) -> TrustPatch {
    TrustPatch {
        bundle: Some(bundle.clone()),
        fingerprint: fingerprint.map(str::to_owned),
        ..TrustPatch::default()
    }
}

async fn update(at: &Zone, direction: Direction, other: &Zone, patch: &TrustPatch) -> Result<(), AdminError> {
    let (caller, zone) = (Caller::console(), other.kdc.zone());
    at.kdc.trusts().update(&caller, direction, zone, patch, &Precondition::NONE).await.map(drop)
}

async fn offer(at: &Zone, to: &Bundle, fingerprint: Option<&str>) -> Result<(), AdminError> {
    let (own, caller) = (at.kdc.bundle().await.unwrap(), Caller::console());
    let terms = TrustPatch { fingerprint: fingerprint.map(str::to_owned), ..TrustPatch::default() };
    at.kdc.trusts().offer(&caller, (&own, to), &terms, None, |_| Ok(None)).await.map(drop)
}

/// The field that is wrong, and whether the right fingerprint is told.
fn wrong(bundle: &Bundle, done: Result<(), AdminError>) -> (String, bool) {
    match done {
        Err(AdminError::Invalid { field, text }) => {
            (field, text.contains(&bundle.fingerprint().to_string()) && text.contains("by another way"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bundle_of_unknown_identities_counts_by_its_fingerprint_only() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    trust_between(&z1, &z2).await;
    let refused = || ("fingerprint".to_owned(), true);
    let known = |at: &Zone, direction, zone: &str| {
        at.kdc.directory().trusts().get(direction, zone).unwrap().known_as().fingerprint()
    };
    for (at, direction, other) in [(&z2, Direction::Incoming, &z1), (&z1, Direction::Outgoing, &z2)] {
        let name = other.kdc.zone().as_str();
        let before = known(at, direction, name);
        let moved = made_up(name, [9, 10]).await;
        assert_eq!(wrong(&moved, update(at, direction, other, &with(&moved, None)).await), refused());
        assert_eq!(wrong(&moved, update(at, direction, other, &with(&moved, Some(OTHER))).await), refused());
        assert_eq!(known(at, direction, name), before);
        let told = moved.fingerprint().to_string();
        update(at, direction, other, &with(&moved, Some(&told))).await.unwrap();
        assert_eq!(known(at, direction, name), moved.fingerprint());
        // What is known by now needs none, but another one is still wrong.
        update(at, direction, other, &with(&moved, None)).await.unwrap();
        assert_eq!(wrong(&moved, update(at, direction, other, &with(&moved, Some(OTHER))).await), refused());
    }

    let moved = made_up("z1.example", [11, 12]).await;
    assert_eq!(wrong(&moved, offer(&z2, &moved, None).await), refused());
    assert_eq!(wrong(&moved, offer(&z2, &moved, Some(OTHER)).await), refused());
    offer(&z2, &moved, Some(&moved.fingerprint().to_string())).await.unwrap();
    assert_eq!(known(&z2, Direction::Incoming, "z1.example"), moved.fingerprint());
    offer(&z2, &moved, None).await.unwrap();

    let alone = TrustPatch { fingerprint: Some(OTHER.to_owned()), ..TrustPatch::default() };
    let error = update(&z2, Direction::Incoming, &z1, &alone).await.unwrap_err();
    assert!(matches!(error, AdminError::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn what_one_trust_knows_of_a_zone_counts_for_the_other() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    trust_between(&z1, &z2).await;
    trust_between(&z2, &z1).await;
    let before = z2.kdc.bundle().await.unwrap();
    update(&z1, Direction::Outgoing, &z2, &with(&before, None)).await.unwrap();
    // It has recovered since, and one of the two trusts knows.
    change_trust(&z1, Direction::Incoming, &z2, |trust| {
        trust.identities.remove(0);
    })
    .await;
    let error = update(&z1, Direction::Outgoing, &z2, &with(&before, None)).await.unwrap_err();
    assert!(matches!(&error, AdminError::Refused(text) if text.contains("incoming trust")), "{error:?}");
}
