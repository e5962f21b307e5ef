//! Keys at rest: how they turn with the time, by a clock that may be wrong, and go over to another master key.

use keycell_client::Agent;
use keycell_kdc::administration::Caller;
use keycell_kdc::audit::Action;
use keycell_kdc::keyring::MasterKeySource;
use keycell_kdc::rewrap::Pass;
use keycell_kdc::store::{AuditQuery, KeyState};
use keycell_protocol::{Epoch, LongTermKey, RatchetPeriod, UnixMillis};

use crate::zone::{DAY, START, Zone};

fn epoch(at: UnixMillis) -> u32 {
    RatchetPeriod::DEFAULT.epoch(at.seconds()).0
}

/// What a running KDC does by itself as time goes by.
async fn pass(zone: &Zone) -> Pass {
    zone.kdc.rewrapper().pass().await.unwrap()
}

/// The epochs of every key in the database that is not dead.
async fn epochs(zone: &Zone) -> Vec<u32> {
    let cell = zone.cell().await;
    let parties = cell.store.parties().await.unwrap().parties;
    cell.store.close().await;
    let keys = parties.iter().flat_map(|party| &party.keys).filter(|key| key.state != KeyState::Dead);
    keys.map(|key| key.epoch.0).collect()
}

/// Everything that somebody has who takes the database and the master key today.
async fn stolen(zone: &Zone, local: &str) -> LongTermKey {
    let cell = zone.cell().await;
    let party = cell.store.party(&zone.name(local)).await.unwrap().unwrap();
    let key = cell.keyring.open_key(&party, party.keys.first().unwrap()).unwrap();
    cell.store.close().await;
    key
}

fn speak(zone: &Zone, a: &mut Agent, b: &mut Agent) {
    let message = zone.seal(a, "b", b"x").unwrap();
    assert_eq!(b.open(zone.now(), &message).unwrap().body, b"x");
}

#[tokio::test]
async fn what_is_stolen_today_opens_nothing_from_before_the_overlap() {
    let zone = Zone::new().await;
    let first = zone.party("b").await;
    let mut a = zone.agent("a").await;
    // The message is recorded on its way, and the clock of the thief shows the day on which it was.
    let recorded = zone.seal(&mut a, "b", b"secret").unwrap();
    let recorded_at = zone.now();
    let opens = async |zone: &Zone| {
        let mut thief = zone.agent_with("b", stolen(zone, "b").await, recorded_at);
        thief.open(recorded_at, &recorded).is_ok()
    };
    assert!(opens(&zone).await, "today's key opens today's message: the attack itself works");
    zone.clock.advance(DAY);
    pass(&zone).await;
    assert!(opens(&zone).await, "the overlap of one epoch");
    zone.clock.advance(DAY);
    let done = pass(&zone).await;
    assert_eq!((done.believed, done.remaining), (true, 0));
    assert!(!opens(&zone).await);
    assert_eq!(epochs(&zone).await, [epoch(START) + 1; 2]);
    // Nor does what the KDC holds in memory: it has turned, and refuses a request of that epoch, rightly signed.
    let held = zone.kdc.directory().party(zone.name("b").as_str()).unwrap();
    assert_eq!(held.epoch(first.generation()), Some(Epoch(epoch(START) + 1)));
    let mut late = zone.agent_with("b", first.clone(), recorded_at);
    late.want(recorded_at, &zone.name("a")).unwrap();
    assert!(zone.ask(&late.wants(recorded_at).unwrap()).is_err());
    // The holder of the key steps on its own, and speaks.
    let mut b = zone.agent_with("b", first, zone.now());
    speak(&zone, &mut a, &mut b);
}

#[tokio::test]
async fn an_answer_that_somebody_made_up_keeps_no_key_from_turning() {
    let zone = Zone::new().await;
    zone.party("a").await;
    pass(&zone).await;
    zone.sql("INSERT INTO answer VALUES ('a', 'k', x'00', 200, 0, x'00', 9000000000000000)").await;
    zone.clock.advance(3 * DAY);
    pass(&zone).await;
    assert_eq!(epochs(&zone).await, [epoch(zone.now()) - 1]);
}

