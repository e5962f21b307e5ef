//! The chains of groups at rest.

use keycell_kdc::administration::Caller;
use keycell_kdc::groups::is_secret_of;
use keycell_kdc::store::SecretRecord;
use keycell_protocol::{Generation, GroupChain};

use super::members::{HOUR, L, opens, opens_now, same};
use crate::zone::{DAY, Zone};

async fn secrets(zone: &Zone, group: &str) -> Vec<SecretRecord> {
    let mut secrets = zone.kdc.ledger().store().secrets().await.unwrap();
    secrets.retain(|secret| is_secret_of(&zone.name(group), secret));
    secrets.sort_by_key(|secret| secret.version);
    secrets
}

/// What somebody gets out of the database who has the master key too.
async fn stolen(zone: &Zone, group: &str) -> GroupChain {
    let secret = secrets(zone, group).await.pop().unwrap();
    let opened = zone.kdc.ledger().keyring().open_secret(&secret).unwrap();
    let (generation, secret) = opened.split_at(4);
    let generation = Generation(u32::from_be_bytes(generation.try_into().unwrap()));
    GroupChain::new(generation, secret.try_into().unwrap())
}

#[tokio::test]
async fn what_is_stolen_today_opens_nothing_from_yesterday() {
    let mut zone = Zone::new().await;
    zone.group("web").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    zone.kdc.rewrapper().pass().await.unwrap();
    let recorded = zone.ticket_to("a", &a, "web").unwrap();
    let opened = |chain: GroupChain| {
        let chain = chain.advance(recorded.ticket.generation()).ok();
        chain.is_some_and(|chain| recorded.ticket.open(&chain.key().ticket_key()).is_ok())
    };
    assert!(opened(stolen(&zone, "web").await), "the attack itself works");
    // It is turned about once an hour, as far as what nobody has asked for since an hour.
    zone.clock.advance(HOUR - 1);
    zone.kdc.rewrapper().pass().await.unwrap();
    assert!(opened(stolen(&zone, "web").await));
    zone.clock.advance(HOUR + 2 * L * 1000 + 10);
    zone.kdc.rewrapper().pass().await.unwrap();
    let turned = stolen(&zone, "web").await;
    let chain = zone.chain("web");
    assert_eq!(turned.generation(), chain.oldest(zone.now().minus(HOUR).seconds()));
    assert!(!opened(turned.clone()));
    let name = zone.name("web");
    let group = zone.kdc.directory().memberships().group(&name).cloned().unwrap();
    assert_eq!(group.turned(chain.version), Some(turned.generation()), "in memory too");
    // Nobody notices, nor after a start.
    let before = zone.keys_of("web.one", &member, "web").unwrap();
    zone.restart().await;
    zone.clock.advance(1);
    assert!(same(&before, &zone.keys_of("web.one", &member, "web").unwrap()));
    // A clock that is not believed turns nothing.
    zone.clock.advance(100 * DAY);
    assert!(!zone.kdc.rewrapper().pass().await.unwrap().believed);
    assert_eq!(stolen(&zone, "web").await.generation(), turned.generation());
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert!(opens_now(&held, &zone.ticket_to("a", &a, "web").unwrap(), zone.now().seconds()));
}

#[tokio::test]
async fn the_secret_of_a_chain_that_is_over_is_erased() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let member = zone.party("web.one").await;
    for _ in 0..3 {
        zone.change_group("web", true, |_| ()).await;
    }
    assert_eq!(secrets(&zone, "web").await.len(), 4);
    let before = zone.keys_of("web.one", &member, "web").unwrap();
    zone.clock.advance(HOUR);
    zone.kdc.rewrapper().pass().await.unwrap();
    assert_eq!(secrets(&zone, "web").await.len(), 4, "an hour longer than needed: clocks differ");
    zone.clock.advance(HOUR);
    zone.kdc.rewrapper().pass().await.unwrap();
    let [last] = &secrets(&zone, "web").await[..] else { panic!("one is left") };
    assert_eq!(last.version, zone.chain("web").version);
    let held = zone.keys_of("web.one", &member, "web").unwrap();
    assert!(
        held.keys.len() == 3
            && !held.keys.iter().any(|held| held.key.generation() == before.keys[0].key.generation())
    );
    // Another start, and the next change, find nothing missing.
    zone.change_group("web", true, |_| ()).await;
    assert_eq!(secrets(&zone, "web").await.len(), 2);
    assert_eq!(zone.kdc.directory().groups()["web"].chains.len(), 2);
    zone.keys_of("web.one", &member, "web").unwrap();
}

