//! The acts: aboard, robbed, recovered, back.

use std::sync::Arc;

use keycell_client::SealError;
use keycell_protocol::{Bundle, Generation, IdentityName, JoinToken, Name};
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::cell::Cell;
use super::crowd::Crowd;
use super::host::{Host, Package, Random, Recorded};
use super::thief::Thief;
use super::transcript::{Transcript, thousands};

/// The whole drill with so many hosts, and what did not go as it must.
pub(crate) async fn run(hosts: u32) -> Vec<String> {
    let mut cell = Cell::new(WINDOW).await;
    let start = cell.now();
    let mut told = Transcript::begin(start);
    let tokens = [cell.join_token("cma", 1).await, cell.join_token("nanoprobe", hosts + 1).await];
    let old = Arc::new(cell.bundle().await);
    told.say(start, "a cell; its secondary identity #KDC#00002 is in a safe");

    // Aboard.
    let mut crowd = Crowd::default();
    let package = |token: &JoinToken, service, peer| Package {
        bundle: old.clone(),
        token: token.clone(),
        service,
        peer,
    };
    crowd.join(Host::new(0, &package(&tokens[0], "cma", None), start), start);
    crowd.pass(&cell, start.plus(1_000)).await;
    let cma = crowd.hosts().next().expect("the CMA").name();
    let probe = package(&tokens[1], "nanoprobe", Some(cma.clone()));
    let mut random = Random::seed_from_u64(1);
    let rollout = u64::from(hosts) * 1_000 / ROLLOUT;
    for number in 1..=hosts {
        let mut host = Host::new(number, &probe, start.plus(1_000 + random.next_u64() % rollout));
        if number % hosts.div_ceil(RECORDED) == 0 {
            host.recorded = Some(Recorded::default());
        }
        crowd.join(host, start);
    }
    crowd.pass(&cell, start.plus(rollout + 30_000)).await;
    let first = crowd.hosts().nth(1).expect("a host").name();
    let now = cell.now();
    crowd.hosts_mut().next().expect("the CMA").speaks_to(now, &first);
    crowd.look_at(0, now);
    crowd.pass(&cell, start.plus(ORDINARY)).await;
    let events = crowd.events();
    told.enrolled(cell.now(), start, &events.enrolled);
    told.requests(cell.now(), &events);
    told.must(events.enrolled.total() == u64::from(hosts) + 1, "not all hosts enrolled");
    told.must(
        events.enrolled.total() == events.asked_to_enroll.total(),
        "a host was not enrolled at its first try",
    );

    // Robbed.
    let folder = tempfile::tempdir().expect("a temporary folder");
    cell.stop().await;
    let stolen = cell.copy_to(&folder.path().join("stolen"));
    cell.start().await;
    let mut thief = Thief::with(&stolen, &cell.clock).await;
    told.say(cell.now(), "stolen: the database and the master key, and with them all keys. Before anybody does anything, the thief");
    let now = cell.now();
    let works = ("is given tickets as hosts", true);
    let trial = thief.asks_as(works, &crowd.recorded(), (&cma, now), &cell.reached()).await;
    told.trial(&trial);
    crowd.pass(&cell, now.plus(60_000)).await;

    // Recovered.
    cell.stop().await;
    told.say(cell.now(), "the KDC is stopped, and the secondary fetched from its safe");
    crowd.events();
    crowd.pass(&cell, cell.now().plus(DOWN)).await;
    let said = cell.recover();
    told.say(cell.now(), "keycell identity recover:");
    said.lines().for_each(|line| println!("          | {line}"));
    cell.start().await;
    let up = cell.now();
    told.say(up, "the KDC serves again");
    for token in &tokens {
        cell.revoke(token).await;
    }

    // Back.
    crowd.pass(&cell, up.plus(LATE)).await;
    let events = crowd.events();
    told.enrolled(cell.now(), up, &events.enrolled);
    told.requests(cell.now(), &events);
    let all = u64::from(hosts) + 1;
    told.must(
        events.enrolled.total() == all,
        format!("{} of {all} hosts came back", events.enrolled.total()),
    );
    let even = all as f64 / WINDOW as f64;
    told.must(
        (events.enrolled.peak() as f64) < 2.0 * even + 6.0 * even.sqrt() + 6.0,
        "they came back in a storm",
    );
    let last = events.enrolled.span().map_or(u64::MAX, |(_, last)| last - up.seconds().0);
    told.must(last <= WINDOW + NOTICED, format!("the last came back after {last} s"));
    check(&mut told, &crowd);
    let heard = ask_all(&cell, &mut crowd, &mut told).await;
    told.say(cell.now(), &format!("the CMA wrote to each: {} opened it", thousands(heard)));
    told.must(heard == u64::from(hosts), format!("{heard} of {hosts} hosts open what is written to them"));

    // Robbed, and nothing gained.
    told.say(cell.now(), "the thief, with all that it has:");
    try_all(&cell, &mut crowd, &mut thief, &mut told, &old, &cma, &probe).await;
    let audit = cell.verify_audit().await;
    let intact = audit.get("intact").and_then(Value::as_bool) == Some(true);
    told.say(cell.now(), &format!("the audit log holds from its first record on: {intact}"));
    told.must(intact, audit.to_string());
    thief.stop().await;
    cell.stop().await;
    told.end()
}

