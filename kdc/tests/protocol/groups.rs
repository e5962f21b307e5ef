//! Groups: whom their keys are given to, and when they end (docs/protocol.md §11).

mod counted;
mod members;
mod rest;
pub(crate) mod restored;
pub(crate) mod set_back;
mod wrong_clocks;

use keycell_kdc::administration::{AdminError, Caller, NewEntry, NewKey, Precondition};
use keycell_kdc::api::PartyPatch;
use keycell_kdc::store::{AuditQuery, Kind};
use keycell_protocol::{Generation, HeldKey, LongTermKey, ProblemType, TicketKind};
use zeroize::Zeroizing;

use self::members::{HOUR, L, generations, opens, opens_now, same};
use crate::zone::Zone;

#[tokio::test]
async fn a_member_holds_the_key_before_the_one_in_use_and_the_next() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    let first = zone.chain("web").first.0;
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert_eq!(generations(&held), [first, first + 1]);
    assert!(!held.author_proof && held.spread == 2, "nobody has counted yet: {held:?}");
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.keys_of("web.one", &member, "web").unwrap().spread, 1);
    let start = zone.now().seconds();
    zone.clock.advance(L * 1000 - 1);
    assert_eq!(generations(&zone.keys_of("web.one", &member, "web").unwrap()), [first, first + 1]);
    zone.clock.advance(1);
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert_eq!(generations(&held), [first, first + 1, first + 2]);
    for (at, held) in held.keys.iter().enumerate() {
        let begins = start.plus(L * at as u64);
        assert_eq!((held.begins, held.ends), (begins, begins.plus(2 * L)));
    }
    // Ten hours, and each message opens with what a member holds that asks when it is told to.
    let mut held = zone.keys_of("web.one", &member, "web").unwrap();
    let mut asked = 0;
    for _ in 0..10 * 3600 / 20 {
        zone.clock.advance(20_000);
        let grant = zone.ticket_to("a", &a, "web").unwrap();
        assert_eq!((grant.ticket.kind(), grant.ticket.epoch().0), (TicketKind::Group, 0));
        assert!(grant.reply_sek.is_none(), "a group never answers");
        assert!(opens_now(&held, &grant, zone.now().seconds()), "{grant:?} {held:?}");
        let life = grant.expiration.0 - zone.now().seconds().0;
        assert_eq!(life, L, "no longer than its key seals, however long the policy would let it be");
        let renewal = grant.renew_after.0 - zone.now().seconds().0;
        assert!((L / 2..=L * 8 / 10).contains(&renewal), "{renewal}");
        if zone.now() >= held.refresh_at {
            held = zone.keys_of("web.one", &member, "web").unwrap();
            asked += 1;
        }
    }
    assert!((100..=130).contains(&asked), "once for each key: {asked}");
}

/// Within the time in which the next key seals, which it holds: 10 to 90 % of it.
#[tokio::test]
async fn members_are_told_to_come_back_at_different_times() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let member = zone.party("web.one").await;
    zone.clock.advance(L * 1000 + 7);
    let next = zone.chain("web").begins(Generation(zone.chain("web").first.0 + 2)).millis();
    let (from, to) = (next.plus(L * 100), next.plus(L * 900));
    let mut tenths = [0; 10];
    for _ in 0..2_000 {
        zone.clock.advance(1);
        let at = zone.keys_of("web.one", &member, "web").unwrap().refresh_at;
        assert!((from..=to).contains(&at), "{at:?}");
        tenths[usize::try_from((at.0 - from.0) * 10 / (to.0 - from.0 + 1)).unwrap()] += 1;
    }
    assert!(tenths.iter().all(|count| (130..=270).contains(count)), "{tenths:?}");
}

