//! Groups from end to end: real KDCs over TLS, the agents that hosts embed, and the commands of an administrator.

#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "groups/evidence.rs"]
mod evidence;
#[path = "groups/examples.rs"]
mod examples;
#[path = "groups/fleet.rs"]
mod fleet;
#[path = "groups/many.rs"]
mod many;
#[path = "groups/outages.rs"]
mod outages;
#[path = "groups/removal.rs"]
mod removal;

use keycell_protocol::Name;
use keycell_tests::cell::Cell;

use fleet::{Fleet, GROUP, config, name};

/// From the making of the group to the last answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_reaches_every_member_and_nobody_else() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["group", "create", GROUP]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one", "nanoprobe.two", "nanoprobe.three"]).await;
    let stranger = fleet::agent(&cell, "other.host", config().agent.member_of([name(GROUP)]));

    let message = fleet.cma.seal(&name(GROUP), "discover", b"who are you").await.unwrap();
    for member in &fleet.members {
        let opened = member.open(&message).unwrap();
        assert_eq!((&opened.source, &opened.destination), (&name("cma.main"), &name(GROUP)));
        assert_eq!((opened.topic.as_str(), &opened.body[..]), ("discover", &b"who are you"[..]));
        assert!(opened.author().is_none());
        assert_eq!(member.open(&message).unwrap_err().cause().code(), "replayed");
    }
    // Who is no member is refused, and does not even wait.
    fleet::refused(&stranger).await;
    assert_eq!(stranger.open(&message).unwrap_err().cause().code(), "not-for-me");

    // An answer is a message of the member's own.
    let answer = fleet.members[0].seal(&name("cma.main"), "discover", b"one").await.unwrap();
    let opened = fleet.cma.open(&answer).unwrap();
    assert_eq!((&opened.source, opened.is_reply()), (&name("nanoprobe.one"), false));

    // Members asked for the group's keys once each, none because of a message.
    for member in &fleet.members {
        let stats = member.stats();
        assert_eq!((stats.group_requests, stats.group_refetches, stats.waited), (1, 0, 0), "{stats:?}");
    }
    let members = cell.run(&["group", "members", GROUP, "--json"]).succeeded().stdout;
    let members: serde_json::Value = serde_json::from_str(&members).unwrap();
    let members = members["members"].as_array().unwrap();
    let names: Vec<_> = members.iter().map(|member| member["name"].as_str().unwrap()).collect();
    let expected = ["nanoprobe.one", "nanoprobe.three", "nanoprobe.two"].map(name);
    assert_eq!(names, expected.each_ref().map(Name::as_str));
    let metrics = kdc.http().get("/metrics").await.text();
    assert!(metrics.contains("keycell_group_keys_total 3\n"), "{metrics}");
}

/// A group is whom one speaks to, never who speaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_nobody_s_source_and_nobody_s_name() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["group", "create", GROUP]).succeeded();
    let complaint = cell.run(&["party", "add", GROUP]).failed();
    assert!(complaint.contains(GROUP), "{complaint}");
    cell.run(&["party", "add", "lonely"]).succeeded();
    let complaint = cell.run(&["group", "create", "lonely"]).failed();
    assert!(complaint.contains("lonely"), "{complaint}");

    // Whoever asks as the group learns no more than who asks as nobody.
    let mut party = cell.add("a.host");
    party.name = name(GROUP);
    let request = party.request(&["lonely@test.internal"]);
    let as_the_group = kdc.http().tickets(party.sign(&request)).await;
    party.name = name("nobody");
    let request = party.request(&["lonely@test.internal"]);
    let as_nobody = kdc.http().tickets(party.sign(&request)).await;
    assert_eq!((as_the_group.status, as_the_group.kind()), (as_nobody.status, as_nobody.kind()));
    assert_eq!(as_the_group.status, 401);
}
