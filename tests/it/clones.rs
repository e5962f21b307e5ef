//! One key in two places: found by real KDCs, shown and cleared by administrators.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_client::{Agent, AgentConfig, AgentKey, SealError, system_rng};
use keycell_kdc::clock::{Clock as _, ManualClock, SystemClock};
use keycell_kdc::config::Config;
use keycell_kdc::enrollment::EnrollmentMode;
use keycell_kdc::kdc::Kdc;
use keycell_protocol::{Name, SignedRequest};
use keycell_tests::cell::Cell;
use keycell_tests::copies::{CONFLICTS, conflict};
use keycell_tests::host::Host;
use keycell_tests::http::Http;
use keycell_tests::party::{Party, now};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

fn name(local: &str) -> Name {
    format!("{local}@{}", Cell::ZONE).parse().unwrap()
}

/// A process that was started with a key file.
fn process(file: &Path) -> Agent {
    Agent::new(AgentKey::load(file).unwrap(), &AgentConfig::default().first_use(), now(), system_rng())
}

/// Writes to somebody that it has no ticket for yet.
async fn writes(agent: &mut Agent, to: &Name, kdc: &Http) {
    while let Err(error) = agent.seal(now(), to, "", b"hello") {
        assert!(matches!(error, SealError::NoTicket { .. }), "{error}");
        let pending = agent.wants(now()).unwrap();
        let answer = kdc.tickets(pending.body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        agent.take_reply(now(), &pending, &answer.body).unwrap();
    }
}

/// A cell with `a`, whose key file is copied to another machine, and with eight to write to.
fn copied_cell() -> (Cell, [PathBuf; 2]) {
    let cell = Cell::sqlite();
    cell.configure("limits = { shutdown_seconds = 5 }");
    (cell, [PathBuf::from("a.key"), PathBuf::from("elsewhere").join("a.key")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_key_file_raises_an_alarm_with_both_addresses() {
    let (cell, files) = copied_cell();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    cell.run(&["party", "add", "a"]).succeeded();
    let files = files.map(|file| cell.folder().join(file));
    std::fs::create_dir(files[1].parent().unwrap()).unwrap();
    std::fs::copy(&files[0], &files[1]).unwrap();
    let others: Vec<_> = (0..8).map(|n| name(&format!("b{n}"))).collect();
    for other in &others {
        admin.add(other.as_str()).await;
    }
    let mut places = [1, 2].map(|host| kdc.http_from([127, 0, 0, host].into()));
    let mut agents = files.each_ref().map(|file| process(file));
    assert_eq!(cell.run(&["party", "conflicts"]).succeeded().stdout, "There are no conflicts.\n");
    for other in &others {
        for (agent, place) in agents.iter_mut().zip(&mut places) {
            writes(agent, other, place).await;
        }
    }
    let conflict = until("it is raised", async || conflict(&admin, "a@test.internal").await).await;
    assert_eq!(conflict["enabled"], true);
    assert_eq!(conflict["same_host"], Value::Null);
    let copies = &conflict["copies"];
    assert_eq!(
        (&copies["kind"], &copies["addresses"]),
        (&json!("clone"), &json!(["127.0.0.1", "127.0.0.2"]))
    );
    let record = admin.recorded("conflict.raise", |record| record["action"] == "conflict.raise").await;
    assert_eq!((&record["actor"], &record["target"]), (&json!("kdc"), &json!("a@test.internal")));
    assert_eq!(record["detail"]["addresses"], copies["addresses"]);
    let raised = admin.records().await.into_iter().filter(|record| record["action"] == "conflict.raise");
    assert_eq!(raised.count(), 1);
    kdc.logs("a key is used at two addresses at once").await;

    // What an administrator sees of it, and does.
    let listed = cell.run(&["party", "conflicts"]).succeeded().stdout;
    assert!(listed.contains("a@test.internal  enabled  clone  127.0.0.1 and 127.0.0.2"), "{listed}");
    let listed = cell.run(&["--json", "party", "conflicts", "--kind", "clone"]).succeeded().stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["conflicts"], json!([conflict]));
    let shared = cell.run(&["party", "conflicts", "--kind", "shared"]).succeeded().stdout;
    assert_eq!(shared, "There are no conflicts.\n");
    let status = cell.run(&["status"]).succeeded().stdout;
    assert!(status.contains("WARNING conflicts: 1 of the parties"), "{status}");
    let metrics = admin.get("/metrics").await.text();
    assert!(metrics.contains("keycell_conflicts{kind=\"clone\"} 1"), "{metrics}");
    let cleared = cell.run(&["party", "conflicts", "--clear", "a"]).succeeded().stdout;
    assert_eq!(cleared, "The conflict of a@test.internal is cleared.\n");
    assert_eq!(
        cell.run(&["party", "conflicts", "--clear", "a"]).failed().trim(),
        "keycell: Not found: there is no conflict of a@test.internal"
    );
    let status = cell.run(&["status"]).succeeded().stdout;
    assert!(!status.contains("WARNING conflicts"), "{status}");
    let metrics = admin.get("/metrics").await.text();
    assert!(metrics.contains("keycell_conflicts{kind=\"clone\"} 0"), "{metrics}");
    admin.assert_intact().await;
}

/// A command beside a daemon that uses the same key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_beside_a_daemon_is_no_clone() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    cell.run(&["party", "add", "a"]).succeeded();
    let others = ["b", "c", "d"].map(name);
    for other in &others {
        admin.add(other.as_str()).await;
    }
    let (http, mut daemon) = (kdc.http(), process(&cell.folder().join("a.key")));
    writes(&mut daemon, &others[0], &http).await;
    cell.run(&["seal", "--key", "a.key", "--to", "c"]).succeeded();
    writes(&mut daemon, &others[2], &http).await;
    let conflict = until("it is raised", async || conflict(&admin, "a@test.internal").await).await;
    let copies = &conflict["copies"];
    assert_eq!(
        (&copies["kind"], &copies["addresses"]),
        (&json!("shared"), &json!(["127.0.0.1", "127.0.0.1"]))
    );
    kdc.logs("two processes use one key at once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_come_in_pages_and_are_cleared_one_by_one() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (here, there) = (kdc.http(), kdc.http_from([127, 0, 0, 2].into()));
    for local in ["a", "b", "c"] {
        let party = admin.add(name(local).as_str()).await;
        let other = if local == "b" { &here } else { &there };
        party.copied([&here, other], &admin).await;
    }
    let listed = async |query: &str| {
        let page = admin.get(&format!("{CONFLICTS}{query}")).await.json();
        let names: Vec<_> =
            page["conflicts"].as_array().unwrap().iter().map(|one| one["party"].clone()).collect();
        (Value::from(names), page["next"].clone())
    };
    let [a, b, c] = ["a@test.internal", "b@test.internal", "c@test.internal"];
    assert_eq!(listed("?limit=2").await, (json!([a, b]), json!(b)));
    assert_eq!(listed("?limit=2&after=b%40test.internal").await, (json!([c]), Value::Null));
    assert_eq!(listed("?kind=clone").await.0, json!([a, c]));
    assert_eq!(listed("?kind=shared").await.0, json!([b]));
    assert_eq!(listed("?kind=same-host").await.0, json!([]));
    let clear = async |name: &str| {
        admin.send(Method::DELETE, &format!("{CONFLICTS}/{name}"), &Value::Null).await.status
    };
    assert_eq!(clear("b%40elsewhere.example").await, 404);
    assert_eq!(clear("b%40test.internal").await, 204);
    assert_eq!(clear("b%40test.internal").await, 404);
    // With the party goes its conflict; it is not shown as one of the others.
    assert_eq!(admin.delete(a).await.status, 204);
    assert_eq!(listed("?kind=shared").await.0, json!([]));
    kdc.logs("conflict cleared").await;
}

/// After a fleet was copied, or made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_conflicts_are_cleared_at_once_and_none_that_was_not_seen_to() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Tofu).await;
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    cell.run(&["token", "create"]).succeeded();
    let (here, there) = (kdc.http(), kdc.http_from([127, 0, 0, 2].into()));
    let bundle = here.bundle().await;
    for local in ["a", "b"] {
        let party = admin.add(name(local).as_str()).await;
        let other = if local == "b" { &here } else { &there };
        party.copied([&here, other], &admin).await;
    }
    // Three of one host: the second and the third are known by another key, and the third is copied too.
    let hosts = [(); 3].map(|()| Host::new("nanoprobe", "web1.example"));
    let mut parties = Vec::new();
    for host in &hosts {
        parties.push(host.enroll(&here, &bundle).await.unwrap());
    }
    until("the third is seen to be copied", async || {
        parties[2].copied([&here, &there], &admin).await["copies"].is_object().then_some(())
    })
    .await;
    let [_, anew, both] = hosts.map(|host| host.name());
    let left = || {
        let listed = cell.run(&["--json", "party", "conflicts"]).succeeded().stdout;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let names = listed["conflicts"].as_array().unwrap().iter().map(|one| one["party"].clone());
        let mut names: Vec<_> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let sorted = |names: &[&str]| {
        let mut names: Vec<_> = names.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let [a, b] = ["a@test.internal", "b@test.internal"];
    assert_eq!(left(), sorted(&[a, b, &anew, &both]));

    let all = ["party", "conflicts", "--clear", "--all"];
    let of_kind = |kind| [&all[..], &["--kind", kind]].concat();
    let unasked = |of: &[&str]| cell.run(&[of, &["--yes"]].concat()).succeeded().stdout;
    // Nobody is at the terminal.
    let refused = cell.run(&of_kind("clone")).failed();
    assert!(refused.contains("1 conflict would be cleared") && refused.contains("--yes"), "{refused}");
    let told = unasked(&of_kind("clone"));
    assert_eq!(told, format!("1 conflict is cleared.\nThat of {both} is of another kind too, and stays.\n"));
    assert_eq!(left(), sorted(&[b, &anew, &both]));
    let told: Value =
        serde_json::from_str(&unasked(&[&of_kind("same-host")[..], &["--json"]].concat())).unwrap();
    assert_eq!(told, json!({ "cleared": [anew], "left": [both] }));
    assert_eq!(unasked(&all), "2 conflicts are cleared.\n");
    assert_eq!(left(), [""; 0]);
    assert_eq!(unasked(&all), "0 conflicts are cleared.\n");
    let cleared = admin.records().await.into_iter().filter(|record| record["action"] == "conflict.clear");
    assert_eq!(cleared.count(), 4);
    for arguments in [&["--clear"][..], &["--clear", "a", "--all"], &["--clear", "a", "--kind", "clone"]] {
        let refused = cell.run(&[&["party", "conflicts"], arguments].concat()).failed();
        assert!(refused.contains("write --clear NAME, --clear --all"), "{arguments:?}: {refused}");
    }
}

/// A KDC in this process, on the database of a cell, by a clock that a test sets.
async fn opened(cell: &Cell, clock: &Arc<ManualClock>) -> Kdc {
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    let cell = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    cell.into_kdc(config, clock.clone()).await.unwrap()
}

/// Each copy asks a KDC of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_find_together_what_neither_sees_alone() {
    let cell = Cell::postgres(&Postgres::shared());
    let party = {
        let mut kdc = cell.serve();
        let party = cell.admin(&kdc).add("a@test.internal").await;
        assert_eq!(kdc.terminate(), Some(0));
        party
    };
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let kdcs = [opened(&cell, &clock).await, opened(&cell, &clock).await];
    let asks = |turn: usize, process: u8, host: u8| {
        clock.advance(20_000);
        let json = signed(&party, process, &clock);
        let signed = SignedRequest::parse(&json).unwrap();
        kdcs[turn].tickets(&signed, Some([192, 0, 2, host].into())).unwrap();
    };
    let exchange = async || {
        for kdc in &kdcs {
            kdc.exchange_seen().await.unwrap();
            kdc.raise_copies().await.unwrap();
        }
        kdcs[0].conflicts().all().await.unwrap()
    };
    // One process asks both, and is followed by another: nothing.
    for (turn, process) in [(0, 1), (1, 1), (0, 1), (1, 2), (0, 2), (1, 2)] {
        asks(turn, process, 1);
        clock.advance(60_000);
        assert_eq!(exchange().await, []);
    }
    // Two, each at its own.
    let found = until("they tell one another", async || {
        asks(0, 2, 1);
        asks(1, 3, 2);
        clock.advance(20_000);
        exchange().await.pop()
    })
    .await;
    let addresses = found.copies.unwrap().addresses.map(|address| address.to_string());
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.2"]);
    for kdc in kdcs {
        kdc.close().await;
    }
}

fn signed(party: &Party, process: u8, clock: &ManualClock) -> Vec<u8> {
    let mut request = party.request(&["a@test.internal"]);
    request.timestamp = clock.now();
    request.instance = keycell_protocol::Instance([process; 16]);
    party.sign(&request)
}
