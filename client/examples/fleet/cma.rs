//! A CMA: asks its nanoprobes what their hosts are, over a network that loses, doubles and reorders.
//!
//! Tickets come over HTTPS, one request for all hosts, and are renewed in the background. Every try is a new message:
//! the nanoprobe would refuse the same bytes twice.
//!
//! With a group it asks everybody by one message, which proves that it wrote it: a member of the group could make any
//! other. Who does not answer that is asked alone.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use keycell_client::https::{Agent, Error};
use keycell_client::protocol::{CannotOpen, Name, UnixMillis};
use keycell_client::{SealError, system_rng};
use rand_core::Rng as _;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::facts::{Facts, Kind};
use super::wire::{self, Answer, Command, DISCOVER, HEARTBEAT, Heartbeat, MAX_DATAGRAM};

/// One CMA with its hosts.
pub(crate) struct Cma {
    agent: Agent,
    socket: UdpSocket,
    hosts: BTreeMap<Name, Host>,
    buffer: Vec<u8>,
    commands: u64,
    group: Option<Name>,
    /// What the group is still to be asked.
    broadcast: Vec<Kind>,
    broadcasts: u64,
}

/// What the CMA knows of one host.
pub(crate) struct Host {
    /// Where its nanoprobe listens.
    pub(crate) address: SocketAddr,
    /// What it answered, and when, by its clock.
    pub(crate) answers: BTreeMap<Kind, (UnixMillis, Answer)>,
    /// When it last sent anything, by its clock.
    pub(crate) heard_at: Option<UnixMillis>,
    /// How many heartbeats came.
    pub(crate) heartbeats: u64,
    /// For how long its nanoprobe has been running, as its last heartbeat says.
    pub(crate) up_seconds: u64,
    asked: BTreeMap<Kind, Asked>,
}

/// What one step came to.
#[derive(Debug)]
pub(crate) enum Event {
    /// An answer, the first to its question.
    Answered(Name, Kind),
    /// One more answer to a question that was asked twice.
    AnsweredAgain,
    /// A sign of life.
    Heartbeat(Name),
    /// Authentic, but nothing that is understood here.
    Strange(Name),
    /// Not authentic. The cause is for the log.
    Refused(CannotOpen),
    /// No answer after all tries.
    Silent(Name, Kind),
    /// No ticket for a host, or the message could not be written for another reason.
    Unsealed(Name, SealError),
}

impl Cma {
    /// A CMA that knows where its nanoprobes listen.
    pub(crate) fn new(
        agent: Agent,
        socket: UdpSocket,
        hosts: impl IntoIterator<Item = (Name, SocketAddr)>,
    ) -> Self {
        let hosts = hosts.into_iter().map(|(name, address)| (name, Host::new(address))).collect();
        let buffer = vec![0; MAX_DATAGRAM];
        Self { agent, socket, hosts, buffer, commands: 0, group: None, broadcast: Vec::new(), broadcasts: 0 }
    }

    /// From now on it asks this group first, of which its nanoprobes are members.
    pub(crate) fn ask_group(&mut self, group: Name) {
        self.group = Some(group);
    }

    /// Gets tickets for all hosts, and for the group, at once and keeps them; gives those that there are none for.
    pub(crate) async fn prepare(&self) -> Vec<(Name, Error)> {
        let names: Vec<_> = self.hosts.keys().chain(&self.group).cloned().collect();
        let mut failed = self.agent.prefetch(&names).await;
        if let Some(group) = &self.group
            && let Err(error) = self.agent.prefetch_voucher().await
        {
            failed.push((group.clone(), error));
        }
        for name in &names {
            // Full tables are told by every message that is not sealed.
            let _ = self.agent.keep(name);
        }
        failed
    }

    /// Asks every host for everything, until all answered or were asked too often, and tells `see` what happens.
    /// `true` when all answered.
    ///
    /// # Errors
    /// The socket fails.
    pub(crate) async fn discover(&mut self, mut see: impl FnMut(&Self, &Event)) -> io::Result<bool> {
        self.ask_all();
        let mut complete = true;
        while self.hosts.values().any(|host| !host.asked.is_empty()) {
            if let Some(event) = self.step().await? {
                complete &= !matches!(event, Event::Silent(..));
                see(self, &event);
            }
        }
        Ok(complete)
    }

