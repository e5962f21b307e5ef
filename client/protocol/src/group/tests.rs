use std::collections::BTreeMap;

use super::*;
use crate::purpose::GroupKeys;
use crate::{
    Generation, Instance, KeysFor, LongTermKey, Name, Nonce, ProblemType, ReplyError, RequestError, Rkey,
    Rotation, SignerKey, Ticket, TicketError, TicketKind, UnixMillis, test_rng,
};
use proptest::prelude::*;

fn keys(byte: u8) -> KeysFor<GroupKeys> {
    LongTermKey::new(Generation(3), Epoch(20_000), [byte; 32]).keys_for()
}

fn request(groups: &[&str]) -> GroupKeysRequest {
    GroupKeysRequest {
        source: "probe.web1@z".parse().unwrap(),
        groups: groups.iter().map(|name| name.parse().unwrap()).collect(),
        timestamp: UnixMillis(1_766_000_000_000),
        nonce: Nonce([1; 16]),
        instance: Instance([2; 16]),
    }
}

fn chain() -> GroupChain {
    GroupChain::new(Generation(7), [9; 32])
}

fn held(group: &str) -> HeldGroup {
    let key = |generation: u32| HeldKey {
        key: chain().advance(Generation(generation)).unwrap().key(),
        begins: UnixSeconds(u64::from(generation) * 300),
        ends: UnixSeconds(u64::from(generation) * 300 + 600),
    };
    HeldGroup {
        group: group.parse().unwrap(),
        author_proof: true,
        refresh_at: UnixMillis(2_650_000),
        spread: 100_000,
        keys: (7..10).map(key).collect(),
    }
}

fn reply(request: &GroupKeysRequest) -> Vec<u8> {
    let refused: Name = "scheduler@z".parse().unwrap();
    let mut writer = GroupKeysWriter::new(request, UnixMillis(5), &[SignerKey::new([4; 32])]);
    writer.grant(held("probe@z"));
    writer.refuse(&refused, ProblemType::NotAllowed);
    writer.ask_to_rotate();
    writer.seal(&keys(1), &mut test_rng())
}

#[test]
fn a_chain_goes_on_and_its_keys_tell_nothing_of_each_other() {
    let stepped = chain().advance(Generation(8)).unwrap().advance(Generation(9)).unwrap();
    let at_once = chain().advance(Generation(9)).unwrap();
    assert_eq!(stepped.expose_secret(), at_once.expose_secret());
    assert_eq!(stepped.key().secret(), at_once.key().secret());
    assert_ne!(chain().key().secret(), at_once.key().secret());
    assert_ne!(chain().key().secret(), chain().expose_secret());
    assert_eq!(at_once.advance(Generation(8)).unwrap_err(), RatchetError::Backwards);
    let far = Generation(8 + GroupChain::MAX_STEPS);
    assert_eq!(chain().advance(far).unwrap_err(), RatchetError::TooFar);
    assert!(!format!("{:?}", held("probe@z")).contains("[9"));
}

#[test]
fn only_members_of_that_generation_open_a_ticket() {
    let mut rng = test_rng();
    let rkey = Rkey::generate(&mut rng);
    let key = chain().key();
    let ticket = Ticket::seal_for_group(&rkey, key.generation(), &key.ticket_key(), &mut rng);
    let again = Ticket::parse(ticket.as_bytes()).unwrap();
    assert_eq!(
        (again.kind(), again.generation(), again.epoch()),
        (TicketKind::Group, Generation(7), Epoch(0))
    );
    assert_eq!(again.open(&key.ticket_key()).unwrap().as_bytes(), rkey.as_bytes());
    let next = chain().advance(Generation(8)).unwrap().key();
    assert_eq!(again.open(&next.ticket_key()).unwrap_err(), TicketError::Forged);
}

#[test]
fn a_request_is_its_partys_and_of_its_purpose() {
    let json = SignedGroupRequest::sign(&request(&[]), &keys(1)).unwrap().to_json();
    let signed = SignedGroupRequest::parse(&json).unwrap();
    assert_eq!(signed.verify(&keys(1)), Ok(request(&[])));
    assert_eq!(signed.verify(&keys(2)), Err(RequestError::Forged));
    let long_term = LongTermKey::new(Generation(3), Epoch(20_000), [1; 32]);
    let ticket = crate::SignedRequest::parse(&json).unwrap();
    assert_eq!(ticket.verify(&long_term.subkeys().request), Err(RequestError::Forged));
    let rotation = crate::SignedRotation::parse(&json).unwrap();
    assert_eq!(rotation.verify(&long_term.keys_for::<Rotation>()), Err(RequestError::Forged));

    let many = vec!["g@z"; GroupKeysRequest::MAX_GROUPS + 1];
    assert_eq!(SignedGroupRequest::sign(&request(&many), &keys(1)).unwrap_err(), RequestError::Destinations);
}

