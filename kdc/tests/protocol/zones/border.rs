//! What does not come over the border, and who is nobody at home.

use std::net::Ipv4Addr;

use keycell_kdc::administration::{AdminError, Caller, PartyError};
use keycell_kdc::administration::{Asker, NewEntry, NewKey, Precondition, Selection};
use keycell_kdc::api::PartyPatch;
use keycell_kdc::random::system;
use keycell_kdc::store::KeyState::{Active, Retiring};
use keycell_kdc::trust::Direction;
use keycell_protocol::{
    AuthorKey, Instance, LongTermKey, Name, Nonce, PeerPair, ProblemType, RotationRequest, SealedReply,
    SealedRotation, SignedPeerRequest, SignedRequest, SignedRotation, SignedVoucherRequest, Step,
    TicketRequest, VoucherRequest,
};

use super::asked::zone;
use super::asking::{answer, ask, ask_one, keys, problems, request, send};
use super::told::records;
use super::trust::{change_trust, delete_trust, trust_between, write};
use crate::zone::{DAY, Zone};

const UNTRUSTED: Option<ProblemType> = Some(ProblemType::UntrustedZone);

#[tokio::test]
async fn a_kdc_speaks_for_its_own_parties_to_ours() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    trust_between(&z2, &z1).await;
    z2.party("a").await;
    z2.party("b").await;
    let came = ask(
        &z1,
        &z2,
        &trust,
        &[
            ("a", "b"),
            // Not for a third zone, nor for this one.
            ("a@z3.example", "b"),
            ("a@z2.example", "b"),
            ("a@sub.z1.example", "b"),
            // Nor for itself, or for what another zone is.
            ("#ZONE#z1.example@z2.example", "b"),
            ("#ZONE#z2.example", "b"),
            ("#ZONE#z3.example", "b"),
            ("#ZONE#", "b"),
            // To nobody beyond, and to nobody at home.
            ("a", "b@z3.example"),
            ("a", "b@z1.example"),
            ("a", "a@z1.example"),
            // To no zone, whether it is known or not.
            ("a", "#ZONE#z1.example"),
            ("a", "#ZONE#z3.example"),
        ],
    )
    .unwrap();
    let mut expected = vec![UNTRUSTED; came.len()];
    expected[0] = None;
    assert_eq!(problems(&came), expected);
    let told = records(&z2, "ticket.deny").await;
    assert_eq!(told.len(), came.len() - 1, "each with its own source: {told:#?}");
}

#[tokio::test]
async fn a_third_zone_gets_nothing_from_a_trust_of_others() {
    let (z1, z2, z3) = (zone("z1.example").await, zone("z2.example").await, zone("z3.example").await);
    let trust = trust_between(&z1, &z2).await;
    let third = trust_between(&z3, &z2).await;
    z2.party("b").await;
    // In its own name with another's key, and in another's name with its own.
    for (asking, key) in [(&z3, &trust), (&z1, &third)] {
        assert_eq!(ask(asking, &z2, key, &[("a", "b")]).unwrap_err(), ProblemType::Unauthenticated);
    }
    // Who is trusted is asked by nobody.
    assert_eq!(ask(&z2, &z1, &trust, &[("b", "a")]).unwrap_err(), ProblemType::Unauthenticated);
    let wrong = LongTermKey::new(trust.generation(), trust.epoch(), [7; 32]);
    let next = LongTermKey::new(trust.generation().next().unwrap(), trust.epoch(), *trust.expose_secret());
    for key in [&wrong, &next] {
        assert_eq!(ask(&z1, &z2, key, &[("a", "b")]).unwrap_err(), ProblemType::Unauthenticated);
    }
}

/// A zone's own request, sent back to it.
#[tokio::test]
async fn what_a_zone_asked_is_no_request_to_it() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let there = trust_between(&z1, &z2).await;
    let asked = request(&z1, &z2, &[("a", "b"), ("a", "a@z1.example")]);
    let json = SignedPeerRequest::sign(&asked, &keys(&z2, &there)).unwrap().to_json();
    z1.party("a").await;
    assert_eq!(answer(&z1, &json).unwrap_err(), ProblemType::Unauthenticated);
    // Trust both ways is two trusts.
    let back = trust_between(&z2, &z1).await;
    assert_eq!(answer(&z1, &json).unwrap_err(), ProblemType::Unauthenticated);
    assert_eq!(ask(&z1, &z2, &back, &[("a", "b")]).unwrap_err(), ProblemType::Unauthenticated);
    answer(&z2, &json).unwrap();
}

