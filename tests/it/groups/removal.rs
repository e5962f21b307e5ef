//! Members that are removed, and groups that are rotated.

use keycell_protocol::Cause;
use keycell_tests::cell::Cell;
use keycell_tests::wait::until;

use super::fleet::{self, Fleet, GROUP, config, name, opens};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_opens_nothing_that_is_sent_under_new_tickets() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["group", "create", GROUP]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one", "nanoprobe.two", "nanoprobe.three"]).await;
    let [one, two, three] = &fleet.members[..] else { panic!() };
    let before = fleet.cma.seal(&name(GROUP), "", b"before").await.unwrap();

    cell.run(&["group", "members", GROUP, "--remove", "nanoprobe.three"]).succeeded();
    // Who was given a ticket before the removal is still heard by everybody, for a lifetime of the group at most.
    for member in &fleet.members {
        assert_eq!(member.open(&before).unwrap().body, b"before");
    }
    // Who is given one now is not heard by who was removed, whatever it does.
    let fresh = fleet::agent(&cell, "cma.second", config().agent);
    let after = fresh.seal(&name(GROUP), "", b"after").await.unwrap();
    for member in [one, two] {
        assert_eq!(opens(member, &after).await, b"after");
    }
    assert!(matches!(three.open(&after).unwrap_err().cause(), Cause::Waiting { .. }));
    fleet::refused(three).await;
    assert_eq!(three.open(&after).unwrap_err().cause().code(), "not-for-me");
    let again = fresh.seal(&name(GROUP), "", b"again").await.unwrap();
    assert_eq!(three.open(&again).unwrap_err().cause().code(), "not-for-me");

    // Disabling does the same in every group of the party.
    cell.run(&["party", "disable", "nanoprobe.two"]).succeeded();
    let third = fleet::agent(&cell, "cma.third", config().agent);
    let later = third.seal(&name(GROUP), "", b"later").await.unwrap();
    assert_eq!(opens(one, &later).await, b"later");
    assert!(matches!(two.open(&later).unwrap_err().cause(), Cause::Waiting { .. }));

    // Taken back, it is a member like before; what was said meanwhile stays closed only if nobody keeps it.
    cell.run(&["group", "members", GROUP, "--restore", "nanoprobe.three"]).succeeded();
    three.join(&name(GROUP));
    fleet::joined(three).await;
    let back = third.seal(&name(GROUP), "", b"welcome back").await.unwrap();
    assert_eq!(opens(three, &back).await, b"welcome back");
    let admin = cell.admin(&kdc);
    for action in ["group.create", "group.exclude", "group.include"] {
        admin.recorded(action, |record| record["action"] == action).await;
    }
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_rotated_loses_no_message_and_no_member() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    cell.run(&["group", "create", GROUP]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one", "nanoprobe.two"]).await;
    for round in 0..5_u8 {
        let on_its_way = fleet.cma.seal(&name(GROUP), "", &[round]).await.unwrap();
        cell.run(&["group", "rotate", GROUP]).succeeded();
        let fresh = fleet::agent(&cell, &format!("cma.r{round}"), config().agent);
        let after = fresh.seal(&name(GROUP), "", &[100 + round]).await.unwrap();
        for member in &fleet.members {
            assert_eq!(opens(member, &after).await, [100 + round]);
            // Under the chain before, or one before that: the CMA's ticket is still the first.
            assert_eq!(opens(member, &on_its_way).await, [round]);
        }
    }
    for member in &fleet.members {
        let stats = member.stats();
        assert_eq!((stats.waited, stats.waited_in_vain), (5, 0), "{stats:?}");
        assert!(stats.refused.is_empty(), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_gone_is_heard_of_no_more() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    cell.run(&["group", "create", GROUP]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one"]).await;
    cell.run(&["group", "delete", GROUP]).succeeded();
    let fresh = fleet::agent(&cell, "cma.second", config().agent);
    let error = fresh.seal(&name(GROUP), "", b"").await.unwrap_err();
    assert!(error.to_string().contains(GROUP), "{error}");
    // One of the same name is another: nothing that was held opens anything of it.
    cell.run(&["group", "create", GROUP, "--members", "other.*"]).succeeded();
    let third = fleet::agent(&cell, "cma.third", config().agent);
    let message = third.seal(&name(GROUP), "", b"to others").await.unwrap();
    let member = &fleet.members[0];
    assert!(matches!(member.open(&message).unwrap_err().cause(), Cause::Waiting { .. }));
    fleet::refused(member).await;
    until("it opens nothing", async || member.open_waiting().is_empty().then_some(())).await;
    assert_eq!(member.open(&message).unwrap_err().cause().code(), "not-for-me");
}