#[tokio::test]
async fn a_group_s_keys_are_for_its_members_alone() {
    let zone = Zone::new().await;
    for group in ["web", "web2", "other-proved"] {
        zone.group(group).await;
    }
    let (web, plain) = (zone.party("web.one").await, zone.party("a").await);
    let other = zone.party("other-proved.one").await;
    assert_eq!(zone.own_groups("web.one", &web).into_keys().collect::<Vec<_>>(), ["web"]);
    assert!(zone.own_groups("a", &plain).is_empty());
    // That a group is not there, and that it is not one's own, is one answer.
    for group in ["web2", "other-proved", "nothing", "a", "#KDC#00001"] {
        assert_eq!(zone.keys_of("web.one", &web, group).unwrap_err(), ProblemType::NotAllowed, "{group}");
    }
    assert!(zone.keys_of("other-proved.one", &other, "other-proved").unwrap().author_proof);
    assert!(zone.ticket_to("a", &plain, "other-proved").unwrap().author_proof);
    assert!(!zone.ticket_to("a", &plain, "web").unwrap().author_proof);

    // An excluded one, until it is taken back in.
    zone.exclude("web", "web.one").await;
    assert_eq!(zone.keys_of("web.one", &web, "web").unwrap_err(), ProblemType::NotAllowed);
    assert!(zone.own_groups("web.one", &web).is_empty());
    zone.change_group("web", false, |group| group.excluded.clear()).await;
    zone.keys_of("web.one", &web, "web").unwrap();
    // A disabled one gets nothing at all.
    zone.set_enabled("web.one", false).await;
    assert_eq!(zone.keys_of("web.one", &web, "web").unwrap_err(), ProblemType::PartyDisabled);
    zone.set_enabled("web.one", true).await;
    zone.keys_of("web.one", &web, "web").unwrap();
    // What was refused is in the audit log, and counted.
    let journal = zone.kdc.ledger().journal();
    zone.kdc.recorder().flush(journal, true).await.unwrap();
    let query = AuditQuery { action: Some("ticket.deny".to_owned()), limit: 100, ..Default::default() };
    let records = zone.kdc.ledger().store().audit(&query).await.unwrap();
    let refused = |record: &keycell_kdc::audit::Record| record.target == zone.name("nothing").as_str();
    assert!(records.iter().any(refused), "{records:?}");
    let metrics = zone.kdc.metrics().page().unwrap();
    assert!(metrics.contains("keycell_refusals_total{problem=\"urn:keycell:problem:not-allowed\"} 6\n"));
}

/// How a member goes, and whether it is asked for by its own key afterwards.
#[derive(Debug, Clone, Copy)]
enum Way {
    Excluded,
    Disabled,
    DisabledNow,
    Deleted,
    KeyErased,
}

