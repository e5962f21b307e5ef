//! Clocks that are wrong, and keys that turn with the time.

use keycell_protocol::{Epoch, RatchetPeriod};

use crate::zone::{DAY, START, Zone};

#[tokio::test]
async fn a_host_with_a_wrong_clock_is_set_right_by_the_kdc() {
    for (ahead, off) in [(true, 61_000), (false, 61_000), (true, DAY / 3), (false, DAY / 3), (true, 30 * DAY)]
    {
        let zone = Zone::new().await;
        let mut b = zone.agent("b").await;
        let key = zone.party("a").await;
        let wrong = if ahead { START.plus(off) } else { START.minus(off) };
        let mut a = zone.agent_with("a", key, wrong);
        let message = zone.seal_at(&mut a, wrong, "b", b"x").unwrap();
        assert_eq!(b.open(zone.now(), &message).unwrap().body, b"x", "{off} ms, ahead: {ahead}");
        assert_eq!(a.clock_correction_ms().unsigned_abs(), off);
    }
}

#[tokio::test]
async fn hosts_on_both_sides_of_midnight_understand_each_other() {
    let zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    let midnight = RatchetPeriod::DEFAULT.end(RatchetPeriod::DEFAULT.epoch(START.seconds())).millis();
    // A ticket of the old day opens in the new one, and the other way round for who is behind.
    zone.clock.set(midnight.minus(1000));
    let old = zone.seal(&mut a, "b", b"old day").unwrap();
    zone.clock.set(midnight.plus(1000));
    b.open(zone.now(), &old).unwrap();
    let key = zone.party("c").await;
    let mut c = zone.agent_with("c", key, zone.now());
    let new = zone.seal(&mut c, "b", b"new day").unwrap();
    let (mut behind, now) = (zone.agent("d").await, midnight.minus(2000));
    let for_d = zone.seal(&mut c, "d", b"new day").unwrap();
    assert_eq!(behind.open(now, &for_d).unwrap().body, b"new day");
    b.open(zone.now(), &new).unwrap();
    let message = zone.seal_at(&mut behind, now, "b", b"from the old day").unwrap();
    b.open(zone.now(), &message).unwrap();
}

#[tokio::test]
async fn a_year_asleep_and_everybody_still_speaks() {
    let mut zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    let early = zone.seal(&mut a, "b", b"early").unwrap();
    zone.clock.advance(366 * DAY);
    zone.restart().await;
    let late = zone.seal(&mut a, "b", b"late").unwrap();
    assert_eq!(b.open(zone.now(), &late).unwrap().body, b"late");
    assert_eq!(b.open(zone.now(), &early).unwrap_err().cause().code(), "expired");
}

#[tokio::test]
async fn nothing_outlives_the_key_that_seals_it() {
    let period = RatchetPeriod::from_seconds(600).unwrap();
    let zone = Zone::with(period, |config| config.tickets.lifetime_seconds = 86_400).await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    let message = zone.seal(&mut a, "b", b"x").unwrap();
    let end = a.ticket_expiration(zone.now(), &zone.name("b")).unwrap();
    let epoch = period.epoch(START.seconds());
    assert_eq!(end, period.end(Epoch(epoch.0 + 1)), "until the end of the next epoch, not for a day");
    zone.clock.set(end.millis().minus(1));
    assert!(b.open(zone.now(), &message).is_ok(), "as long as it is good, the key is at hand");
}
