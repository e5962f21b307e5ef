//! The keys of groups, end to end: two KDCs of one zone on PostgreSQL, over real connections.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use keycell_client::system_rng;
use keycell_kdc::administration::Caller;
use keycell_kdc::audit::Action;
use keycell_kdc::clock::{Clock as _, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::groups::{GroupRecord, begin_chain};
use keycell_kdc::store::{Act, Kind, Write};
use keycell_protocol::{Grant, GroupOutcome, HeldGroup, Outcome, ProblemType};
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;

const GROUP: &str = "web@test.internal";

/// Makes the group of the parties `web.*`, as an administrator on the cell's own files.
async fn make_group(cell: &Cell) {
    let config = Config::load(&cell.file(Config::FILE), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let now = SystemClock.now();
    let record = GroupRecord {
        name: GROUP.parse().unwrap(),
        members: vec!["web.*@test.internal".parse().unwrap()],
        excluded: std::collections::BTreeSet::default(),
        lifetime_seconds: 86_400,
        author_proof: false,
        note: String::new(),
        created_at: now,
        updated_at: now,
        revision: 1,
        chains: Vec::new(),
    };
    let random = &mut system_rng();
    let (record, chain) = begin_chain(record, now, &opened.keyring, random);
    let body = serde_json::to_string(&record).unwrap();
    let document = opened.keyring.seal_document(Kind::Group, "web".to_owned(), 1, body, random);
    let event = Caller::console().event(now, Action::GroupCreate, GROUP);
    let mut act = Act::new(Write::PutDocument { document, expected: None }, event);
    act.writes.extend(chain);
    opened.store.commit(&act, &opened.audit_key).await.unwrap();
    opened.store.close().await;
}

async fn keys(member: &Party, kdc: &Http) -> Result<HeldGroup, ProblemType> {
    let reply = member.ask_for_groups(kdc, &[GROUP]).await.map_err(|answer| answer.kind())?;
    match reply.groups.into_iter().next().unwrap() {
        GroupOutcome::Granted(held) => Ok(held),
        GroupOutcome::Refused { problem, .. } => Err(problem.unwrap()),
    }
}

async fn ticket(from: &Party, kdc: &Http) -> Option<Box<Grant>> {
    match from.ask(kdc, &[GROUP]).await.unwrap().pop().unwrap() {
        Outcome::Granted(grant) => Some(grant),
        Outcome::Refused { .. } => None,
    }
}

fn opens(held: &HeldGroup, grant: &Grant) -> bool {
    held.keys.iter().any(|held| grant.ticket.open(&held.key.ticket_key()).is_ok())
}

/// Members go at two KDCs at the same moment: each removal is done, and each begins a chain of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_go_at_two_kdcs_at_once_are_all_shut_out() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, mut replica) = (cell.serve(), cell.replica());
    let (admin, there) = (cell.admin(&kdc), cell.admin(&replica));
    let sender = admin.add("a@test.internal").await;
    let good = admin.add("web.good@test.internal").await;
    let mut bad = Vec::new();
    for n in 0..6 {
        bad.push(admin.add(&format!("web.bad{n}@test.internal")).await);
    }
    make_group(&cell).await;
    for http in [&admin, &there] {
        until("the KDC knows the group and its last member", async || keys(&bad[5], http).await.ok()).await;
    }
    // A ticket of either opens with the keys of the other.
    for (one, other) in [(&admin, &there), (&there, &admin)] {
        let grant = ticket(&sender, one).await.unwrap();
        assert!(opens(&keys(&good, other).await.unwrap(), &grant) && grant.reply_sek.is_none());
    }
    let mut held = Vec::new();
    for party in &bad {
        held.push(keys(party, &there).await.unwrap());
    }

    let gone = bad.iter().enumerate().map(|(n, party)| {
        let (http, name) = (if n % 2 == 0 { &admin } else { &there }, party.name.as_str());
        let sender = &sender;
        async move {
            let answer = match n {
                0 | 1 => http.delete(name).await,
                _ => http.set_enabled(name, false).await,
            };
            assert!([200, 204].contains(&answer.status), "{name}: {}", answer.text());
            // In force at this KDC when the answer leaves.
            let refused = keys(party, http).await.unwrap_err();
            assert!([ProblemType::Unauthenticated, ProblemType::PartyDisabled].contains(&refused));
            let grant = ticket(sender, http).await.unwrap();
            (n, grant)
        }
    });
    let tickets = futures_util::future::join_all(gone).await;
    for (n, grant) in tickets {
        assert!(!opens(&held[n], &grant), "a ticket that was given after {n} was gone");
    }
    let rotated = admin.records().await;
    let rotated = rotated.iter().filter(|record| record["action"] == "group.rotate");
    let chains: Vec<_> = rotated.map(|record| record["detail"]["chain"].as_u64().unwrap()).collect();
    assert_eq!(chains, [2, 3, 4, 5, 6, 7], "one for each, none twice");
    // Both agree in the end, and who stayed opens everything.
    until("the two agree", async || {
        let grants = [ticket(&sender, &admin).await.unwrap(), ticket(&sender, &there).await.unwrap()];
        let (here, there) = (keys(&good, &admin).await.unwrap(), keys(&good, &there).await.unwrap());
        let same = grants[0].ticket.generation() == grants[1].ticket.generation();
        (same && grants.iter().all(|grant| opens(&here, grant) && opens(&there, grant))).then_some(())
    })
    .await;
    for (http, kdc) in [(&admin, &kdc), (&there, &replica)] {
        let metrics = http.get("/metrics").await.text();
        assert!(!metrics.contains("keycell_group_keys_total 0\n"), "{metrics}");
        assert!(!kdc.log().contains("panic"));
    }

    // Nothing of it is lost when one is killed, and the other has never heard of it.
    replica.kill9();
    replica = cell.replica();
    let there = cell.admin(&replica);
    for party in &bad[2..] {
        assert_eq!(keys(party, &there).await.unwrap_err(), ProblemType::PartyDisabled);
    }
    assert!(opens(&keys(&good, &there).await.unwrap(), &ticket(&sender, &admin).await.unwrap()));
    admin.assert_intact().await;
}
