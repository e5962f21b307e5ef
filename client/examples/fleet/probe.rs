//! A nanoprobe: does as its CMA says, and speaks to no KDC.
//!
//! It needs no async runtime and no thread but one: [`Agent`] does no input or output, so it fits into whatever loop
//! there is. This one waits on a UDP socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use keycell_client::protocol::{CannotOpen, Name, UnixMillis};
use keycell_client::{Agent, KeyFileError, KeyStore, Opened, SealError, Stats};

use super::facts::{Facts, Kind};
use super::wire::{self, Answer, Command, DISCOVER, HEARTBEAT, Heartbeat, MAX_DATAGRAM};

/// One nanoprobe, without its socket.
pub(crate) struct Probe {
    agent: Agent,
    cma: Name,
    heartbeat: Option<Pace>,
    /// The CMA's last command, and where it came from: heartbeats answer it, again and again, under its ticket.
    last: Option<(Opened, SocketAddr)>,
    started_at: UnixMillis,
    keyfile: Option<Keyfile>,
}

/// What became of a datagram or a timer.
#[derive(Debug)]
pub(crate) enum Event {
    /// A command was obeyed.
    Answered(Kind),
    /// The CMA was told that all is well.
    Heartbeat,
    /// An authentic message, but not a command that is obeyed.
    Disobeyed(Name, &'static str),
    /// Not authentic. The cause is for this host's log; the sender hears nothing.
    Refused(CannotOpen),
    /// The answer could not be written.
    Unanswered(SealError),
    /// The key file could not be written. Nothing else waits for that.
    Unkept(KeyFileError),
}

impl Probe {
    /// A nanoprobe that starts `now` and obeys `cma` and nobody else.
    ///
    /// With `heartbeat` it sends a sign of life so often, from the first command on. That takes no ticket either: a
    /// heartbeat is one more answer to the last command, and ends with that command's ticket. A nanoprobe that had to
    /// speak first would need a ticket for its CMA, and so a way to a KDC.
    pub(crate) fn new(agent: Agent, cma: Name, heartbeat: Option<Duration>, now: UnixMillis) -> Self {
        let heartbeat = heartbeat.map(|every| Pace { every, due: Instant::now() + every });
        Self { agent, cma, heartbeat, last: None, started_at: now, keyfile: None }
    }

    /// Keeps the key file up: as the days pass the key turns, and what was recorded before stays closed to whoever
    /// steals the file.
    pub(crate) fn keeping(mut self, store: KeyStore) -> Self {
        self.keyfile = Some(Keyfile { store, due: Instant::now() });
        self
    }

    /// Answers on `socket` until `stop`, and tells `see` what happened.
    ///
    /// # Errors
    /// The socket fails for good.
    pub(crate) fn run(
        mut self,
        socket: &UdpSocket,
        now: impl Fn() -> UnixMillis,
        stop: &AtomicBool,
        mut see: impl FnMut(&Event, &Stats),
    ) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while !stop.load(Ordering::Relaxed) {
            socket.set_read_timeout(Some(self.patience()))?;
            let received = match socket.recv_from(&mut buffer) {
                Ok(received) => Some(received),
                Err(error) if is_passing(&error) => None,
                Err(error) => return Err(error),
            };
            let (event, answer) = match received {
                Some((size, from)) => self.take(now(), buffer.get(..size).unwrap_or_default(), from),
                None => match self.beat(now()) {
                    Some(beat) => beat,
                    None => continue,
                },
            };
            if let Some((to, bytes)) = answer {
                // A datagram that is not sent is a datagram that is lost: the CMA asks again.
                let _ = socket.send_to(&bytes, to);
            }
            see(&event, &self.agent.stats());
            if let Err(error) = self.keep() {
                see(&Event::Unkept(error), &self.agent.stats());
            }
        }
        Ok(())
    }

    /// Takes a datagram; gives what to send to whom.
    pub(crate) fn take(
        &mut self,
        now: UnixMillis,
        datagram: &[u8],
        from: SocketAddr,
    ) -> (Event, Option<Datagram>) {
        let opened = match self.agent.open(now, datagram) {
            Ok(opened) => opened,
            Err(error) => return (Event::Refused(error), None),
        };
        // Authentic is not yet allowed: the zone's policy may let others write here too.
        if opened.source != self.cma {
            return (Event::Disobeyed(opened.source, "it is not this nanoprobe's CMA"), None);
        }
        let command = (opened.topic == DISCOVER).then(|| serde_json::from_slice(&opened.body).ok()).flatten();
        let Some(Command { want }) = command else {
            return (Event::Disobeyed(opened.source, "not a command that is known here"), None);
        };
        let body = match Facts::discover(want) {
            Ok(facts) => facts.into_body(),
            Err(why) => wire::body(&Answer::Failed { want, why }),
        };
        // The key is in the ticket that the command carried: no KDC, not even for the first answer.
        match self.agent.reply(now, &opened, &body) {
            Ok(reply) => {
                self.last = Some((opened, from));
                (Event::Answered(want), Some((from, reply)))
            }
            Err(error) => (Event::Unanswered(error), None),
        }
    }

    fn beat(&mut self, now: UnixMillis) -> Option<(Event, Option<Datagram>)> {
        let pace = self.heartbeat.as_mut().filter(|pace| pace.due <= Instant::now())?;
        pace.due = Instant::now() + pace.every;
        let (last, to) = self.last.as_ref()?;
        let body = wire::body(&Heartbeat { up_seconds: now.minus(self.started_at.0).seconds().0 });
        match self.agent.reply_with_topic(now, last, HEARTBEAT, &body) {
            Ok(message) => Some((Event::Heartbeat, Some((*to, message)))),
            // Until the next command.
            Err(error) => {
                self.last = None;
                Some((Event::Unanswered(error), None))
            }
        }
    }

    /// A message may have turned the key. The answer is on its way already: a slow disk delays none.
    fn keep(&mut self) -> Result<(), KeyFileError> {
        let Some(keyfile) = self.keyfile.as_mut().filter(|keyfile| keyfile.due <= Instant::now()) else {
            return Ok(());
        };
        let Some(unsaved) = self.agent.unsaved() else { return Ok(()) };
        let saved = keyfile.store.save(&unsaved.key);
        match saved {
            Ok(()) => self.agent.saved(&unsaved),
            Err(_) => {
                self.agent.save_failed();
                keyfile.due = Instant::now() + TRY_AGAIN;
            }
        }
        saved
    }

    fn patience(&self) -> Duration {
        let until = |pace: &Pace| pace.due.saturating_duration_since(Instant::now());
        self.heartbeat.as_ref().map_or(LOOK_UP, until).clamp(Duration::from_millis(1), LOOK_UP)
    }
}

/// A datagram, and where it goes.
pub(crate) type Datagram = (SocketAddr, Vec<u8>);

struct Keyfile {
    store: KeyStore,
    /// After a failure: when to try again.
    due: Instant,
}

struct Pace {
    every: Duration,
    due: Instant,
}

/// A timeout, a signal, or the news that an earlier datagram found nobody: nothing to stop for.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | Interrupted | TimedOut | WouldBlock)
}

/// After the key file could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// How often it looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use keycell_client::protocol::{
        Epoch, Generation, LongTermKey, RatchetPeriod, ReplyWriter, SignedRequest, Subkeys, UnixSeconds,
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
}