    /// Asks everybody every `every`, forever, and takes heartbeats in between.
    ///
    /// # Errors
    /// The socket fails.
    pub(crate) async fn watch(
        &mut self,
        every: Duration,
        mut see: impl FnMut(&Self, &Event),
    ) -> io::Result<()> {
        loop {
            let next = Instant::now() + every;
            self.ask_all();
            // Nothing is lost when a step is dropped half-way: it then waits for a datagram or a timer.
            while let Ok(event) = tokio::time::timeout_at(next, self.step()).await {
                if let Some(event) = event? {
                    see(self, &event);
                }
            }
        }
    }

    /// What is known of the hosts.
    pub(crate) const fn hosts(&self) -> &BTreeMap<Name, Host> {
        &self.hosts
    }

    /// Its agent.
    pub(crate) const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// How many commands it sent to one host each, all tries counted.
    pub(crate) const fn commands(&self) -> u64 {
        self.commands
    }

    /// How many commands it sent to the group.
    pub(crate) const fn broadcasts(&self) -> u64 {
        self.broadcasts
    }

    /// Wants to know everything about every host, from now on.
    fn ask_all(&mut self) {
        let now = Instant::now();
        for host in self.hosts.values_mut() {
            host.asked = Kind::ALL.map(|kind| (kind, Asked { tries: 0, next: now })).into();
        }
        if self.group.is_some() {
            self.broadcast = Kind::ALL.to_vec();
        }
    }

    /// Sends what is due and takes one datagram, or waits until something is due.
    pub(crate) async fn step(&mut self) -> io::Result<Option<Event>> {
        if let Some(event) = self.send_due().await {
            return Ok(Some(event));
        }
        let asked = self.hosts.values().flat_map(|host| host.asked.values());
        let due = asked.map(|asked| asked.next).min().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            received = self.socket.recv_from(&mut self.buffer) => match received {
                Ok((size, _)) => Ok(Some(self.take(size))),
                // An earlier datagram found nobody: to be asked again, as one that was lost.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
                Err(error) => Err(error),
            },
            () = tokio::time::sleep_until(due) => Ok(None),
        }
    }

    /// Sends the commands that are due; stops at the first thing worth telling.
    async fn send_due(&mut self) -> Option<Event> {
        if let Some(event) = self.send_broadcast().await {
            return Some(event);
        }
        let now = Instant::now();
        for (name, host) in &mut self.hosts {
            let due: Vec<_> =
                host.asked.iter().filter(|(_, asked)| asked.next <= now).map(|(kind, _)| *kind).collect();
            for kind in due {
                let Some(asked) = host.asked.get_mut(&kind) else { continue };
                if asked.tries == TRIES {
                    host.asked.remove(&kind);
                    return Some(Event::Silent(name.clone(), kind));
                }
                asked.count(now);
                match self.agent.try_seal(name, DISCOVER, &wire::body(&Command { want: kind })) {
                    Ok(message) => {
                        self.commands += 1;
                        // What cannot be sent now is as good as lost.
                        let _ = self.socket.send_to(&message, host.address).await;
                    }
                    // On its way: the next try finds it.
                    Err(SealError::NoTicket { .. }) => {}
                    Err(error) => return Some(Event::Unsealed(name.clone(), error)),
                }
            }
        }
        None
    }

    /// Sends what the group is to be asked: sealed once, the same bytes to every host. Where the network has multicast it is
    /// sent once, too.
    async fn send_broadcast(&mut self) -> Option<Event> {
        let group = self.group.as_ref()?;
        while let Some(kind) = self.broadcast.pop() {
            let body = wire::body(&Command { want: kind });
            let message = match self.agent.with_author_proof().try_seal(group, DISCOVER, &body) {
                Ok(message) => message,
                // Until there is one, everybody is asked alone.
                Err(SealError::NoTicket { .. } | SealError::NoVoucher) => continue,
                Err(error) => return Some(Event::Unsealed(group.clone(), error)),
            };
            self.broadcasts += 1;
            let now = Instant::now();
            for host in self.hosts.values_mut() {
                if let Some(asked) = host.asked.get_mut(&kind) {
                    asked.count(now);
                }
                let _ = self.socket.send_to(&message, host.address).await;
            }
        }
        None
    }

    fn take(&mut self, size: usize) -> Event {
        let opened = match self.agent.open(self.buffer.get(..size).unwrap_or_default()) {
            Ok(opened) => opened,
            Err(error) => return Event::Refused(error),
        };
        let name = opened.source.clone();
        // A reply, or, to what the group was asked, a message of its own: the source is as sure.
        let Some(host) = self.hosts.get_mut(&name).filter(|_| opened.destination == *self.agent.name())
        else {
            return Event::Strange(name);
        };
        host.heard_at = host.heard_at.max(Some(opened.sent_at));
        match opened.topic.as_str() {
            DISCOVER => match serde_json::from_slice::<Answer>(&opened.body) {
                Ok(answer) => host.answered(name, opened.sent_at, answer),
                Err(_) => Event::Strange(name),
            },
            HEARTBEAT => match serde_json::from_slice::<Heartbeat>(&opened.body) {
                Ok(heartbeat) => {
                    host.heartbeats += 1;
                    host.up_seconds = host.up_seconds.max(heartbeat.up_seconds);
                    Event::Heartbeat(name)
                }
                Err(_) => Event::Strange(name),
            },
            _ => Event::Strange(name),
        }
    }
}

