//! Which keys count: states, generations, and rows that were tampered with.

use keycell_kdc::administration::{Caller, NewEntry, Precondition};
use keycell_kdc::audit::{Action, Actor, Event};
use keycell_kdc::keyring::{Life, Standing};
use keycell_kdc::store::{Act, KeyState, Write};
use keycell_protocol::{Generation, LongTermKey, ProblemType};

use zeroize::Zeroizing;

use crate::zone::Zone;

#[tokio::test]
async fn active_and_retiring_keys_ask_and_only_the_active_one_is_sealed_under() {
    let mut zone = Zone::new().await;
    let first = zone.party("a").await;
    let mut b = zone.agent("b").await;
    let name = zone.name("a");
    // A party in the middle of a rotation, with a key in every state.
    let cell = zone.cell().await;
    let mut record = cell.store.party(&name).await.unwrap().unwrap();
    let key = |generation, secret| LongTermKey::new(Generation(generation), first.epoch(), [secret; 32]);
    let states = [(2, KeyState::Dead), (3, KeyState::Retiring), (4, KeyState::Active), (5, KeyState::Staged)];
    let mut random = keycell_kdc::random::system();
    record.keys = states
        .map(|(n, state)| {
            let life = Life { state, created_at: zone.now(), ends_at: None };
            cell.keyring.seal_key(&name, Standing::NEW, &key(n, n as u8), life, &mut random)
        })
        .to_vec();
    let expected = record.revise(zone.now());
    let event = Event::new(zone.now(), Actor::Kdc, Action::PartyUpdate, name.as_str());
    let put = Write::PutParty { party: record, expected: Some(expected) };
    cell.store.commit(&Act::new(put, event), &cell.audit_key).await.unwrap();
    cell.store.close().await;
    zone.restart().await;

    for (generation, state) in states {
        let mut a = zone.agent_with("a", key(generation, generation as u8), zone.now());
        a.want(zone.now(), &zone.name("b")).unwrap();
        let answer = zone.ask(&a.wants(zone.now()).unwrap());
        let good = matches!(state, KeyState::Active | KeyState::Retiring);
        assert_eq!(answer.is_ok(), good, "{state}");
        if let Err(denied) = answer {
            assert_eq!(denied.problem(), ProblemType::Unauthenticated);
        }
        let message = zone.seal(&mut b, "a", b"x").unwrap();
        let opens = a.open(zone.now(), &message).is_ok();
        assert_eq!(opens, state == KeyState::Active, "{state}");
    }
}

#[tokio::test]
async fn a_name_given_again_is_another_party() {
    let zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    zone.seal(&mut a, "b", b"x").unwrap();
    let name = zone.name("b");
    zone.kdc.parties().delete(&Caller::console(), &name, &Precondition::NONE).await.unwrap();
    let again = zone.create(&name).await;
    assert_eq!(again.key.generation(), Generation(2));

    // The old holder cannot ask, and cannot open what is for the new one.
    b.want(zone.now(), &zone.name("a")).unwrap();
    let denied = zone.ask(&b.wants(zone.now()).unwrap()).unwrap_err();
    assert_eq!(denied.problem(), ProblemType::Unauthenticated);
    let mut c = zone.agent("c").await;
    let message = zone.seal(&mut c, "b", b"for the new one").unwrap();
    assert_eq!(b.open(zone.now(), &message).unwrap_err().cause().code(), "no-key");
    let mut new = zone.agent_with("b", again.key, zone.now());
    assert_eq!(new.open(zone.now(), &message).unwrap().body, b"for the new one");
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_harmless_and_with_another_is_refused() {
    let zone = Zone::new().await;
    let name = zone.name("a");
    let create = async |secret: Option<[u8; 32]>| {
        let mut entry = NewEntry::named(name.clone());
        entry.secret = secret.map(Zeroizing::new);
        zone.kdc.parties().create(&Caller::console(), &entry, |_| Ok(None)).await
    };
    let first = create(Some([1; 32])).await.unwrap();
    let again = create(Some([1; 32])).await.unwrap();
    assert!(!first.retried && again.retried);
    assert_eq!(again.key.generation(), first.key.generation());
    // What is stored of it may have turned since; what is given back is what was sent.
    let cell = zone.cell().await;
    let mut record = cell.store.party(&name).await.unwrap().unwrap();
    let turned = first.key.clone().ratchet().unwrap();
    let life = Life::of(&record.keys[0]);
    let mut random = keycell_kdc::random::system();
    record.keys = vec![cell.keyring.seal_key(&name, Standing::NEW, &turned, life, &mut random)];
    let expected = record.revise(zone.now());
    let event = Event::new(zone.now(), Actor::Kdc, Action::PartyUpdate, name.as_str());
    let put = Write::PutParty { party: record, expected: Some(expected) };
    cell.store.commit(&Act::new(put, event), &cell.audit_key).await.unwrap();
    cell.store.close().await;
    let again = create(Some([1; 32])).await.unwrap();
    assert_eq!((again.retried, again.key.epoch()), (true, first.key.epoch()));
    assert_eq!(again.key.expose_secret(), first.key.expose_secret());
    assert!(create(Some([2; 32])).await.is_err());
    assert!(create(None).await.is_err());
    assert_eq!(zone.cell().await.store.party(&name).await.unwrap().unwrap().revision, 2);
}
