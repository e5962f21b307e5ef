//! The key of a trust, as the zone that asks keeps it: rotation, crashes in it, and its turning.

use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::api::TrustPatch;
use keycell_kdc::store::{AuditQuery, KeyState};
use keycell_kdc::trust::{Direction, HeldKeys, secret_name};
use keycell_protocol::{Generation, LongTermKey, Name};

use super::Pair;
use super::wire::Mood;
use crate::zone::DAY;
use crate::zones::trust::change_trust;

impl Pair {
    /// An administrator wants another key.
    async fn want_rotation(&self) {
        let generation = self.generation();
        change_trust(&self.here, Direction::Outgoing, &self.there, |trust| {
            trust.peer.as_mut().unwrap().rotate_from = Some(Generation(generation));
        })
        .await;
    }

    /// What is at rest here.
    async fn held(&self) -> HeldKeys {
        let ledger = self.here.kdc.ledger();
        let secret = ledger.store().secret(&secret_name(self.there.kdc.zone())).await.unwrap().unwrap();
        let trusts = self.here.kdc.directory().trusts();
        let trust = trusts.get(Direction::Outgoing, self.there.kdc.zone().as_str()).unwrap();
        let held = HeldKeys::open(ledger.keyring(), &secret).unwrap();
        assert_eq!(trust.peer.as_ref().unwrap().held, held.seen(secret.version));
        held
    }

    fn generation(&self) -> u32 {
        let trusts = self.here.kdc.directory().trusts();
        let trust = trusts.get(Direction::Outgoing, self.there.kdc.zone().as_str()).unwrap();
        trust.peer.as_ref().unwrap().held.unwrap().generation.0
    }

    /// The states of the keys over there.
    fn there(&self) -> Vec<(u32, KeyState)> {
        let name = Name::of_zone(self.here.kdc.zone(), self.there.kdc.zone());
        let zone = self.there.kdc.directory().zone(name.as_str()).unwrap();
        zone.record().keys.iter().map(|key| (key.generation.0, key.state)).collect()
    }

    async fn speaks(&self, key: &LongTermKey) -> bool {
        self.here.one("a", key, &self.there.name("b")).await.is_ok()
    }
}

fn generations(held: &HeldKeys) -> [Option<u32>; 2] {
    [&held.active, &held.staged].map(|key| key.as_ref().map(|key| key.generation().0))
}

#[tokio::test]
async fn the_key_is_rotated_when_it_is_wanted() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    assert!(pair.speaks(&key).await);
    pair.want_rotation().await;
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(generations(&pair.held().await), [Some(2), None]);
    assert_eq!(pair.there(), [(1, KeyState::Retiring), (2, KeyState::Active)]);
    assert!(pair.speaks(&key).await);
    // Once.
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(generations(&pair.held().await), [Some(2), None]);
    assert!(pair.here.kdc.peers().states()[0].generation == Some(Generation(2)));
}

#[tokio::test]
async fn a_crash_between_any_two_steps_loses_nothing() {
    let steps = [("stage", 0, [Some(1), None]), ("commit", 1, [Some(1), Some(2)])];
    for (lost, answered, stored) in steps {
        let mut pair = Pair::new().await;
        let key = pair.here.party("a").await;
        pair.there.party("b").await;
        pair.want_rotation().await;
        pair.wire.set(Mood::Forgets(answered));
        pair.here.kdc.peers().see_to_all().await;
        assert_eq!(generations(&pair.held().await), stored, "{lost}");
        pair.wire.set(Mood::Well);
        pair.restart().await;
        assert!(pair.speaks(&key).await, "after {lost}, before anybody sees to it");
        pair.here.kdc.peers().see_to_all().await;
        assert_eq!(generations(&pair.held().await), [Some(2), None], "{lost}");
        assert!(pair.speaks(&key).await);
    }
}

