//! The nanoprobe without its socket.

use super::*;
use keycell_client::protocol::{
    Epoch, Generation, GroupChain, GroupKeys, GroupKeysWriter, HeldGroup, HeldKey, LongTermKey,
    RatchetPeriod, ReplyWriter, SignedGroupRequest, SignedRequest, Subkeys, UnixSeconds,
};
use keycell_client::{AgentConfig, AgentKey, KdcAddress, system_rng};

const NOW: UnixMillis = UnixMillis(1_766_059_200_000);
const END: UnixSeconds = NOW.seconds().plus(900);

fn party(name: &str) -> (Agent, Subkeys) {
    let key = LongTermKey::generate(Generation::FIRST, epoch(), &mut system_rng());
    let subkeys = key.subkeys();
    let key = AgentKey::new(name.parse().unwrap(), key, RatchetPeriod::DEFAULT, KdcAddress::default());
    (Agent::new(key, &AgentConfig::default().first_use(), NOW, system_rng()), subkeys)
}

fn epoch() -> Epoch {
    RatchetPeriod::DEFAULT.epoch(NOW.seconds())
}

/// Gives the agent a ticket for the destination, as a KDC would.
fn grant((agent, own): &mut (Agent, Subkeys), to: &Name, theirs: &Subkeys) {
    agent.want(NOW, to).unwrap();
    let pending = agent.wants(NOW).unwrap();
    let request = SignedRequest::parse(&pending.body).unwrap().verify(&own.request).unwrap();
    let mut reply = ReplyWriter::new(&request, NOW);
    reply.grant_party(&request.destinations[0], theirs, END, END, &mut system_rng());
    let reply = reply.seal(&own.reply, &mut system_rng());
    assert_eq!(agent.take_reply(NOW, &pending, &reply).unwrap().granted, 1);
}

fn ask(agent: &mut Agent, body: &[u8]) -> Vec<u8> {
    agent.seal(NOW, &"nanoprobe.one@z".parse().unwrap(), DISCOVER, body).unwrap()
}

fn cell() -> ((Agent, Subkeys), (Agent, Subkeys), Probe) {
    let (mut cma, mut other) = (party("cma.main@z"), party("nanoprobe.two@z"));
    let (agent, keys) = party("nanoprobe.one@z");
    let name = agent.name().clone();
    grant(&mut cma, &name, &keys);
    grant(&mut other, &name, &keys);
    let probe = Probe::new(agent, cma.0.name().clone(), Some(Duration::ZERO), NOW);
    (cma, other, probe)
}

fn from() -> SocketAddr {
    "192.0.2.1:7424".parse().unwrap()
}

#[test]
fn its_key_file_turns_with_the_days() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.key");
    let made = epoch().0 - 9;
    let key = LongTermKey::generate(Generation::FIRST, Epoch(made), &mut system_rng());
    let today = key.clone().advance(epoch()).unwrap().subkeys();
    let name: Name = "nanoprobe.one@z".parse().unwrap();
    let file = AgentKey::new(name.clone(), key, RatchetPeriod::DEFAULT, KdcAddress::default());
    file.write_new(&path).unwrap();
    let (store, key) = KeyStore::open(&path).unwrap();
    let agent = Agent::keeping(key, &AgentConfig::default().first_use(), NOW, system_rng());
    let mut cma = party("cma.main@z");
    grant(&mut cma, &name, &today);
    let mut probe = Probe::new(agent, cma.0.name().clone(), None, NOW).keeping(store);
    let command = ask(&mut cma.0, &wire::body(&Command { want: Kind::ALL[0] }));
    assert!(matches!(probe.take(NOW, &command, from()), (Event::Answered(_), Some(_))));
    probe.keep().unwrap();
    assert_eq!(AgentKey::load(&path).unwrap().key.epoch(), Epoch(epoch().0 - 1));
}

#[test]
fn it_answers_its_cma_and_asks_no_kdc() {
    let ((mut cma, _), _, mut probe) = cell();
    for want in Kind::ALL {
        let command = ask(&mut cma, &wire::body(&Command { want }));
        let (event, answer) = probe.take(NOW, &command, from());
        assert!(matches!(event, Event::Answered(kind) if kind == want), "{event:?}");
        let (to, answer) = answer.unwrap();
        assert_eq!(to, from());
        assert!(answer.len() <= 1_400, "{want:?}: {}", answer.len());
        let opened = cma.open(NOW, &answer).unwrap();
        assert!(opened.is_reply() && opened.topic == DISCOVER);
        match serde_json::from_slice(&opened.body).unwrap() {
            Answer::Facts(facts) => assert_eq!(facts.kind(), want),
            Answer::Failed { why, .. } => panic!("{why}"),
        }
        // The same bytes again, as a network may deliver them.
        let (event, answer) = probe.take(NOW, &command, from());
        assert!(matches!(event, Event::Refused(error) if error.cause().code() == "replayed"));
        assert!(answer.is_none());
    }
    let stats = probe.agent.stats();
    assert_eq!((stats.requests, stats.opened, stats.replied), (0, 6, 6));
}