#[tokio::test]
async fn a_year_asleep_is_confirmed_before_anything_turns() {
    let mut zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    speak(&zone, &mut a, &mut b);
    pass(&zone).await;
    zone.clock.advance(366 * DAY);
    zone.restart().await;
    let refused = pass(&zone).await;
    assert!(!refused.believed && zone.kdc.rewrapper().refused());
    assert_eq!(epochs(&zone).await, [epoch(START); 2], "nothing is turned");
    let metrics = zone.kdc.metrics().page().unwrap();
    assert!(metrics.contains("keycell_clock_refused 1\n"), "{metrics}");
    // Everybody speaks all the same, before and after it is confirmed.
    speak(&zone, &mut a, &mut b);
    let view = zone.kdc.master_key().ratchet().await.unwrap();
    assert_eq!((view.believed, view.epoch, view.turned_to), (false, epoch(zone.now()), epoch(START) - 1));
    let desk = zone.kdc.master_key();
    assert!(desk.confirm(&Caller::console(), Epoch(view.epoch + 1)).await.is_err(), "not what it shows");
    let view = desk.confirm(&Caller::console(), Epoch(view.epoch)).await.unwrap();
    assert_eq!((view.believed, view.turned_to), (true, epoch(zone.now()) - 1));
    assert_eq!(epochs(&zone).await, [epoch(zone.now()) - 1; 2]);
    assert!(!zone.kdc.rewrapper().refused());
    zone.clock.advance(DAY / 24);
    speak(&zone, &mut a, &mut b);
    zone.restart().await;
    zone.clock.advance(DAY / 24);
    speak(&zone, &mut a, &mut b);
}

#[tokio::test]
async fn a_kdc_whose_clock_is_a_day_off_locks_nobody_out() {
    for ahead in [true, false] {
        let mut zone = Zone::new().await;
        let keys = [zone.party("a").await, zone.party("b").await];
        zone.party("c").await;
        // Hosts that were asleep until now: a ticket of the wrong day would hide what is looked for.
        let woken = |zone: &Zone| {
            let [a, b] = keys.clone();
            let (mut a, mut b) = (zone.agent_with("a", a, zone.now()), zone.agent_with("b", b, zone.now()));
            zone.clock.advance(1000);
            speak(zone, &mut a, &mut b);
        };
        zone.clock.advance(3 * DAY);
        let right = zone.now();
        pass(&zone).await;
        woken(&zone);
        // Wrong for a while, and a pass and a restart fall into it.
        zone.clock.set(if ahead { right.plus(DAY) } else { right.minus(DAY) });
        pass(&zone).await;
        zone.restart().await;
        pass(&zone).await;
        woken(&zone);
        let turned = if ahead { epoch(right) } else { epoch(right) - 1 };
        assert_eq!(epochs(&zone).await, [turned; 3], "a clock that is behind turns nothing back");
        zone.clock.set(right.plus(60_000));
        zone.restart().await;
        pass(&zone).await;
        woken(&zone);
    }
}

/// Keys that turned too far stay so; who comes after the clock was put right has nothing to do with it.
#[tokio::test]
async fn a_clock_that_was_far_ahead_harms_nobody_new() {
    let mut zone = Zone::new().await;
    zone.party("old").await;
    pass(&zone).await;
    let right = zone.now();
    zone.clock.set(right.plus(20 * DAY));
    assert!(pass(&zone).await.believed);
    zone.clock.set(right.plus(1000));
    pass(&zone).await;
    for restart in [false, true] {
        if restart {
            zone.restart().await;
            pass(&zone).await;
        }
        zone.clock.advance(60_000);
        let (mut a, mut b) = (zone.agent(&format!("a{restart}")).await, zone.agent("b").await);
        let message = zone.seal(&mut a, "b", b"x").unwrap();
        assert_eq!(b.open(zone.now(), &message).unwrap().body, b"x");
        zone.kdc
            .parties()
            .delete(&Caller::console(), &zone.name("b"), &keycell_kdc::administration::Precondition::NONE)
            .await
            .unwrap();
    }
    assert_eq!(epochs(&zone).await.into_iter().max(), Some(epoch(right) + 19));
}