#[tokio::test]
async fn a_database_that_is_away_while_a_key_is_rotated_loses_nothing() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    pair.want_rotation().await;
    // Staged there, and not stored here: somebody else changed the trust at that moment.
    let meddles = async {
        while pair.wire.calls() < 2 {
            tokio::task::yield_now().await;
        }
        change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| trust.note = "x".to_owned()).await;
    };
    tokio::join!(pair.here.kdc.peers().see_to_all(), meddles);
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(generations(&pair.held().await), [Some(2), None]);
    assert!(pair.speaks(&key).await);
}

#[tokio::test]
async fn a_next_key_that_is_not_known_there_gives_way_to_another() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let active = pair.held().await.active;
    let epoch = active.as_ref().unwrap().epoch();
    let staged = Some(LongTermKey::new(Generation(9), epoch, [7; 32]));
    let held = HeldKeys { active, staged };
    let ledger = pair.here.kdc.ledger();
    let zone = pair.there.kdc.zone();
    let secret = held.seal(ledger.keyring(), zone, 2, &mut keycell_kdc::random::system());
    crate::zones::trust::write(
        &pair.here,
        vec![
            keycell_kdc::store::Write::DeleteSecret { name: secret_name(zone), version: 1 },
            keycell_kdc::store::Write::AddSecret(secret),
        ],
    )
    .await;
    change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| {
        trust.peer.as_mut().unwrap().held = held.seen(2);
    })
    .await;
    pair.wire.set(Mood::Dead);
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(generations(&pair.held().await), [Some(1), Some(9)]);
    // Nor does it go because one says that it is none: only a sealed answer puts another in its place.
    pair.wire.set(Mood::Refuses(0));
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(generations(&pair.held().await), [Some(1), Some(9)]);
    pair.wire.set(Mood::Well);
    pair.advance(60_000);
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(generations(&pair.held().await), [Some(2), None]);
    assert!(pair.speaks(&key).await);
    let query = AuditQuery { action: Some("trust.rotate".to_owned()), limit: 10, ..AuditQuery::default() };
    let told = pair.here.kdc.ledger().store().audit(&query).await.unwrap();
    assert_eq!(told.len(), 2, "the other one, and its commit: {told:#?}");
}

/// Whoever is on the way there, or a KDC that has not heard of it, denies what was done.
#[tokio::test]
async fn a_commit_that_is_denied_may_be_done_all_the_same() {
    for seen_to_again in [true, false] {
        let pair = Pair::new().await;
        let key = pair.here.party("a").await;
        pair.there.party("b").await;
        pair.want_rotation().await;
        pair.wire.set(Mood::Denies(1));
        pair.here.kdc.peers().see_to_all().await;
        assert_eq!(generations(&pair.held().await), [Some(1), Some(2)]);
        assert_eq!(pair.there(), [(1, KeyState::Retiring), (2, KeyState::Active)]);
        assert!(pair.speaks(&key).await);
        if seen_to_again {
            pair.advance(60_000);
            pair.here.kdc.peers().see_to_all().await;
            assert_eq!(generations(&pair.held().await), [Some(2), None]);
        }
        pair.advance(17 * 60_000);
        assert!(pair.speaks(&key).await, "the key before has ended");
        pair.here.kdc.peers().see_to_all().await;
        assert_eq!(generations(&pair.held().await), [Some(2), None]);
    }
}