#[tokio::test]
async fn nothing_counts_twice() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    z2.party("b").await;
    let first = request(&z1, &z2, &[("a", "b")]);
    let keys = keys(&z2, &trust);
    let json = SignedPeerRequest::sign(&first, &keys).unwrap().to_json();
    let reply = answer(&z2, &json).unwrap();
    assert_eq!(answer(&z2, &json).unwrap_err(), ProblemType::Replayed);
    // An answer is to one request.
    let sealed = SealedReply::parse(&reply).unwrap();
    sealed.open_for_zone(&keys, &first).unwrap();
    let mut other = first.clone();
    other.nonce = Nonce([9; 16]);
    assert!(sealed.open_for_zone(&keys, &other).is_err());
    let mut other = first;
    other.requests = vec![PeerPair { source: z1.name("a"), destination: z2.name("c") }];
    assert!(sealed.open_for_zone(&keys, &other).is_err());
    z2.clock.advance(60_001);
    assert_eq!(answer(&z2, &json).unwrap_err(), ProblemType::ClockSkew);
}

#[tokio::test]
async fn a_trust_that_rests_gives_nothing() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    z2.party("b").await;
    let asks = || ask_one(&z1, &z2, &trust, "a", "b").err();
    let rotates = async || step(&z1, &z2, Step::Stage, &trust).await.err();
    assert_eq!(asks(), None);
    let enabled = |enabled| change_trust(&z2, Direction::Incoming, &z1, move |trust| trust.enabled = enabled);
    enabled(false).await;
    assert_eq!(
        (asks(), rotates().await),
        (Some(ProblemType::PartyDisabled), Some(ProblemType::PartyDisabled))
    );
    enabled(true).await;
    assert_eq!(asks(), None);
    // What the other zone thinks of it is its own affair.
    change_trust(&z1, Direction::Outgoing, &z2, |trust| trust.enabled = false).await;
    assert_eq!(asks(), None);
    // Its document is damaged, and then gone; the row with the key is still there.
    z2.sql_documents("trust", "UPDATE document SET revision = revision + 1 WHERE kind = 'trust'").await;
    z2.kdc.follower().catch_up().await.unwrap();
    assert_eq!(
        (asks(), rotates().await),
        (Some(ProblemType::PartyDisabled), Some(ProblemType::PartyDisabled))
    );
    delete_trust(&z2, Direction::Incoming, &z1).await;
    assert_eq!(asks(), Some(ProblemType::PartyDisabled));
    // With the row, nobody is known.
    let name = Name::of_zone(z1.kdc.zone(), z2.kdc.zone());
    write(&z2, vec![keycell_kdc::store::Write::DeleteParty { name, expected: None }]).await;
    assert_eq!(asks(), Some(ProblemType::Unauthenticated));
}

