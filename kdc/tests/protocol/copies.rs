//! One key in two places: what raises an alarm, what does not, and what the KDC does of itself.

use std::net::IpAddr;

use keycell_client::system_rng;
use keycell_kdc::administration::{Asker, Caller, Precondition};
use keycell_kdc::audit::Record;
use keycell_kdc::enrollment::{ClonesRule, ConflictRecord, CopiesKind, EnrollmentSetting};
use keycell_kdc::kdc::Kdc;
use keycell_kdc::store::{Act, AuditQuery, Kind, Write};
use keycell_protocol::{
    GroupKeysRequest, Instance, LongTermKey, Nonce, ProblemType, RotationRequest, SignedGroupRequest,
    SignedRequest, SignedRotation, Step, TicketRequest,
};

use crate::zone::{DAY, Zone};

const MINUTE: u64 = 60_000;

/// A process that uses the key of `a`, on a host of its own.
#[derive(Clone, Copy)]
struct Process {
    number: u8,
    host: u8,
}

impl Process {
    const fn address(self) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, self.host))
    }

    fn request(self, zone: &Zone) -> TicketRequest {
        TicketRequest {
            source: zone.name("a"),
            destinations: vec![zone.name("b")],
            timestamp: zone.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance([self.number; 16]),
        }
    }

    /// Asks for a ticket, and lets the clock go on for a minute.
    fn asks(self, zone: &Zone, key: &LongTermKey) -> Result<(), ProblemType> {
        self.asks_at(&zone.kdc, zone, key)
    }

    fn asks_at(self, kdc: &Kdc, zone: &Zone, key: &LongTermKey) -> Result<(), ProblemType> {
        let answer = send(kdc, &self.request(zone), key, self.address());
        zone.clock.advance(MINUTE);
        answer
    }
}

fn send(kdc: &Kdc, request: &TicketRequest, key: &LongTermKey, from: IpAddr) -> Result<(), ProblemType> {
    let json = SignedRequest::sign(request, &key.subkeys()).unwrap().to_json();
    let signed = SignedRequest::parse(&json).unwrap();
    kdc.tickets(&signed, Some(from)).map(drop).map_err(|denied| denied.problem())
}

/// The first two on hosts of their own; the third on that of the first.
const ONE: Process = Process { number: 1, host: 1 };
const TWO: Process = Process { number: 2, host: 2 };
const BESIDE: Process = Process { number: 3, host: 1 };

impl Zone {
    /// A zone with `a`, whose key is given, and `b`.
    async fn with_a() -> (Self, LongTermKey) {
        let zone = Self::new().await;
        zone.party("b").await;
        let key = zone.party("a").await;
        (zone, key)
    }

    async fn conflicts(&self) -> Vec<ConflictRecord> {
        self.kdc.raise_copies().await.unwrap();
        self.kdc.conflicts().all().await.unwrap()
    }

    async fn told(&self, action: &str) -> Vec<Record> {
        let query = AuditQuery { action: Some(action.to_owned()), limit: 100, ..AuditQuery::default() };
        self.kdc.ledger().journal().query(&query).await.unwrap()
    }

    async fn set_clones(&self, clones: ClonesRule) {
        let body =
            serde_json::to_string(&EnrollmentSetting { clones, ..EnrollmentSetting::default() }).unwrap();
        let (ledger, id) = (self.kdc.ledger(), EnrollmentSetting::ID.to_owned());
        let document = ledger.keyring().seal_document(Kind::Setting, id, 1, body, &mut system_rng());
        let writes = vec![Write::PutDocument { document, expected: None }];
        ledger.commit(&Act { writes, events: Vec::new() }).await.unwrap();
    }

    async fn is_enabled(&self, local: &str) -> bool {
        self.kdc.ledger().store().party(&self.name(local)).await.unwrap().unwrap().enabled
    }
}