#[tokio::test]
async fn whoever_is_removed_opens_nothing_that_is_sent_after() {
    for way in [Way::Excluded, Way::Disabled, Way::DisabledNow, Way::Deleted, Way::KeyErased] {
        let zone = Zone::new().await;
        zone.group("web").await;
        zone.group("other").await;
        let (a, member) = (zone.party("a").await, zone.party("web.bad").await);
        let stays = zone.party("web.good").await;
        // It asks all the time, and keeps everything that it ever held.
        let mut held: Vec<HeldKey> = Vec::new();
        for _ in 0..30 {
            zone.clock.advance(L * 100);
            held.extend(zone.keys_of("web.bad", &member, "web").unwrap().keys);
        }
        let before = zone.ticket_to("a", &a, "web").unwrap();
        assert!(opens(&held, &before), "the attack itself works");
        let others = zone.chain("other");

        let caller = Caller::console();
        let name = zone.name("web.bad");
        match way {
            Way::Excluded => zone.exclude("web", "web.bad").await,
            Way::Disabled => zone.set_enabled("web.bad", false).await,
            Way::DisabledNow => {
                let patch =
                    PartyPatch { enabled: Some(false), erase_keys: Some(true), ..PartyPatch::default() };
                zone.kdc
                    .parties()
                    .update(&caller, &name, &patch, &Precondition::NONE)
                    .await
                    .map(drop)
                    .unwrap();
            }
            Way::Deleted => zone.kdc.parties().delete(&caller, &name, &Precondition::NONE).await.unwrap(),
            Way::KeyErased => {
                let new = NewKey { secret: Some(Zeroizing::new([1; 32])), erase_old: true };
                let keep = |_: &_| Ok(None);
                let replaced = zone.kdc.keys().replace(&caller, &name, &new, &Precondition::NONE, keep).await;
                // The new key is another's: whoever has the old one is out.
                assert_eq!(replaced.unwrap().key.generation(), Generation(2));
            }
        }
        let removed = zone.now().seconds();
        assert!(zone.keys_of("web.bad", &member, "web").is_err(), "{way:?}");
        assert_eq!(zone.chain("other"), others, "who was no member of it changes nothing");
        // Twice as long as any key opens.
        for _ in 0..=2 * 2 * L / 20 {
            let grant = zone.ticket_to("a", &a, "web").unwrap();
            assert!(!opens(&held, &grant), "{way:?}");
            let good = zone.keys_of("web.good", &stays, "web").unwrap();
            assert!(opens_now(&good, &grant, zone.now().seconds()), "{way:?}");
            zone.clock.advance(20_000);
        }
        // And what was given before ends with the lifetime.
        assert!(before.expiration <= removed.plus(L), "{way:?}");
    }
}

/// What was on its way when a chain ended still opens, also for a member that starts anew and holds nothing.
#[tokio::test]
async fn what_is_on_its_way_opens_after_a_rotation() {
    let mut zone = Zone::new().await;
    zone.group("web").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    zone.clock.advance(3 * L * 1000 + 5_000);
    let before = zone.ticket_to("a", &a, "web").unwrap();
    for _ in 0..3 {
        zone.clock.advance(1_000);
        zone.change_group("web", true, |_| ()).await;
    }
    zone.restart().await;
    zone.clock.advance(1_000);
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert!(opens_now(&held, &before, zone.now().seconds()));
    let after = zone.ticket_to("a", &a, "web").unwrap();
    assert!(opens_now(&held, &after, zone.now().seconds()));
    assert!(after.ticket.generation() > Generation(before.ticket.generation().0 + 1), "never the next one");
    zone.clock.set(before.expiration.millis());
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert!(!generations(&held).is_empty());
    zone.clock.advance(2 * L * 1000);
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert!(!opens(&held.keys, &before), "nobody is given it any more");
    assert_eq!(held.keys.len(), 3);
}

#[tokio::test]
async fn a_group_is_no_source_and_shares_its_name_with_nobody() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    // There is no key that a group could sign with: not those of its members either.
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    for key in [&member, &a] {
        for generation in [1, held.keys[0].key.generation().0] {
            let key = LongTermKey::new(Generation(generation), key.epoch(), *key.expose_secret());
            assert_eq!(zone.ticket_to("web", &key, "a").unwrap_err(), ProblemType::Unauthenticated);
            assert_eq!(zone.keys_of("web", &key, "web").unwrap_err(), ProblemType::Unauthenticated);
        }
    }
    let entry = NewEntry::named(zone.name("web"));
    let error = zone.kdc.parties().create(&Caller::console(), &entry, |_| Ok(None)).await.unwrap_err();
    assert!(matches!(&error, AdminError::Exists(what) if what == "group web@cell1.internal"), "{error}");
    // The policy decides before anybody learns whether there is such a group.
    zone.sql_documents("rule", "DELETE FROM document WHERE kind = 'rule'").await;
    zone.kdc.follower().catch_up().await.unwrap();
    for group in ["web", "nothing"] {
        assert_eq!(zone.ticket_to("a", &a, group).unwrap_err(), ProblemType::NotAllowed);
    }
}

