//! To which identity of the KDC a host writes, and whose answers it takes.

use keycell_protocol::{Epoch, SuccessionError};

use super::*;

#[test]
fn it_goes_over_to_a_later_identity_that_it_knows() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    assert_eq!(host.identity(), IdentityName::PRIMARY);
    kdc.primary = 1;
    let first = host.wants(START).unwrap();
    let unknown = kdc.open(&first.body).unwrap_err();
    host.take_problem(START, &first, &unknown);
    assert_eq!(host.identity(), IdentityName::SECONDARY);
    let second = host.wants(START).unwrap();
    let (reply, _) = kdc.enroll(START, &second.body, EnrollmentState::Active);
    let boarded = host.take_reply(START, &second, &reply).unwrap().unwrap();
    // From now on it knows the one after that, and no longer the one before.
    assert_eq!((&boarded.bundle, host.bundle()), (&kdc.bundle(), &kdc.bundle()));
    assert_eq!(host.bundle().identities[0].name, IdentityName::SECONDARY);
}

#[test]
fn it_never_goes_back_and_to_no_stranger() {
    let mut kdc = Kdc::new();
    let bundle = kdc.bundle();
    kdc.primary = 1;
    let unknown = kdc.unknown();
    let with = |identity: Option<u32>| {
        let mut unknown = unknown.clone();
        unknown.identity = identity.map(|number| IdentityName::new(number).unwrap());
        unknown
    };
    // Up from the first, and to nothing else; after a long wait from the beginning.
    for named in [Some(1), Some(2), Some(3), Some(99_999), None] {
        let mut host = host(bundle.clone(), None);
        let request = host.wants(START).unwrap();
        host.take_problem(START, &request, &with(Some(2)));
        assert_eq!(host.identity(), IdentityName::SECONDARY, "{named:?}");
        let (at, request) = next(&mut host, START);
        host.take_problem(at, &request, &with(named));
        assert!(matches!(host.standing(), Standing::IdentityUnknown { .. }));
        assert_eq!(host.identity(), IdentityName::PRIMARY, "{named:?}");
        assert!(host.next_wakeup(at).unwrap() >= at.plus(1_800_000));
    }
    // Not after the second has answered, though the bundle has the first.
    let mut host = host(bundle, None);
    let request = host.wants(START).unwrap();
    host.take_problem(START, &request, &with(Some(2)));
    let (at, request) = next(&mut host, START);
    let reply = kdc.put_off(at, &request.body, 60);
    assert!(host.take_reply(at, &request, &reply).unwrap().is_none());
    for named in [None, Some(1)] {
        let (at, request) = next(&mut host, at);
        host.take_problem(at, &request, &with(named));
        assert_eq!(host.identity(), IdentityName::SECONDARY);
    }
}

#[test]
fn a_forged_word_of_another_identity_is_got_over() {
    let mut kdc = Kdc::new();
    let mut host = host(kdc.bundle(), None);
    let request = host.wants(START).unwrap();
    let mut forged = kdc.unknown();
    forged.identity = Some(IdentityName::SECONDARY);
    host.take_problem(START, &request, &forged);
    let (at, request) = next(&mut host, START);
    // The KDC itself still works with the first.
    let unknown = kdc.open(&request.body).unwrap_err();
    host.take_problem(at, &request, &unknown);
    let (at, request) = next(&mut host, at);
    assert!(at <= START.plus(3_700_000));
    let (reply, _) = kdc.enroll(at, &request.body, EnrollmentState::Active);
    assert!(host.take_reply(at, &request, &reply).unwrap().is_some());
}

/// Whoever stole the first identity's private half, after the host has gone over to the second.
#[test]
fn an_answer_of_another_identity_is_none() {
    let mut kdc = Kdc::new();
    let bundle = kdc.bundle();
    let mut host = host(bundle.clone(), None);
    let request = host.wants(START).unwrap();
    let (sealed, keys) = kdc.open(&request.body).unwrap();
    let mut answer_with = |bundle: Bundle, name: Name| {
        let enrolled = Enrolled {
            name,
            generation: Generation(1),
            epoch: Epoch(20_000),
            state: EnrollmentState::Active,
            ratchet_period: RatchetPeriod::DEFAULT,
            bundle,
        };
        EnrollmentReply::seal_enrolled(&sealed, START, &enrolled, &keys, &mut kdc.rng)
    };
    let mut swapped = bundle.clone();
    swapped.identities.reverse();
    let mut changed = bundle.clone();
    changed.identities[0].signing_key = SignerKey::new([9; 32]);
    let mut elsewhere = bundle.clone();
    elsewhere.zone = "y".parse().unwrap();
    let mut now = START;
    let mut request = request;
    for (bundle, name) in [
        (swapped, host.name()),
        (changed, host.name()),
        (elsewhere, host.name()),
        (bundle, "nanoprobe.web2.example::00112233445566778899aabbccddeeff@z".parse().unwrap()),
    ] {
        let reply = answer_with(bundle, name);
        let error = host.take_reply(now, &request, &reply).unwrap_err();
        assert!(matches!(error, TakeError::Reply(_)), "{error}");
        assert_eq!(host.standing(), Standing::Asking);
        (now, request) = next(&mut host, now);
    }
    assert_eq!(host.bundle(), &kdc.bundle());
}

/// Whoever stole the first identity's private half, before anybody knows.
#[test]
fn a_thief_of_the_first_identity_cannot_keep_a_host_from_the_second() {
    let mut kdc = Kdc::new();
    let known = kdc.bundle();
    let mut host = host(known.clone(), None);
    let mut request = host.wants(START).unwrap();
    let (sealed, keys) = kdc.open(&request.body).unwrap();
    let mut own = known.identities[1].clone();
    own.signing_key = SignerKey::new([9; 32]);
    let named = |number: u32, identity: &KdcIdentity| KdcIdentity {
        name: IdentityName::new(number).unwrap(),
        ..identity.clone()
    };
    let first = known.identities[0].clone();
    let last = named(99_999, &own);
    let mut now = START;
    for (identities, why) in [
        (vec![first.clone()], SuccessionError::Missing(IdentityName::SECONDARY)),
        (vec![first.clone(), own.clone()], SuccessionError::OtherKeys(IdentityName::SECONDARY)),
        (vec![first.clone(), last.clone()], SuccessionError::Missing(IdentityName::SECONDARY)),
        (vec![first, known.identities[1].clone(), last.clone()], SuccessionError::Stranger(last.name)),
    ] {
        let enrolled = Enrolled {
            name: host.name(),
            generation: Generation(1),
            epoch: Epoch(20_000),
            state: EnrollmentState::Active,
            ratchet_period: RatchetPeriod::DEFAULT,
            bundle: Bundle { identities, ..known.clone() },
        };
        let reply = EnrollmentReply::seal_enrolled(&sealed, START, &enrolled, &keys, &mut kdc.rng);
        assert_eq!(host.take_reply(now, &request, &reply).unwrap_err(), TakeError::Bundle(why));
        assert_eq!((host.standing(), host.bundle()), (Standing::Asking, &known));
        (now, request) = next(&mut host, now);
    }
    // The cell recovers, and the host goes along.
    kdc.primary = 1;
    let unknown = kdc.open(&request.body).unwrap_err();
    host.take_problem(now, &request, &unknown);
    let (now, request) = next(&mut host, now);
    let (reply, _) = kdc.enroll(now, &request.body, EnrollmentState::Active);
    assert!(host.take_reply(now, &request, &reply).unwrap().is_some());
    assert_eq!(host.bundle(), &kdc.bundle());
}