#[tokio::test]
async fn a_key_in_two_places_is_told_of_once_a_day() {
    let (zone, key) = Zone::with_a().await;
    ONE.asks(&zone, &key).unwrap();
    TWO.asks(&zone, &key).unwrap();
    assert_eq!(zone.conflicts().await, []);
    let at = zone.now();
    ONE.asks(&zone, &key).unwrap();
    let [conflict] = &zone.conflicts().await[..] else { panic!("not one conflict") };
    assert_eq!((&conflict.party, &conflict.same_host), (&zone.name("a"), &None));
    let copies = conflict.copies.as_ref().unwrap();
    assert_eq!((copies.kind, copies.addresses), (CopiesKind::Clone, [ONE.address(), TWO.address()]));
    assert_eq!((copies.first_at, copies.last_at), (at, at));
    let [raised] = &zone.told("conflict.raise").await[..] else { panic!("not one record") };
    assert_eq!((raised.actor.as_str(), raised.target.as_str()), ("kdc", "a@cell1.internal"));
    assert!(raised.detail.contains(r#""addresses":["192.0.2.1","192.0.2.2"]"#), "{}", raised.detail);
    assert!(raised.detail.contains(r#""kind":"clone""#), "{}", raised.detail);
    // They go on for a day and a bit: nothing is heard for a day, then once.
    while zone.now() <= at.plus(DAY + 4 * MINUTE) {
        ONE.asks(&zone, &key).unwrap();
        TWO.asks(&zone, &key).unwrap();
        zone.clock.advance(10 * MINUTE);
        zone.kdc.raise_copies().await.unwrap();
        zone.kdc.tidy();
    }
    assert_eq!(zone.told("conflict.raise").await.len(), 2);
    assert!(zone.is_enabled("a").await, "an alarm and no more");
    let page = zone.kdc.metrics().page().unwrap();
    for line in [
        "keycell_conflicts{kind=\"clone\"} 1",
        "keycell_conflicts{kind=\"shared\"} 0",
        "keycell_conflicts_raised_total{kind=\"clone\"} 2",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn restarts_late_requests_and_strangers_raise_nothing() {
    let (mut zone, key) = Zone::with_a().await;
    for number in 1..20 {
        let process = Process { number, host: number % 3 };
        process.asks(&zone, &key).unwrap();
        // Signed before the next process began, come after it was seen.
        let late = process.request(&zone);
        zone.clock.advance(1000);
        let next = Process { number: number + 1, host: 1 };
        next.asks(&zone, &key).unwrap();
        if number % 4 == 0 {
            zone.restart().await;
        }
        let _ = send(&zone.kdc, &late, &key, process.address());
    }
    // What is not signed with the key says nothing of who has it; nor does what is sent again.
    let last = Process { number: 20, host: 1 };
    let stranger = LongTermKey::new(key.generation(), key.epoch(), [9; 32]);
    for number in 30..40 {
        let process = Process { number, host: number };
        assert_eq!(process.asks(&zone, &stranger), Err(ProblemType::Unauthenticated));
        let again = last.request(&zone);
        send(&zone.kdc, &again, &key, last.address()).unwrap();
        assert_eq!(send(&zone.kdc, &again, &key, process.address()), Err(ProblemType::Replayed));
    }
    assert_eq!(zone.conflicts().await, []);
}

#[tokio::test]
async fn requests_of_every_kind_count() {
    let (zone, key) = Zone::with_a().await;
    ONE.asks(&zone, &key).unwrap();
    let request = GroupKeysRequest {
        source: zone.name("a"),
        groups: Vec::new(),
        timestamp: zone.now(),
        nonce: Nonce([1; 16]),
        instance: Instance([2; 16]),
    };
    let json = SignedGroupRequest::sign(&request, &key.keys_for()).unwrap().to_json();
    zone.kdc.group_keys(&SignedGroupRequest::parse(&json).unwrap(), Some(TWO.address())).unwrap();
    zone.clock.advance(MINUTE);
    let request = RotationRequest {
        source: zone.name("a"),
        step: Step::Stage,
        timestamp: zone.now(),
        nonce: Nonce([2; 16]),
        instance: Instance([1; 16]),
    };
    let json = SignedRotation::sign(&request, &key.keys_for()).to_json();
    let asker = Asker { address: Some(ONE.address()), ..Asker::default() };
    zone.kdc.rotate(&SignedRotation::parse(&json).unwrap(), &asker).await.unwrap();
    assert_eq!(zone.conflicts().await.len(), 1);
}

#[tokio::test]
async fn a_conflict_that_is_cleared_comes_again_if_it_goes_on() {
    let (zone, key) = Zone::with_a().await;
    let (caller, a) = (Caller::console(), zone.name("a"));
    let cleared = async || zone.kdc.conflicts().clear(&caller, &a).await.map_err(|error| error.to_string());
    assert_eq!(cleared().await, Err("there is no conflict of a@cell1.internal".to_owned()));
    for process in [ONE, TWO, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    assert_eq!(zone.conflicts().await.len(), 1);
    cleared().await.unwrap();
    assert!(cleared().await.is_err());
    let [record] = &zone.told("conflict.clear").await[..] else { panic!("not one record") };
    assert!(record.detail.contains(r#""kinds":["clone"]"#), "{}", record.detail);
    // The copy is gone.
    for _ in 0..10 {
        ONE.asks(&zone, &key).unwrap();
    }
    assert_eq!(zone.conflicts().await, []);
    // It is not.
    TWO.asks(&zone, &key).unwrap();
    assert_eq!(zone.conflicts().await.len(), 1);
}

#[tokio::test]
async fn a_row_that_somebody_altered_is_written_over() {
    let (zone, key) = Zone::with_a().await;
    for process in [ONE, TWO, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    assert_eq!(zone.conflicts().await.len(), 1);
    for (number, damage) in ["body = replace(body, 'clone', 'shared')", "revision = -1"].iter().enumerate() {
        zone.sql_documents("conflict", &format!("UPDATE document SET {damage} WHERE kind = 'conflict'"))
            .await;
        assert_eq!(zone.conflicts().await, [], "{damage}");
        TWO.asks(&zone, &key).unwrap();
        assert_eq!(zone.conflicts().await.len(), 1, "{damage}");
        assert_eq!(zone.told("conflict.raise").await.len(), number + 2);
        ONE.asks(&zone, &key).unwrap();
        zone.kdc.raise_copies().await.unwrap();
    }
}

#[tokio::test]
async fn the_conflict_of_a_party_goes_with_it() {
    let (zone, key) = Zone::with_a().await;
    for process in [ONE, TWO, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    assert_eq!(zone.conflicts().await.len(), 1);
    TWO.asks(&zone, &key).unwrap();
    zone.kdc.parties().delete(&Caller::console(), &zone.name("a"), &Precondition::NONE).await.unwrap();
    // What was found of it before is of no use any more.
    assert_eq!(zone.conflicts().await.len(), 1);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.conflicts().await, []);
    assert_eq!(zone.kdc.conflicts().look().await.unwrap(), 0);
    // One that is made again begins anew.
    let key = zone.party("a").await;
    for process in [TWO, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    assert_eq!(zone.conflicts().await, []);
}

#[tokio::test]
async fn a_clone_is_disabled_where_the_zone_wants_it() {
    let (zone, key) = Zone::with_a().await;
    zone.set_clones(ClonesRule::Disable).await;
    for process in [ONE, BESIDE, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    let conflicts = zone.conflicts().await;
    assert_eq!(conflicts[0].copies.as_ref().unwrap().kind, CopiesKind::Shared);
    assert!(zone.is_enabled("a").await, "a key that is shared is no clone");
    // Commands that run once, by another way to the KDC: an alarm as it was, and no more.
    for number in 10..20 {
        Process { number, host: 2 }.asks(&zone, &key).unwrap();
        ONE.asks(&zone, &key).unwrap();
        let conflicts = zone.conflicts().await;
        assert_eq!(conflicts[0].copies.as_ref().unwrap().kind, CopiesKind::Clone);
        assert!(zone.is_enabled("a").await, "neither of two came back");
    }
    for process in [TWO, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    zone.kdc.raise_copies().await.unwrap();
    assert!(zone.is_enabled("a").await);
    TWO.asks(&zone, &key).unwrap();
    zone.kdc.raise_copies().await.unwrap();
    assert!(!zone.is_enabled("a").await);
    for process in [ONE, TWO] {
        assert_eq!(process.asks(&zone, &key), Err(ProblemType::PartyDisabled));
    }
    let [disabled] = &zone.told("party.disable").await[..] else { panic!("not one record") };
    assert_eq!((disabled.actor.as_str(), disabled.target.as_str()), ("kdc", "a@cell1.internal"));
    // Enabled again by somebody who did not look where the copy is: disabled again, though nothing new is told.
    zone.set_enabled("a", true).await;
    let raised = zone.told("conflict.raise").await.len();
    for process in [ONE, TWO, ONE] {
        process.asks(&zone, &key).unwrap();
    }
    zone.kdc.raise_copies().await.unwrap();
    assert!(!zone.is_enabled("a").await);
    assert_eq!(zone.told("conflict.raise").await.len(), raised);
}

/// Each copy asks a KDC of its own: what one saw, the other hears with the next exchange.
#[tokio::test]
async fn copies_that_ask_different_kdcs_are_found() {
    let (zone, key) = Zone::with_a().await;
    let other = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    for _ in 0..3 {
        ONE.asks(&zone, &key).unwrap();
        TWO.asks_at(&other, &zone, &key).unwrap();
        for kdc in [&zone.kdc, &other] {
            kdc.exchange_seen().await.unwrap();
            kdc.raise_copies().await.unwrap();
        }
    }
    let [conflict] = &zone.conflicts().await[..] else { panic!("not one conflict") };
    let copies = conflict.copies.as_ref().unwrap();
    assert_eq!((copies.kind, copies.addresses), (CopiesKind::Clone, [ONE.address(), TWO.address()]));
    assert_eq!(zone.told("conflict.raise").await.len(), 1, "whichever of them found it");
    other.close().await;
}

/// A process that asks one KDC, then another: there is one of it. And one that starts anew at another KDC.
#[tokio::test]
async fn one_host_that_changes_its_kdc_raises_nothing() {
    let (zone, key) = Zone::with_a().await;
    let other = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    for turn in 0..12 {
        let process = Process { number: turn / 3 + 1, host: turn / 3 };
        let kdc = if turn % 2 == 0 { &zone.kdc } else { &other };
        process.asks_at(kdc, &zone, &key).unwrap();
        for kdc in [&other, &zone.kdc, &other] {
            kdc.exchange_seen().await.unwrap();
            kdc.raise_copies().await.unwrap();
        }
    }
    assert_eq!(zone.conflicts().await, []);
    other.close().await;
}

#[tokio::test]
async fn a_kdc_that_starts_anew_knows_who_was_there() {
    let (mut zone, key) = Zone::with_a().await;
    ONE.asks(&zone, &key).unwrap();
    zone.kdc.exchange_seen().await.unwrap();
    zone.restart().await;
    TWO.asks(&zone, &key).unwrap();
    ONE.asks(&zone, &key).unwrap();
    assert_eq!(zone.conflicts().await.len(), 1);
}