#[tokio::test]
async fn hosts_on_either_side_of_midnight_are_understood_after_the_turn() {
    let zone = Zone::new().await;
    let (mut b, key) = (zone.agent("b").await, zone.party("a").await);
    let midnight = RatchetPeriod::DEFAULT.end(Epoch(epoch(START))).millis();
    zone.clock.set(midnight.plus(1000));
    pass(&zone).await;
    // The host's clock still shows the day before.
    let behind = midnight.minus(1000);
    let mut a = zone.agent_with("a", key.clone(), behind);
    let message = zone.seal_at(&mut a, behind, "b", b"x").unwrap();
    assert_eq!(b.open(zone.now(), &message).unwrap().body, b"x");
    // And the other way round: the KDC is the one that is behind.
    zone.clock.set(midnight.minus(500));
    pass(&zone).await;
    let ahead = midnight.plus(500);
    let mut a = zone.agent_with("a", key, ahead);
    let message = zone.seal_at(&mut a, ahead, "b", b"y").unwrap();
    assert_eq!(b.open(ahead, &message).unwrap().body, b"y");
}

#[tokio::test]
async fn disabled_parties_turn_too_and_speak_when_they_are_enabled() {
    let mut zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    zone.set_enabled("a", false).await;
    zone.clock.advance(5 * DAY);
    pass(&zone).await;
    assert_eq!(epochs(&zone).await, [epoch(START) + 4; 2]);
    zone.set_enabled("a", true).await;
    speak(&zone, &mut a, &mut b);
    zone.restart().await;
    zone.clock.advance(DAY);
    speak(&zone, &mut a, &mut b);
}

/// The batch breaks off in the middle, and the KDC with it: all of it or nothing is done, and the next one goes on.
#[tokio::test]
async fn a_batch_that_is_cut_off_is_done_again() {
    let mut zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    for n in 0..300 {
        zone.party(&format!("p{n:03}")).await;
    }
    zone.clock.advance(2 * DAY);
    zone.sql(
        "CREATE TRIGGER broken BEFORE UPDATE ON party_key WHEN new.party LIKE 'p290@%'
         BEGIN SELECT RAISE(ABORT, 'cut off'); END",
    )
    .await;
    assert!(zone.kdc.rewrapper().pass().await.is_err());
    let now = epoch(zone.now());
    let turned = async |zone: &Zone| epochs(zone).await.iter().filter(|epoch| **epoch == now - 1).count();
    assert_eq!(turned(&zone).await, 256, "the first batch, and nothing of the second");
    zone.restart().await;
    speak(&zone, &mut a, &mut b);
    zone.sql("DROP TRIGGER broken").await;
    assert_eq!(pass(&zone).await, Pass { written: 46, believed: true, ..Pass::default() });
    assert_eq!(turned(&zone).await, 302);
    zone.restart().await;
    zone.clock.advance(DAY / 24);
    speak(&zone, &mut a, &mut b);
}

fn master(zone: &Zone) -> MasterKeySource {
    zone.config.master_key.clone()
}

