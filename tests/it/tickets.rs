//! Asking a real KDC for tickets, as parties do and as they must not (docs/protocol.md §7, §13, §14).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "tickets/kinds.rs"]
mod kinds;
#[path = "tickets/refused.rs"]
mod refused;
#[path = "tickets/replayed.rs"]
mod replayed;

use keycell_protocol::{Outcome, ProblemType, TicketKind, TicketRequest};
use keycell_tests::cell::Cell;
use keycell_tests::party::now;

#[tokio::test]
async fn one_destination() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (a, b) = (admin.add("a@test.internal").await, admin.add("b@test.internal").await);

    let request = a.request(&["b@test.internal"]);
    let answer = kdc.http().tickets(a.sign(&request)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let reply = a.open(&answer.body, &request).unwrap();
    assert!(reply.server_time.distance(now()) < 60_000);
    let [Outcome::Granted(grant)] = &reply.outcomes[..] else { panic!("{reply:?}") };
    assert_eq!((grant.destination.as_str(), grant.ticket.kind()), ("b@test.internal", TicketKind::Party));
    let life = grant.expiration.0 - reply.server_time.seconds().0;
    assert!((890..=900).contains(&life), "{life}");
    let renewal = grant.renew_after.0 - reply.server_time.seconds().0;
    assert!((450..=720).contains(&renewal), "{renewal}");

    // B derives the same keys from the ticket alone, and nobody else's key opens it.
    assert!(b.understands(&a.name, grant));
    assert!(!b.understands(&b.name, grant));
    assert!(!a.understands(&a.name, grant));
}

#[tokio::test]
async fn a_thousand_destinations_in_the_order_asked() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    let mut hosts = Vec::new();
    for n in 0..20 {
        hosts.push(admin.add(&format!("web.h{n}@test.internal")).await);
    }
    // Out of order, and each of them many times: every place gets a ticket of its own.
    let names: Vec<_> =
        (0..TicketRequest::MAX_DESTINATIONS).map(|n| format!("web.h{}@test.internal", n * 7 % 20)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();

    let outcomes = a.ask(&kdc.http(), &names).await.unwrap();
    assert_eq!(outcomes.len(), 1000);
    let mut tickets = Vec::new();
    for (n, outcome) in outcomes.iter().enumerate() {
        let Outcome::Granted(grant) = outcome else { panic!("{n}: {outcome:?}") };
        assert_eq!(grant.destination.as_str(), names[n]);
        assert!(hosts[n * 7 % 20].understands(&a.name, grant));
        tickets.push(grant.ticket.as_bytes().to_vec());
    }
    tickets.sort();
    tickets.dedup();
    assert_eq!(tickets.len(), 1000);
}

#[tokio::test]
async fn a_refused_destination_does_not_spoil_the_others() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    for name in ["b@test.internal", "c@test.internal", "off@test.internal"] {
        admin.add(name).await;
    }
    assert_eq!(admin.set_enabled("off@test.internal", false).await.status, 200);

    let names = [
        "b@test.internal",
        "nobody@test.internal",
        "off@test.internal",
        "a@test.internal",
        "b@elsewhere.example",
        "c@test.internal",
    ];
    let outcomes = a.ask(&kdc.http(), &names).await.unwrap();
    let problems: Vec<_> = outcomes
        .iter()
        .zip(names)
        .map(|(outcome, name)| match outcome {
            Outcome::Granted(grant) => {
                assert_eq!(grant.destination.as_str(), name);
                None
            }
            Outcome::Refused { destination, problem } => {
                assert_eq!(destination.as_str(), name);
                *problem
            }
        })
        .collect();
    use ProblemType as P;
    assert_eq!(
        problems,
        [
            None,
            Some(P::UnknownDestination),
            Some(P::DestinationDisabled),
            Some(P::SelfDestination),
            Some(P::UntrustedZone),
            None
        ]
    );
}

#[tokio::test]
async fn a_reply_serves_one_request_of_one_party() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (a, b) = (admin.add("a@test.internal").await, admin.add("b@test.internal").await);
    let (first, second) = (a.request(&["b@test.internal"]), a.request(&["b@test.internal"]));
    let reply = kdc.http().tickets(a.sign(&first)).await.body;
    assert!(a.open(&reply, &first).is_ok());

    // Thrown back: as the answer to another request, to another party, or as a request.
    use keycell_protocol::ReplyError;
    assert_eq!(a.open(&reply, &second).unwrap_err(), ReplyError::AnotherRequest);
    assert_eq!(b.open(&reply, &first).unwrap_err(), ReplyError::Forged);
    assert_eq!(kdc.http().tickets(reply).await.kind(), ProblemType::MalformedRequest);
    let request = a.sign(&second);
    assert_eq!(a.open(&request, &second).unwrap_err(), ReplyError::Malformed);
}