#[test]
fn it_obeys_nobody_else_and_nothing_else() {
    let ((mut cma, _), (mut other, _), mut probe) = cell();
    let command = wire::body(&Command { want: Kind::Os });
    let authentic = ask(&mut other, &command);
    let (event, answer) = probe.take(NOW, &authentic, from());
    assert!(matches!(event, Event::Disobeyed(source, _) if source == *other.name()));
    assert!(answer.is_none());
    for body in [&b"{\"want\":\"passwords\"}"[..], b"{\"want\":\"os\",\"and\":1}", b""] {
        let (event, answer) = probe.take(NOW, &ask(&mut cma, body), from());
        assert!(matches!(event, Event::Disobeyed(..)), "{event:?}");
        assert!(answer.is_none());
    }
    let topic = cma.seal(NOW, probe.agent.name(), "reboot", &command).unwrap();
    assert!(matches!(probe.take(NOW, &topic, from()).0, Event::Disobeyed(..)));
}

#[test]
fn what_is_said_to_its_group_waits_for_the_key_and_is_answered_under_its_own_ticket() {
    let (mut cma, cma_keys) = party("cma.main@z");
    let key = LongTermKey::generate(Generation::FIRST, epoch(), &mut system_rng());
    let own = (key.subkeys(), key.keys_for::<GroupKeys>());
    let name = "nanoprobe.one@z".parse().unwrap();
    let key = AgentKey::new(name, key, RatchetPeriod::DEFAULT, KdcAddress::default());
    let agent = Agent::new(key, &AgentConfig::default().first_use(), NOW, system_rng());
    let mut probe = Probe::new(agent, cma.name().clone(), None, NOW);
    let group: Name = "nanoprobe@z".parse().unwrap();
    let chain = GroupChain::generate(Generation(7), &mut system_rng());
    cma.want(NOW, &group).unwrap();
    let pending = cma.wants(NOW).unwrap();
    let request = SignedRequest::parse(&pending.body).unwrap().verify(&cma_keys.request).unwrap();
    let mut reply = ReplyWriter::new(&request, NOW);
    let key = (chain.generation(), &chain.key().ticket_key());
    reply.grant_group(&group, key, false, END, END, &mut system_rng());
    let reply = reply.seal(&cma_keys.reply, &mut system_rng());
    cma.take_reply(NOW, &pending, &reply).unwrap();
    let mut say = |want| cma.seal(NOW, &group, DISCOVER, &wire::body(&Command { want })).unwrap();
    let (first, second) = (say(Kind::Os), say(Kind::Cpu));

    let refused = probe.take(NOW, &first, from()).0;
    assert!(matches!(refused, Event::Refused(error) if error.cause().code() == "not-for-me"));
    probe.agent.join(NOW, &group);
    assert!(matches!(probe.take(NOW, &first, from()), (Event::Waiting, None)));
    assert!(probe.take_waiting(NOW).is_empty());
    let pending = probe.agent.wants(NOW).unwrap();
    let request = SignedGroupRequest::parse(&pending.body).unwrap().verify(&own.1).unwrap();
    let mut reply = GroupKeysWriter::new(&request, NOW, &[]);
    let held = HeldKey { key: chain.key(), begins: NOW.seconds(), ends: END };
    let (refresh_at, spread) = (NOW.plus(60_000), 0);
    let group = group.clone();
    reply.grant(HeldGroup { group, author_proof: false, refresh_at, spread, keys: vec![held] });
    let reply = reply.seal(&own.1, &mut system_rng());
    probe.agent.take_reply(NOW, &pending, &reply).unwrap();
    // It waits no longer, but there is no ticket to answer under.
    let [(Event::Unanswered(SealError::NoTicket { .. }), None)] = &probe.take_waiting(NOW)[..] else {
        panic!()
    };

    let mut both = (probe.agent, own.0);
    grant(&mut both, cma.name(), &cma_keys);
    probe.agent = both.0;
    let (event, answer) = probe.take(NOW, &second, from());
    assert!(matches!(event, Event::Answered(Kind::Cpu)), "{event:?}");
    let opened = cma.open(NOW, &answer.unwrap().1).unwrap();
    assert!(!opened.is_reply() && opened.source == *probe.agent.name());
    let (event, _) = probe.take(NOW, &second, from());
    assert!(matches!(event, Event::Refused(error) if error.cause().code() == "replayed"));
}

#[test]
fn heartbeats_answer_the_last_command_until_its_ticket_ends() {
    let ((mut cma, _), _, mut probe) = cell();
    assert!(probe.beat(NOW).is_none(), "nobody to tell yet");
    probe.take(NOW, &ask(&mut cma, &wire::body(&Command { want: Kind::Os })), from());
    for seconds in [5, 10] {
        let now = NOW.plus(seconds * 1000);
        let (event, message) = probe.beat(now).unwrap();
        assert!(matches!(event, Event::Heartbeat));
        let opened = cma.open(now, &message.unwrap().1).unwrap();
        assert_eq!(opened.topic, HEARTBEAT);
        let heartbeat: Heartbeat = serde_json::from_slice(&opened.body).unwrap();
        assert_eq!(heartbeat.up_seconds, seconds);
    }
    let (event, message) = probe.beat(END.millis()).unwrap();
    assert!(matches!(event, Event::Unanswered(SealError::ReplyTooLate { .. })));
    assert!(message.is_none());
    assert!(probe.beat(END.millis()).is_none());
    assert_eq!(probe.agent.stats().requests, 0);
}