#[tokio::test]
async fn everything_goes_over_to_the_new_master_key() {
    let mut zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    let desk = zone.kdc.master_key();
    let refused = desk.rotate(&Caller::console()).await.unwrap_err().to_string();
    assert!(refused.contains("version 1") && refused.contains("master.key"), "{refused}");
    assert_eq!(master(&zone).append(None, &mut keycell_kdc::random::system()).unwrap(), 2);
    let view = desk.rotate(&Caller::console()).await.unwrap();
    assert!(view.active == 2 && view.remaining > 5 && !view.rewrapped, "{view:?}");
    // Half way, a restart: everything is read, whichever version it is under.
    zone.restart().await;
    speak(&zone, &mut a, &mut b);
    let new = zone.party("c").await;
    pass(&zone).await;
    let view = zone.kdc.master_key().show().await.unwrap();
    assert!(view.rewrapped && view.remaining == 0, "{view:?}");
    let versions: Vec<_> = view.versions.iter().map(|one| (one.version, one.rows > 0)).collect();
    assert_eq!(versions, [(1, false), (2, true)]);
    // It is recorded once that it began and once that it ended, however often it is looked at.
    pass(&zone).await;
    let query = AuditQuery { limit: 1000, ..AuditQuery::default() };
    let records = zone.kdc.ledger().store().audit(&query).await.unwrap();
    let count = |action: Action| records.iter().filter(|record| record.action == action.as_str()).count();
    assert_eq!([Action::MasterKeyRotate, Action::MasterKeyRewrapped].map(count), [1, 1]);
    // The old version is not needed any more.
    master(&zone).remove(1).unwrap();
    zone.restart().await;
    speak(&zone, &mut a, &mut b);
    let mut c = zone.agent_with("c", new, zone.now());
    zone.seal(&mut c, "b", b"x").unwrap();
    // A document that somebody deletes does not bring version 1 back.
    zone.sql_documents("setting", "DELETE FROM document WHERE id = 'master-key'").await;
    zone.restart().await;
    assert_eq!(zone.kdc.ledger().keyring().master_version(), 2);
}

#[tokio::test]
async fn without_the_active_version_no_kdc_starts() {
    let zone = Zone::new().await;
    master(&zone).append(None, &mut keycell_kdc::random::system()).unwrap();
    zone.kdc.master_key().rotate(&Caller::console()).await.unwrap();
    master(&zone).remove(2).unwrap();
    let error = keycell_kdc::cell::Cell::open(&zone.config).await.err().unwrap().to_string();
    assert!(error.contains("version 2") && error.contains("master.key"), "{error}");
    // Another key under its number is told apart from a damaged row.
    master(&zone).append(None, &mut keycell_kdc::random::system()).unwrap();
    let error = keycell_kdc::cell::Cell::open(&zone.config).await.err().unwrap().to_string();
    assert!(error.contains("not the master key of this database (version 2)"), "{error}");
}

#[tokio::test]
async fn the_zone_s_own_row_cannot_be_altered() {
    let zone = Zone::new().await;
    zone.kdc.close().await;
    for (alter, restore) in [
        ("ratchet_period = 60", "ratchet_period = 86400"),
        ("name = 'other.internal'", "name = 'cell1.internal'"),
    ] {
        zone.sql(&format!("UPDATE zone SET {alter}")).await;
        let error = keycell_kdc::cell::Cell::open(&zone.config).await.err().unwrap().to_string();
        assert!(error.contains("changed by hand"), "{alter}: {error}");
        zone.sql(&format!("UPDATE zone SET {restore}")).await;
        zone.cell().await.store.close().await;
    }
    zone.sql("DELETE FROM secret WHERE name = 'zone'").await;
    let error = keycell_kdc::cell::Cell::open(&zone.config).await.err().unwrap().to_string();
    assert!(error.contains("no zone"), "{error}");
}

#[tokio::test]
async fn a_key_that_was_given_is_known_again_after_it_has_turned() {
    use keycell_kdc::administration::NewEntry;
    use zeroize::Zeroizing;

    let zone = Zone::new().await;
    let mut entry = NewEntry::named(zone.name("a"));
    entry.secret = Some(Zeroizing::new([1; 32]));
    let create =
        async |entry: &NewEntry| zone.kdc.parties().create(&Caller::console(), entry, |_| Ok(None)).await;
    let first = create(&entry).await.unwrap();
    zone.clock.advance(9 * DAY);
    pass(&zone).await;
    let again = create(&entry).await.unwrap();
    assert!(again.retried);
    assert_eq!((again.key.epoch(), again.key.expose_secret()), (first.key.epoch(), &[1; 32]));
    entry.secret = Some(Zeroizing::new([2; 32]));
    assert!(create(&entry).await.is_err());
}
