//! Groups while clocks are wrong, and while the database is away.

use super::members::{HOUR, L, generations, opens_now, same};
use crate::zone::{DAY, Zone};

#[tokio::test]
async fn a_group_goes_on_while_the_database_is_away() {
    let zone = Zone::new().await;
    zone.group("web").await;
    let (a, member) = (zone.party("a").await, zone.party("web.one").await);
    zone.kdc.ledger().store().close().await;
    let first = generations(&zone.keys_of("web.one", &member, "web").unwrap())[0];
    for _ in 0..3600 / 20 {
        zone.clock.advance(20_000);
        let held = zone.keys_of("web.one", &member, "web").unwrap();
        assert!(opens_now(&held, &zone.ticket_to("a", &a, "web").unwrap(), zone.now().seconds()));
    }
    let last = generations(&zone.keys_of("web.one", &member, "web").unwrap())[0];
    assert_eq!(u64::from(last - first), 3600 / L - 1, "a generation for each lifetime, and no write");
}

/// The clock jumps, somebody asks, the housekeeping runs, the KDC starts anew: and then the clock is right again.
#[tokio::test]
async fn a_clock_that_jumps_there_and_back_locks_no_member_out() {
    for (ahead, off) in [(true, HOUR), (true, 20 * DAY), (true, 400 * DAY), (false, HOUR), (false, 20 * DAY)]
    {
        for (passes, restarts) in [(false, false), (true, false), (true, true)] {
            let mut zone = Zone::new().await;
            zone.group("web").await;
            zone.clock.advance(30 * DAY);
            zone.kdc.rewrapper().pass().await.unwrap();
            let right = zone.now();
            let what = format!("ahead {ahead} by {off}, passes {passes}, restarts {restarts}");
            let mut count = 0;
            let mut speaks = async |zone: &Zone, when: &str| {
                // New ones: how parties' own keys get over such a clock is told elsewhere.
                count += 1;
                let (from, to) = (format!("a{count}"), format!("web.n{count}"));
                let (a, member) = (zone.party(&from).await, zone.party(&to).await);
                let held = zone
                    .keys_of(&to, &member, "web")
                    .unwrap_or_else(|problem| panic!("{what}, {when}: {problem:?}"));
                let grant = zone.ticket_to(&from, &a, "web").unwrap();
                let now = zone.now().seconds();
                assert!(opens_now(&held, &grant, now), "{what}, {when}: {held:?} {grant:?}");
                assert!(grant.expiration > now && grant.expiration <= now.plus(L), "{what}, {when}");
                assert!(held.refresh_at > zone.now() && held.refresh_at <= zone.now().plus(2 * L * 1000));
                held
            };
            let before = speaks(&zone, "before").await;
            zone.clock.set(if ahead { right.plus(off) } else { right.minus(off) });
            // Days behind, parties' own keys have turned past the clock: nobody can ask.
            let asks = ahead || off < DAY;
            if asks {
                speaks(&zone, "while it is wrong").await;
            }
            let name = zone.name("web");
            let group = zone.kdc.directory().memberships().group(&name).cloned().unwrap();
            assert!(group.keys(zone.now().seconds()).is_some_and(|keys| keys.len() >= 2), "{what}");
            if passes {
                zone.kdc.rewrapper().pass().await.unwrap();
            }
            if restarts {
                zone.restart().await;
                zone.clock.advance(1);
            }
            if asks {
                speaks(&zone, "while it is wrong, later").await;
            }
            zone.clock.set(right.plus(1000));
            if restarts {
                zone.restart().await;
                zone.clock.advance(1);
            }
            if passes {
                zone.kdc.rewrapper().pass().await.unwrap();
            }
            let after = speaks(&zone, "when it is right again").await;
            // A clock that is off by years or by an hour leaves no trace; by days, what was turned too far stays so.
            if !passes || !ahead || off != 20 * DAY {
                assert!(same(&before, &after), "{what}: {before:?} {after:?}");
            }
            // A new chain begins from the right time.
            zone.change_group("web", true, |_| ()).await;
            let held = speaks(&zone, "after a rotation").await;
            assert!(held.keys.iter().any(|held| held.begins == zone.now().seconds()), "{what}");
            zone.clock.advance(L * 1000 * 10);
            assert_eq!(speaks(&zone, "later").await.keys.len(), 3, "{what}");
        }
    }
}

/// A chain that began while the clock was ahead, or behind, and the clock is right again.
#[tokio::test]
async fn a_chain_that_began_by_a_wrong_clock_goes_on() {
    for (ahead, off) in [(true, 20 * DAY), (false, 20 * DAY), (true, 5_000), (false, 5_000)] {
        let zone = Zone::new().await;
        zone.group("web").await;
        let (a, member) = (zone.party("a").await, zone.party("web.one").await);
        zone.clock.advance(40 * DAY);
        let right = zone.now();
        let mut seen = generations(&zone.keys_of("web.one", &member, "web").unwrap());
        zone.clock.set(if ahead { right.plus(off) } else { right.minus(off) });
        zone.change_group("web", true, |_| ()).await;
        zone.clock.set(right.plus(1));
        for _ in 0..20 {
            let held = zone.keys_of("web.one", &member, "web").unwrap();
            let grant = zone.ticket_to("a", &a, "web").unwrap();
            let now = zone.now().seconds();
            assert!(opens_now(&held, &grant, now) && grant.expiration > now, "{held:?}");
            assert!(!seen.contains(&grant.ticket.generation().0), "no number means two keys");
            zone.clock.advance(L * 500);
        }
        seen.clear();
    }
}