#[tokio::test]
async fn chains_go_over_to_another_master_key() {
    let mut zone = Zone::new().await;
    zone.group("web").await;
    zone.group("other").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    zone.change_group("web", true, |_| ()).await;
    let master = zone.config.master_key.clone();
    master.append(None, &mut keycell_kdc::random::system()).unwrap();
    zone.kdc.master_key().rotate(&Caller::console()).await.unwrap();
    // Half way, a start: what is under either version is read.
    let before = zone.keys_of("web.one", &member, "web").unwrap();
    zone.restart().await;
    zone.clock.advance(1);
    assert!(same(&before, &zone.keys_of("web.one", &member, "web").unwrap()));
    zone.kdc.rewrapper().pass().await.unwrap();
    let all = [secrets(&zone, "web").await, secrets(&zone, "other").await].concat();
    assert_eq!(all.iter().map(|one| one.master_version).collect::<Vec<_>>(), [2, 2, 2]);
    assert!(zone.kdc.master_key().show().await.unwrap().rewrapped);
    master.remove(1).unwrap();
    zone.restart().await;
    zone.clock.advance(1);
    let after = zone.keys_of("web.one", &member, "web").unwrap();
    assert!(same(&before, &after));
    assert!(opens_now(&after, &zone.ticket_to("a", &a, "web").unwrap(), zone.now().seconds()));
}

/// One group's secret does not unwrap, or is another's: that group is out of service, and everybody else goes on.
#[tokio::test]
async fn a_damaged_secret_stops_one_group_until_it_is_rotated() {
    let wrongs = [
        "UPDATE secret SET wrapped = x'00' WHERE name = 'group web@cell1.internal 1'",
        "DELETE FROM secret WHERE name = 'group web@cell1.internal 1'",
        "UPDATE secret SET wrapped = (SELECT wrapped FROM secret WHERE name = 'group other@cell1.internal 1')
         WHERE name = 'group web@cell1.internal 1'",
    ];
    for wrong in wrongs {
        let mut zone = Zone::new().await;
        zone.group("web").await;
        zone.group("other").await;
        let (a, member) = (zone.party("a").await, zone.party("web.one").await);
        let other = zone.party("other.one").await;
        zone.sql(wrong).await;
        // What is in memory goes on.
        zone.keys_of("web.one", &member, "web").unwrap();
        zone.restart().await;
        zone.clock.advance(1);
        assert_eq!(zone.kdc.groups_out_of_service(), [zone.name("web").to_string()], "{wrong}");
        use keycell_protocol::ProblemType::{DestinationDisabled, Unavailable};
        assert_eq!(zone.ticket_to("a", &a, "web").unwrap_err(), DestinationDisabled, "{wrong}");
        assert_eq!(zone.keys_of("web.one", &member, "web").unwrap_err(), Unavailable, "{wrong}");
        assert!(zone.own_groups("web.one", &member).is_empty(), "{wrong}");
        let held = zone.keys_of("other.one", &other, "other").unwrap();
        assert!(opens(&held.keys, &zone.ticket_to("a", &a, "other").unwrap()), "{wrong}");
        zone.kdc.rewrapper().pass().await.unwrap();
        // Who goes through the administration gets it back.
        zone.set_enabled("web.one", false).await;
        zone.set_enabled("web.one", true).await;
        let held = zone.keys_of("web.one", &member, "web").unwrap();
        assert!(opens_now(&held, &zone.ticket_to("a", &a, "web").unwrap(), zone.now().seconds()), "{wrong}");
    }
}