#[tokio::test]
async fn the_key_of_a_trust_turns_over_and_an_old_one_ends() {
    let (z1, mut z2) = (zone("z1.example").await, zone("z2.example").await);
    let old = trust_between(&z1, &z2).await;
    z2.party("b").await;
    z2.clock.advance(1);
    let next = step(&z1, &z2, Step::Stage, &old).await.unwrap().unwrap();
    // Staged, it is good for nothing but its commit.
    assert_eq!(ask(&z1, &z2, &next, &[]).unwrap_err(), ProblemType::Unauthenticated);
    step(&z1, &z2, Step::Commit, &next).await.unwrap();
    z2.restart().await;
    z2.clock.advance(1);
    let states = |zone: &Zone| {
        let row = zone.kdc.directory().zone("#ZONE#z1.example@z2.example").unwrap();
        row.record().keys.iter().map(|key| (key.generation.0, key.state)).collect::<Vec<_>>()
    };
    assert_eq!(states(&z2), [(1, Retiring), (2, Active)]);
    for key in [&old, &next] {
        ask_one(&z1, &z2, key, "a", "b").unwrap();
    }
    z2.clock.advance((900 + 120) * 1000);
    assert_eq!(ask(&z1, &z2, &old, &[]).unwrap_err(), ProblemType::Unauthenticated);
    ask_one(&z1, &z2, &next, "a", "b").unwrap();
    z2.kdc.keep_house().await.unwrap();
    assert_eq!(states(&z2), [(2, Active)], "erased as a party's is");
    let log = records(&z2, "key.activate").await;
    assert_eq!(log.len(), 1, "{log:?}");

    // Epochs end for it as for a party: in memory, and at rest.
    let epoch = next.clone();
    for _ in 0..3 {
        z2.clock.advance(DAY);
        z2.kdc.rewrapper().pass().await.unwrap();
    }
    let row = z2.kdc.directory().zone("#ZONE#z1.example@z2.example").unwrap();
    let today = z2.kdc.zone_record().ratchet_period.epoch(z2.now().seconds());
    assert_eq!(row.epoch(next.generation()).unwrap().0, today.0 - 1);
    let stored = z2.kdc.ledger().store().party(row.name()).await.unwrap().unwrap();
    assert_eq!(stored.keys[0].epoch.0, today.0 - 1);
    let stale = SignedPeerRequest::sign(&request(&z1, &z2, &[]), &epoch.keys_for()).unwrap().to_json();
    assert_eq!(answer(&z2, &stale).unwrap_err(), ProblemType::Unauthenticated);
    ask_one(&z1, &z2, &next, "a", "b").unwrap();
}

/// Its zone is told, with the next answer, to turn the key over.
#[tokio::test]
async fn a_zone_is_told_to_rotate() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    let told = |key| send(&z2, &request(&z1, &z2, &[]), key).unwrap().rotate;
    assert!(!told(&trust));
    let patch = serde_json::from_value(serde_json::json!({ "rotate_keys_after_days": 30 })).unwrap();
    z2.kdc.settings().change_zone(&Caller::console(), &patch, &Precondition::NONE).await.unwrap();
    z2.clock.advance(31 * DAY);
    assert!(told(&trust));
    let next = step(&z1, &z2, Step::Stage, &trust).await.unwrap().unwrap();
    step(&z1, &z2, Step::Commit, &next).await.unwrap();
    assert!(!told(&next) && !told(&trust));
}