#[tokio::test]
async fn every_kdc_of_the_zone_hands_out_the_same_keys() {
    let zone = Zone::new().await;
    let behind = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    zone.group("web").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    zone.clock.advance(1);
    let both = async |what: &str| {
        behind.follower().catch_up().await.unwrap();
        let one = zone.keys_of("web.one", &member, "web").unwrap();
        let other = zone.keys_at(&behind, "web.one", &member, "web").unwrap();
        assert!(same(&one, &other), "{what}: {one:?} {other:?}");
        let grant = zone.ticket_at(&behind, "a", &a, "web").unwrap();
        assert!(opens_now(&one, &grant, zone.now().seconds()), "{what}");
    };
    both("new").await;
    for step in 0..40 {
        zone.clock.advance(L * 1000 / 3);
        both(&format!("{step}")).await;
    }
    zone.set_enabled("web.one", false).await;
    zone.set_enabled("web.one", true).await;
    both("rotated").await;
    // What one of them turns at rest, and the other in memory, changes nothing.
    zone.clock.advance(5 * HOUR);
    zone.kdc.rewrapper().pass().await.unwrap();
    both("turned by one").await;
    behind.rewrapper().pass().await.unwrap();
    both("turned by both").await;
    zone.change_group("web", true, |group| group.lifetime_seconds = 60).await;
    both("another lifetime").await;
    behind.close().await;
}

/// Two administrators disable two members of one group at once, at two KDCs: both begin a chain, one after the other.
#[tokio::test]
async fn two_removals_at_once_are_both_done() {
    let zone = Zone::new().await;
    let behind = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    zone.group("web").await;
    zone.party("web.one").await;
    zone.party("web.two").await;
    // This one has not heard of the group yet.
    let patch = PartyPatch { enabled: Some(false), ..PartyPatch::default() };
    let caller = Caller::console();
    let before = zone.chain("web");
    let name = zone.name("web.two");
    behind.parties().update(&caller, &name, &patch, &Precondition::NONE).await.unwrap();
    zone.set_enabled("web.one", false).await;
    let groups = behind.directory().groups();
    assert_eq!(groups["web"].chain().unwrap().version, before.version + 1);
    assert_eq!(zone.chain("web").version, before.version + 2);
    behind.close().await;
}

/// A row of a group that somebody put back keeps nobody from being disabled, and gives nobody anything.
#[tokio::test]
async fn an_old_row_of_a_group_does_not_count() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let (a, bad) = (zone.party("a").await, zone.party("web.bad").await);
    let held = zone.keys_of("web.bad", &bad, "web").unwrap();
    let old = zone.kdc.ledger().store().document(Kind::Group, "web").await.unwrap().unwrap();
    zone.exclude("web", "web.bad").await;
    let (body, sealed) = (old.body.replace('\'', "''"), hex(&old.sealed));
    let back = format!(
        "UPDATE document SET revision = {}, body = '{body}', sealed = x'{sealed}' WHERE kind = 'group'",
        old.revision
    );
    zone.sql_documents("group", &back).await;
    let error = zone.kdc.follower().catch_up().await.unwrap_err().to_string();
    assert!(error.contains("web") && error.contains("was there"), "{error}");
    assert_eq!(zone.keys_of("web.bad", &bad, "web").unwrap_err(), ProblemType::NotAllowed);
    assert!(!opens(&held.keys, &zone.ticket_to("a", &a, "web").unwrap()));
    // It is written over with what was in force, when a member goes.
    zone.party("web.two").await;
    zone.set_enabled("web.two", false).await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(zone.keys_of("web.bad", &bad, "web").unwrap_err(), ProblemType::NotAllowed);
    // One that Keycell did not write is no group at all; the others go on.
    zone.group("other").await;
    zone.sql_documents("group", "UPDATE document SET revision = revision + 1 WHERE id = 'web'").await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(zone.ticket_to("a", &a, "web").unwrap_err(), ProblemType::UnknownDestination);
    zone.ticket_to("a", &a, "other").unwrap();
    zone.set_enabled("web.bad", false).await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
