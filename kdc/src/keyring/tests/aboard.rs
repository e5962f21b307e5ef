//! The seal of how a party came aboard.

use keycell_protocol::{AuthorPublicKey, Generation, UnixMillis};

use super::*;
use crate::enrollment::record::tests::record as enrolled;
use crate::enrollment::{Admission, EnrollmentRecord, EnrollmentSeal};

/// A party that came aboard by itself.
fn aboard(keyring: &Keyring) -> PartyRecord {
    let mut party = party(keyring);
    party.enrollment = Some(Box::new(enrolled("nanoprobe", "web1.example", [7; 32])));
    keyring.seal_enrollment(&mut party, &mut rng());
    party
}

#[test]
fn how_a_party_came_aboard_holds_for_nothing_else() {
    type Change = fn(&mut PartyRecord);
    let record = |party: &mut PartyRecord, change: fn(&mut EnrollmentRecord)| {
        change(party.enrollment.as_mut().unwrap());
    };
    let (keyring, _) = keyring();
    let mut party = aboard(&keyring);
    keyring.check_enrollment(&party).unwrap();
    let changes: [(&str, Change); 4] = [
        ("party", |p| p.name = "b@z".parse().unwrap()),
        ("enabled", |p| p.enabled = false),
        ("revocation epoch", |p| p.revocation_epoch += 1),
        ("author key", |p| p.author_key = Some(AuthorPublicKey::new([9; 32]))),
    ];
    for (what, change) in changes {
        let mut changed = party.clone();
        change(&mut changed);
        assert_damaged(keyring.check_enrollment(&changed), &format!("party {}", changed.name));
        assert!(keyring.rewrap(&mut changed, Standing::NEW, &mut rng()).is_err(), "{what}");
    }
    let changes: [fn(&mut EnrollmentRecord); 12] = [
        |record| record.service = "cma".parse().unwrap(),
        |record| record.host = "web2.example".parse().unwrap(),
        |record| record.public_key = AuthorPublicKey::new([8; 32]),
        |record| record.identity = record.identity.next().unwrap(),
        |record| record.generation = Generation(9),
        |record| record.timestamp = UnixMillis(4),
        |record| record.request = "01".to_owned(),
        |record| record.admission = Admission::Token,
        |record| record.token = Some("0123456789abcdef".parse().unwrap()),
        |record| record.address = "192.0.2.2".parse().unwrap(),
        |record| record.enrolled_at = UnixMillis(7),
        |record| record.renewed_at = UnixMillis(7),
    ];
    for change in changes {
        let mut changed = party.clone();
        record(&mut changed, change);
        assert_damaged(keyring.check_enrollment(&changed), "party a@z");
    }
    for at in 0..party.enrollment.as_ref().unwrap().seal.sealed.len() {
        let mut changed = party.clone();
        changed.enrollment.as_mut().unwrap().seal.sealed[at] ^= 1;
        assert_damaged(keyring.check_enrollment(&changed), "party a@z");
        changed.enrollment.as_mut().unwrap().seal.sealed.truncate(at);
        assert_damaged(keyring.check_enrollment(&changed), "party a@z");
    }
    record(&mut party, |record| record.seal = EnrollmentSeal::default());
    assert_damaged(keyring.check_enrollment(&party), "party a@z");
}

#[test]
fn what_keycell_changes_is_sealed_anew_where_it_held() {
    let (keyring, _) = keyring();
    let mut party = aboard(&keyring);
    let first = party.enrollment.clone();
    keyring.set_enabled(&mut party, false, &mut rng()).unwrap();
    keyring.check_enrollment(&party).unwrap();
    // Back by hand, with the seal from before: the epoch tells.
    let mut back = party.clone();
    (back.enabled, back.enrollment) = (true, first);
    assert_damaged(keyring.check_enrollment(&back), "party a@z");
    keyring.set_enabled(&mut party, true, &mut rng()).unwrap();
    keyring.check_enrollment(&party).unwrap();
    keyring.alter(&mut party, &mut rng(), |party| party.author_key = None).unwrap();
    keyring.check_enrollment(&party).unwrap();

    // One that somebody made up is stopped, but nothing that is done to it makes it hold.
    let mut made_up = party.clone();
    made_up.keys.clear();
    made_up.enrollment.as_mut().unwrap().seal = EnrollmentSeal { master_version: 1, sealed: vec![1; 45] };
    keyring.set_enabled(&mut made_up, false, &mut rng()).unwrap();
    assert_damaged(keyring.check_enrollment(&made_up), "party a@z");
    assert_damaged(keyring.set_enabled(&mut made_up, true, &mut rng()), "party a@z");
    keyring.alter(&mut made_up, &mut rng(), |party| party.author_key = None).unwrap();
    assert_damaged(keyring.check_enrollment(&made_up), "party a@z");
}