/// All have a new key and the new bundle.
fn check(told: &mut Transcript, crowd: &Crowd) {
    let identities = [2, 3].map(IdentityName::new);
    let right = |host: &&Host| {
        let names: Vec<_> = host.bundle.identities.iter().map(|identity| Some(identity.name)).collect();
        names == identities && host.generation() == Some(Generation(2))
    };
    let (all, right) = (crowd.hosts().count(), crowd.hosts().filter(right).count());
    told.must(right == all, format!("{right} of {all} hosts have their second key and the new bundle"));
}

/// The CMA writes to each host: how many open it.
async fn ask_all(cell: &Cell, crowd: &mut Crowd, told: &mut Transcript) -> u64 {
    let mut hosts = crowd.hosts_mut();
    let cma = hosts.next().expect("the CMA");
    let mut heard = 0;
    let mut hosts: Vec<&mut Host> = hosts.collect();
    for some in hosts.chunks_mut(1_000) {
        // At the rate that a party has.
        cell.clock.advance(2_000);
        let now = cell.now();
        let names: Vec<Name> = some.iter().map(|host| host.name()).collect();
        for name in &names {
            let want = cma.agent.as_mut().expect("enrolled").seal(now, name, "discover", b"{}");
            told.must(
                matches!(want, Ok(_) | Err(SealError::NoTicket { .. })),
                format!("no message to {name}"),
            );
        }
        cma.turn(now, &cell.reached()).await;
        for (host, name) in some.iter_mut().zip(&names) {
            let sealed = cma.agent.as_mut().expect("enrolled").seal(now, name, "discover", b"{}");
            let opened = sealed.is_ok_and(|message| {
                host.agent.as_mut().is_some_and(|agent| agent.open(now, &message).is_ok())
            });
            heard += u64::from(opened);
        }
    }
    heard
}

async fn try_all(
    cell: &Cell,
    crowd: &mut Crowd,
    thief: &mut Thief,
    told: &mut Transcript,
    old: &Bundle,
    cma: &Name,
    probe: &Package,
) {
    let (now, kdc) = (cell.now(), cell.reached());
    let new = cell.bundle().await;
    let recorded = crowd.recorded();
    thief.reads(&recorded).iter().for_each(|trial| told.trial(trial));
    let refused = ("is given tickets as hosts, with the keys that they had", false);
    told.trial(&thief.asks_as(refused, &recorded, (cma, now), &kdc).await);
    told.trial(&thief.replays(&recorded, &kdc).await);
    let token = recorded.iter().find_map(|host| thief.join_token(host));
    told.must(token.is_some(), "the thief reads no join token");
    for (what, bundle, to, token) in [
        ("enrolls as hosts, with keys of its own", &new, 0, None),
        (
            "enrolls as hosts, with a join token that it read and that was revoked since",
            &new,
            0,
            token.as_ref(),
        ),
        ("enrolls as hosts, with the stolen identity", old, 0, token.as_ref()),
        ("enrolls as hosts, with the identity that is in the safe", &new, 1, token.as_ref()),
    ] {
        let to = bundle.identities.get(to).expect("two identities");
        told.trial(&thief.enrolls_as(what, &recorded, (bundle, to, token), now, &kdc).await);
    }
    let new_machine = |bundle: &Bundle| {
        Host::new(u32::MAX, &Package { bundle: Arc::new(bundle.clone()), ..probe.clone() }, now)
    };
    let fresh = ("enrolls, as its KDC, a new machine with the new bundle", false);
    told.trial(&thief.answers_new(fresh, new_machine(&new), now).await);
    let stale =
        ("enrolls, as its KDC, a new machine with the old bundle: why that is replaced at once", true);
    told.trial(&thief.answers_new(stale, new_machine(old), now).await);
    let mut some = crowd.take_recorded(now);
    told.trial(&thief.answers(&mut some, cell).await);
    told.trial(&thief.gives_tickets(&mut some, cell).await);
}

/// Over how many seconds hosts spread: `reenroll_within_seconds`.
const WINDOW: u64 = 600;
/// How many hosts come in a second of the roll-out.
const ROLLOUT: u64 = 1_000;
/// When the thief comes, in milliseconds after the start.
const ORDINARY: u64 = 20 * 60_000;
/// How long there is no KDC, in milliseconds.
const DOWN: u64 = 10 * 60_000;
/// When all must be back, in milliseconds.
const LATE: u64 = 40 * 60_000;
/// Within how many seconds each host asks for something, and believes that its keys are refused.
const NOTICED: u64 = 300;
/// Of how many hosts the thief has recorded all.
const RECORDED: u32 = 1_000;