#[tokio::test]
async fn a_zone_is_no_party() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    let (b, name) = (z2.party("b").await, Name::of_zone(z1.kdc.zone(), z2.kdc.zone()));
    z2.group("all").await;
    let (kdc, caller) = (&z2.kdc, Caller::console());
    // It asks for nothing that parties ask for.
    let random = &mut system();
    let (nonce, instance) = (Nonce::generate(random), Instance([1; 16]));
    let (source, timestamp) = (name.clone(), z2.now());
    let destinations = vec![z2.name("b")];
    let tickets = TicketRequest { source: source.clone(), destinations, timestamp, nonce, instance };
    let json = SignedRequest::sign(&tickets, &trust.subkeys()).unwrap().to_json();
    let denied = kdc.tickets(&SignedRequest::parse(&json).unwrap(), None).unwrap_err();
    assert_eq!(denied.problem(), ProblemType::Unauthenticated);
    let groups = z2.ask_for_groups(kdc, name.local(), &trust, &[]).unwrap_err();
    assert_eq!(groups, ProblemType::Unauthenticated);
    let author = AuthorKey::generate(random);
    let voucher = VoucherRequest::new(source, &author, timestamp, nonce, instance);
    let json = SignedVoucherRequest::sign(&voucher, &trust.keys_for()).to_json();
    let denied = kdc.voucher(&SignedVoucherRequest::parse(&json).unwrap(), &Asker::default()).await;
    assert!(
        matches!(&denied, Err(PartyError::Denied(denied)) if denied.problem() == ProblemType::Unauthenticated)
    );
    // Nor does a party ask as a zone does.
    let mut posing = request(&z1, &z2, &[]);
    posing.source = z2.name("b");
    assert_eq!(send(&z2, &posing, &b).unwrap_err(), ProblemType::Unauthenticated);

    // Nobody speaks to it, and nobody is told of it.
    assert_eq!(z2.ticket("b", &b, name.local()).unwrap_err(), ProblemType::UnknownDestination);
    assert!(kdc.directory().party(name.as_str()).is_none());
    assert_eq!((kdc.directory().len(), kdc.directory().all().len()), (1, 1));
    let all = kdc.parties().page(None, 1000, &keycell_kdc::administration::Filter::default());
    assert_eq!(all.len(), 1);
    let everybody = Selection::Matching { filter: Box::default(), after: None };
    assert_eq!(kdc.keys().select(&everybody, None).unwrap().parties.len(), 1);
    let status =
        keycell_kdc::administration::status(kdc, keycell_kdc::administration::walk(kdc)).await.unwrap();
    assert_eq!((status.parties.total, status.parties.enabled), (1, 1));

    // Administrators reach it through its trust alone.
    let hint = "see `keycell trust show incoming z1.example`";
    let told = |error: AdminError| {
        assert!(matches!(&error, AdminError::Invalid { field, .. } if field == "name"), "{error:?}");
        assert!(error.to_string().ends_with(hint), "{error}");
    };
    told(kdc.parties().show(&name).unwrap_err());
    let patch = PartyPatch { enabled: Some(false), ..PartyPatch::default() };
    told(kdc.parties().update(&caller, &name, &patch, &Precondition::NONE).await.unwrap_err());
    told(kdc.parties().delete(&caller, &name, &Precondition::NONE).await.unwrap_err());
    told(kdc.author_keys().forget(&caller, &name, &Precondition::NONE).await.unwrap_err());
    let new = NewKey { secret: None, erase_old: true };
    told(kdc.keys().replace(&caller, &name, &new, &Precondition::NONE, |_| Ok(None)).await.unwrap_err());
    told(kdc.keys().select(&Selection::Named(vec![name.clone()]), None).unwrap_err());
    // And none is made but by an offer.
    for new in [name, z2.name("#ZONE#z9.example")] {
        let entry = NewEntry::named(new);
        let error = kdc.parties().create(&caller, &entry, |_| Ok(None)).await.unwrap_err();
        assert!(error.to_string().contains("`keycell trust show incoming z"), "{error}");
    }
    ask(&z1, &z2, &trust, &[]).unwrap();
}

/// The KDCs of a zone share its key: that two use it is no alarm.
#[tokio::test]
async fn nobody_takes_the_kdcs_of_a_zone_for_clones() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    for turn in 0..40_u8 {
        z2.clock.advance(10_000);
        let mut asked = request(&z1, &z2, &[]);
        asked.instance = Instance([turn % 2; 16]);
        let json = SignedPeerRequest::sign(&asked, &keys(&z2, &trust)).unwrap().to_json();
        let address = Ipv4Addr::new(192, 0, 2, 1 + turn % 2).into();
        z2.kdc.peer_tickets(&SignedPeerRequest::parse(&json).unwrap(), Some(address)).unwrap();
    }
    z2.kdc.raise_copies().await.unwrap();
    assert_eq!(z2.number("SELECT count(*) FROM document WHERE kind = 'conflict'").await, 0);
}

/// Takes a step of a rotation with the key of a trust; the first gives the next key.
pub(super) async fn step(
    asking: &Zone,
    asked: &Zone,
    step: Step,
    key: &LongTermKey,
) -> Result<Option<LongTermKey>, ProblemType> {
    let request = RotationRequest {
        source: Name::of_zone(asking.kdc.zone(), asked.kdc.zone()),
        step,
        timestamp: asked.now(),
        nonce: Nonce::generate(&mut system()),
        instance: Instance([1; 16]),
    };
    let keys = asked.turned(key).keys_for();
    let json = SignedRotation::sign(&request, &keys).to_json();
    let answer = asked.kdc.rotate(&SignedRotation::parse(&json).unwrap(), &Asker::default()).await;
    let answer = answer.map_err(|error| match error {
        PartyError::Denied(denied) => denied.problem(),
        PartyError::Admin(AdminError::NotYet { .. } | AdminError::Refused(_)) => ProblemType::Conflict,
        PartyError::Admin(error) => panic!("{error}"),
    })?;
    match SealedRotation::parse(&answer).unwrap().open(&keys, &request).unwrap() {
        keycell_protocol::Rotated::Staged { key, .. } => Ok(Some(key)),
        keycell_protocol::Rotated::Committed { .. } => Ok(None),
    }
}