#[test]
fn a_member_gets_its_keys() {
    for asked in [&[][..], &["probe@z", "scheduler@z"]] {
        let request = request(asked);
        let json = reply(&request);
        let opened = SealedGroupKeys::parse(&json).unwrap().open(&keys(1), &request).unwrap();
        assert!(opened.rotate);
        assert_eq!(opened.signers, [SignerKey::new([4; 32])]);
        let [GroupOutcome::Granted(given), GroupOutcome::Refused { group, problem }] = &opened.groups[..]
        else {
            panic!("{opened:?}")
        };
        assert_eq!((group.as_str(), *problem), ("scheduler@z", Some(ProblemType::NotAllowed)));
        assert_eq!(
            (given.author_proof, given.refresh_at, given.spread),
            (true, UnixMillis(2_650_000), 100_000)
        );
        let expected = held("probe@z");
        for (given, expected) in given.keys.iter().zip(&expected.keys) {
            assert_eq!(given.key.secret(), expected.key.secret());
            assert_eq!((given.begins, given.ends), (expected.begins, expected.ends));
        }
        assert_eq!(given.keys.len(), 3);
    }
}

#[test]
fn an_answer_answers_one_request_of_one_party() {
    let asked = request(&["probe@z", "scheduler@z"]);
    let json = reply(&asked);
    let sealed = SealedGroupKeys::parse(&json).unwrap();
    assert_eq!(sealed.open(&keys(2), &asked).unwrap_err(), ReplyError::Forged);
    let other = request(&["scheduler@z", "probe@z"]);
    assert_eq!(sealed.open(&keys(1), &other).unwrap_err(), ReplyError::Destinations);
    let later = GroupKeysRequest { nonce: Nonce([7; 16]), ..asked.clone() };
    assert_eq!(sealed.open(&keys(1), &later).unwrap_err(), ReplyError::AnotherRequest);
    for at in 0..json.len() {
        let mut changed = json.clone();
        changed[at] ^= 1;
        let outcome = SealedGroupKeys::parse(&changed).and_then(|sealed| sealed.open(&keys(1), &asked));
        assert!(outcome.is_err(), "byte {at} does not matter");
    }
}

/// What a member may be told of a group.
fn some_group() -> impl Strategy<Value = HeldGroup> {
    let key =
        (any::<u32>(), any::<[u8; 32]>(), any::<u64>(), 1..=u64::MAX).prop_map(|(number, secret, a, b)| {
            let (begins, ends) = if a < b { (a, b) } else { (b - 1, a) };
            let key = GroupKey::new(Generation(number), secret);
            (number, HeldKey { key, begins: UnixSeconds(begins), ends: UnixSeconds(ends) })
        });
    let keys = prop::collection::vec(key, 1..=HeldGroup::MAX_KEYS);
    ("[a-z]{1,9}@z", any::<bool>(), any::<u64>(), any::<u64>(), keys).prop_map(
        |(group, author_proof, refresh_at, spread, keys)| HeldGroup {
            group: group.parse().unwrap(),
            author_proof,
            refresh_at: UnixMillis(refresh_at),
            spread,
            keys: keys.into_iter().collect::<BTreeMap<_, _>>().into_values().collect(),
        },
    )
}

proptest! {
    #[test]
    fn what_a_kdc_gives_is_what_a_member_gets(given in prop::collection::vec(some_group(), 1..6)) {
        let names: Vec<_> = given.iter().map(|group| group.group.as_str()).collect();
        let asked = request(&names);
        let mut writer = GroupKeysWriter::new(&asked, UnixMillis(5), &[]);
        given.iter().for_each(|group| writer.grant(group.clone()));
        let json = writer.seal(&keys(1), &mut test_rng());
        let opened = SealedGroupKeys::parse(&json).unwrap().open(&keys(1), &asked).unwrap();
        prop_assert_eq!(opened.groups.len(), given.len());
        for (outcome, given) in opened.groups.iter().zip(&given) {
            let GroupOutcome::Granted(got) = outcome else { panic!("{outcome:?}") };
            prop_assert_eq!((&got.group, got.author_proof), (&given.group, given.author_proof));
            prop_assert_eq!((got.refresh_at, got.spread), (given.refresh_at, given.spread));
            let parts = |held: &HeldKey| (held.key.generation(), *held.key.secret(), held.begins, held.ends);
            prop_assert!(got.keys.iter().map(parts).eq(given.keys.iter().map(parts)));
        }
    }
}