#[tokio::test]
async fn a_step_that_is_refused_is_not_asked_for_each_second() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let (caller, peers) = (Caller::console(), pair.here.kdc.peers());
    let patch = serde_json::from_value(serde_json::json!({ "rotate_keys_after_days": 30 })).unwrap();
    pair.there.kdc.settings().change_zone(&caller, &patch, &Precondition::NONE).await.unwrap();
    // Later than any key of that age is let live on.
    pair.advance(34 * DAY);
    // Its key is due, and nobody is given the one that was offered.
    let (ours, theirs) = (pair.there.kdc.bundle().await.unwrap(), pair.here.kdc.bundle().await.unwrap());
    let terms = TrustPatch::default();
    let offered = pair.there.kdc.trusts().offer(&caller, (&ours, &theirs), &terms, None, |_| Ok(None));
    assert_eq!(offered.await.unwrap().trust.staged(), Some(Generation(2)));
    let asked = || {
        let urls = pair.wire.urls();
        (urls.iter().filter(|url| url.ends_with("/rotate")).count(), urls.len())
    };
    peers.see_to_all().await;
    assert_eq!(asked().0, 1);
    // No party is refused a ticket for that.
    assert_eq!(peers.states()[0].last.map(|last| last.outcome), Some("ok"));
    for _ in 0..30 {
        assert!(pair.speaks(&key).await);
        peers.see_to_news().await;
        pair.advance(1_000);
    }
    let (steps, all) = asked();
    assert_eq!(steps, 0);
    assert!(all <= 30 + 2, "{all}");
    // As long as it was told to wait, but for an hour at most.
    pair.advance(3_500_000);
    peers.see_to_all().await;
    assert_eq!(asked().0, 0);
    pair.advance(100_000);
    peers.see_to_all().await;
    assert_eq!(asked().0, 1);
}

/// With no key nothing is sent, so nothing comes of it that would let the next one through.
#[tokio::test]
async fn a_zone_that_there_is_no_key_for_is_not_looked_for() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    pair.wire.set(Mood::Dead);
    for _ in 0..5 {
        assert!(!pair.speaks(&key).await);
    }
    let held = async |held| {
        let mut before = None;
        change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| {
            before = std::mem::replace(&mut trust.peer.as_mut().unwrap().held, held);
        })
        .await;
        before
    };
    let before = held(None).await;
    pair.wire.set(Mood::Well);
    pair.advance(60_000);
    let breaker = || pair.here.kdc.peers().states()[0].breaker;
    assert_eq!(breaker(), "half-open");
    let calls = pair.wire.calls();
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!((pair.wire.calls(), breaker()), (calls, "half-open"));
    held(before).await;
    assert!(pair.speaks(&key).await);
    assert_eq!(breaker(), "closed");
}

#[tokio::test]
async fn a_rotation_that_does_not_go_on_keeps_no_key_from_turning() {
    for taken in [0, 1] {
        let pair = Pair::new().await;
        pair.want_rotation().await;
        pair.wire.set(Mood::Refuses(taken));
        let first = pair.held().await.active.unwrap().epoch().0;
        for day in 1..=3 {
            pair.advance(DAY);
            pair.here.kdc.peers().see_to_all().await;
            let held = pair.held().await;
            assert_eq!(generations(&held), [Some(1), Some(2).filter(|_| taken == 1)]);
            assert_eq!(held.active.unwrap().epoch().0, first + day - 1);
        }
    }
}

#[tokio::test]
async fn the_key_turns_at_rest_and_after_days_without_traffic() {
    let mut pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let first = pair.held().await.active.unwrap();
    pair.advance(10 * DAY);
    // Nobody asked for ten days.
    assert!(pair.speaks(&key).await);
    pair.here.kdc.peers().see_to_all().await;
    let turned = pair.held().await.active.unwrap();
    assert_eq!(turned.epoch().0, first.epoch().0 + 9);
    assert_eq!(
        turned.expose_secret(),
        first.advance(turned.epoch()).unwrap().expose_secret(),
        "the same key, turned"
    );
    pair.advance(10 * DAY);
    pair.restart().await;
    assert!(pair.speaks(&key).await);
}

#[tokio::test]
async fn a_clock_that_is_wrong_here_turns_no_key_where_nobody_follows() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let first = pair.held().await.active.unwrap();
    pair.here.clock.advance(100 * DAY);
    pair.here.kdc.peers().see_to_all().await;
    assert_eq!(pair.held().await.active.unwrap().epoch(), first.epoch());
    pair.here.clock.set(pair.there.now());
    assert!(pair.speaks(&key).await);
}