impl Host {
    const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            answers: BTreeMap::new(),
            heard_at: None,
            heartbeats: 0,
            up_seconds: 0,
            asked: BTreeMap::new(),
        }
    }

    /// The facts of one kind, if it told them.
    pub(crate) fn facts(&self, kind: Kind) -> Option<&Facts> {
        match self.answers.get(&kind) {
            Some((_, Answer::Facts(facts))) => Some(facts),
            _ => None,
        }
    }

    fn answered(&mut self, name: Name, sent_at: UnixMillis, answer: Answer) -> Event {
        let kind = match &answer {
            Answer::Facts(facts) => facts.kind(),
            Answer::Failed { want, .. } => *want,
        };
        // An answer that was overtaken by a later one is older news.
        if self.answers.get(&kind).is_none_or(|(at, _)| *at <= sent_at) {
            self.answers.insert(kind, (sent_at, answer));
        }
        match self.asked.remove(&kind) {
            Some(_) => Event::Answered(name, kind),
            None => Event::AnsweredAgain,
        }
    }
}

/// A question without an answer yet.
struct Asked {
    tries: u32,
    next: Instant,
}

impl Asked {
    /// One more try: the next one after a wait that doubles, and differs from everybody else's.
    fn count(&mut self, now: Instant) {
        let wait = (FIRST_WAIT_MS << self.tries.min(16)).min(LONGEST_WAIT_MS);
        self.tries += 1;
        self.next = now + Duration::from_millis(wait + system_rng().next_u64() % (wait / 2));
    }
}

/// After so many tries without an answer a host is silent, about 15 seconds after the first.
const TRIES: u32 = 10;
const FIRST_WAIT_MS: u64 = 150;
const LONGEST_WAIT_MS: u64 = 2_000;
const IDLE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn load(load_1_minute: f64) -> Answer {
        Answer::Facts(Facts::Cpu { model: "x".into(), count: 1, load_1_minute })
    }

    #[test]
    fn an_answer_that_was_overtaken_changes_nothing() {
        let name: Name = "nanoprobe.one@z".parse().unwrap();
        let mut host = Host::new("192.0.2.1:7424".parse().unwrap());
        host.asked.insert(Kind::Cpu, Asked { tries: 1, next: Instant::now() });
        let take = |host: &mut Host, at, answer| host.answered(name.clone(), UnixMillis(at), answer);
        assert!(matches!(take(&mut host, 20, load(2.0)), Event::Answered(_, Kind::Cpu)));
        assert!(host.asked.is_empty());
        assert!(matches!(take(&mut host, 10, load(1.0)), Event::AnsweredAgain));
        assert_eq!(host.answers.get(&Kind::Cpu), Some(&(UnixMillis(20), load(2.0))));
        take(&mut host, 30, load(3.0));
        assert_eq!(host.answers.get(&Kind::Cpu), Some(&(UnixMillis(30), load(3.0))));

        let failed = Answer::Failed { want: Kind::Os, why: "no such file".into() };
        host.asked.insert(Kind::Os, Asked { tries: 1, next: Instant::now() });
        assert!(matches!(take(&mut host, 40, failed), Event::Answered(_, Kind::Os)), "an answer, too");
        assert_eq!(host.facts(Kind::Os), None);
    }

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let now = Instant::now();
        let mut asked = Asked { tries: 0, next: now };
        for bound in [150, 300, 600, 1_200, 2_000, 2_000] {
            asked.count(now);
            let waited = u64::try_from((asked.next - now).as_millis()).unwrap();
            assert!((bound..bound + bound / 2).contains(&waited), "{waited} {bound}");
        }
        let waits: std::collections::BTreeSet<_> = (0..20)
            .map(|_| {
                let mut asked = Asked { tries: 5, next: now };
                asked.count(now);
                asked.next
            })
            .collect();
        assert!(waits.len() > 1);
    }
}
