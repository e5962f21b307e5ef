//! A nanoprobe: does as its CMA says. For what is said to it alone it speaks to no KDC; as a member of a group it does, for
//! the group's keys and for a ticket of its own to answer under.
//!
//! It needs no async runtime and no thread but one: [`Agent`] does no input or output, so it fits into whatever loop
//! there is. This one waits on a UDP socket, and looks up a few times a second.

mod orders;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use keycell_client::protocol::{CannotOpen, Cause, Name, UnixMillis};
use keycell_client::{Agent, HostStoreError, KeyStore, Membership, Opened, SealError, Stats, StoredHost};

use super::courier::Courier;
use super::facts::{Facts, Kind};
use super::wire::{self, Answer, Command, DISCOVER, HEARTBEAT, Heartbeat, MAX_DATAGRAM};

pub(crate) use orders::Orders;

/// One nanoprobe, without its socket.
pub(crate) struct Probe {
    agent: Agent,
    cma: Name,
    heartbeat: Option<Pace>,
    /// The CMA's last command, and where it came from: heartbeats answer it, again and again, under its ticket.
    last: Option<(Opened, SocketAddr)>,
    started_at: UnixMillis,
    keyfile: Option<Keyfile>,
    /// What its bundle is kept in.
    host: Option<StoredHost>,
    courier: Option<Courier>,
    /// The group that it is about to hear.
    joining: Option<Name>,
    /// Where the last message came from that waits for its group's key.
    waiting_for: Option<SocketAddr>,
}

/// What became of a datagram or a timer.
#[derive(Debug)]
pub(crate) enum Event {
    /// A command was obeyed.
    Answered(Kind),
    /// The CMA was told that all is well.
    Heartbeat,
    /// From now on it hears what is said to its group, and can answer.
    Joined(Name),
    /// An authentic message, but not a command that is obeyed.
    Disobeyed(Name, &'static str),
    /// Not authentic. The cause is for this host's log; the sender hears nothing.
    Refused(CannotOpen),
    /// To a group, under a key that is on its way from the KDC. It opens as soon as that is here.
    Waiting,
    /// The answer could not be written.
    Unanswered(SealError),
    /// The key file could not be written. Nothing else waits for that.
    Unkept(HostStoreError),
}

impl Probe {
    /// A nanoprobe that starts `now` and obeys `cma` and nobody else.
    ///
    /// With `heartbeat` it sends a sign of life so often, from the first command on. That takes no ticket either: a
    /// heartbeat is one more answer to the last command, and ends with that command's ticket. A nanoprobe that had to
    /// speak first would need a ticket for its CMA, and so a way to a KDC.
    pub(crate) fn new(agent: Agent, cma: Name, heartbeat: Option<Duration>, now: UnixMillis) -> Self {
        let heartbeat = heartbeat.map(|every| Pace { every, due: Instant::now() + every });
        Self {
            agent,
            cma,
            heartbeat,
            last: None,
            started_at: now,
            keyfile: None,
            host: None,
            courier: None,
            joining: None,
            waiting_for: None,
        }
    }

    /// Hears also what is said to a group of which it is a member. Its keys come over the courier; so does a ticket for the
    /// CMA, since what came to a group cannot be answered under the CMA's.
    fn join(&mut self, group: Name, courier: Courier, now: UnixMillis) {
        self.agent.join(now, &group);
        // Full tables, or that it is its own CMA, are told by every answer that is not sealed.
        let _ = self.agent.keep(now, &self.cma);
        self.joining = Some(group);
        self.courier = Some(courier);
    }

    /// Gives the agent what came from the KDC, and takes what waited for it.
    fn hear(&mut self, now: UnixMillis) -> io::Result<Vec<(Event, Option<Datagram>)>> {
        let Some(courier) = &self.courier else { return Ok(Vec::new()) };
        courier.turn(&mut self.agent, now)?;
        let mut outcomes = self.take_waiting(now);
        let is_member = |(group, membership): (Name, Membership)| {
            matches!(membership, Membership::Member { .. }) && self.joining.as_ref() == Some(&group)
        };
        if self.joining.is_some()
            && self.agent.groups(now).into_iter().any(is_member)
            && self.agent.ticket_expiration(now, &self.cma).is_some()
        {
            outcomes.extend(self.joining.take().map(|group| (Event::Joined(group), None)));
        }
        Ok(outcomes)
    }

    /// Keeps the key file up: as the days pass the key turns, and what was recorded before stays closed to whoever
    /// steals the file.
    ///
    /// As a host that enrolled it keeps a ticket for its CMA too: who never asks a KDC never hears that it has to enroll again.
    pub(crate) fn keeping(mut self, kept: impl Into<Kept>) -> Self {
        let Kept { keys, aboard } = kept.into();
        self.keyfile = Some(Keyfile { store: keys, due: Instant::now() });
        if let Some((host, courier)) = aboard {
            // Full tables, or that it is its own CMA, are told by every answer that is not sealed.
            let _ = self.agent.keep(self.started_at, &self.cma);
            self.courier = Some(courier);
            self.host = Some(host);
        }
        self
    }

    /// Answers on `socket` until it is told to stop, and tells `see` what happened.
    ///
    /// # Errors
    /// The socket fails for good.
    pub(crate) fn run(
        mut self,
        socket: &UdpSocket,
        now: impl Fn() -> UnixMillis,
        orders: &Orders,
        mut see: impl FnMut(&Event, &Stats),
    ) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while !orders.stop.load(Ordering::Relaxed) {
            if let Some((group, courier)) = orders.joining() {
                self.join(group, courier, now());
            }
            socket.set_read_timeout(Some(self.patience()))?;
            let received = match socket.recv_from(&mut buffer) {
                Ok(received) => Some(received),
                Err(error) if is_passing(&error) => None,
                Err(error) => return Err(error),
            };
            let mut outcomes = self.hear(now())?;
            outcomes.extend(match received {
                Some((size, from)) => Some(self.take(now(), buffer.get(..size).unwrap_or_default(), from)),
                None => self.beat(now()),
            });
            for (event, answer) in outcomes {
                if let Some((to, bytes)) = answer {
                    // A datagram that is not sent is a datagram that is lost: the CMA asks again.
                    let _ = socket.send_to(&bytes, to);
                }
                see(&event, &self.agent.stats());
            }
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
        match self.agent.open(now, datagram) {
            Ok(opened) => self.obey(now, opened, from),
            Err(error) if matches!(error.cause(), Cause::Waiting { .. }) => {
                self.waiting_for = Some(from);
                (Event::Waiting, None)
            }
            Err(error) => (Event::Refused(error), None),
        }
    }

    /// Takes what waited for the key of its group, if that is here.
    fn take_waiting(&mut self, now: UnixMillis) -> Vec<(Event, Option<Datagram>)> {
        let Some(from) = self.waiting_for else { return Vec::new() };
        let opened = self.agent.open_waiting(now);
        let taken = opened.into_iter().map(|opened| match opened {
            Ok(opened) => self.obey(now, opened, from),
            Err(error) => (Event::Refused(error), None),
        });
        taken.collect()
    }

    fn obey(&mut self, now: UnixMillis, opened: Opened, from: SocketAddr) -> (Event, Option<Datagram>) {
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
        // The key is in the ticket that the command carried: no KDC, not even for the first answer. What came to a group is
        // answered under this nanoprobe's own.
        match self.agent.reply(now, &opened, &body) {
            Ok(reply) => {
                if opened.destination == *self.agent.name() {
                    self.last = Some((opened, from));
                }
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
    fn keep(&mut self) -> Result<(), HostStoreError> {
        let Some(keyfile) = self.keyfile.as_mut().filter(|keyfile| keyfile.due <= Instant::now()) else {
            return Ok(());
        };
        let Some(unsaved) = self.agent.unsaved() else { return Ok(()) };
        let bundle = match (&self.host, &unsaved.bundle) {
            (Some(host), Some(bundle)) => host.keep_bundle(bundle),
            _ => Ok(()),
        };
        let saved = bundle.and_then(|()| Ok(keyfile.store.save(&unsaved.key)?));
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

/// What a nanoprobe keeps up: its key file, and as a host that enrolled its bundle, for which it needs the way to a KDC.
pub(crate) struct Kept {
    keys: KeyStore,
    aboard: Option<(StoredHost, Courier)>,
}

impl From<KeyStore> for Kept {
    fn from(keys: KeyStore) -> Self {
        Self { keys, aboard: None }
    }
}

impl From<(KeyStore, StoredHost, Courier)> for Kept {
    fn from((keys, host, courier): (KeyStore, StoredHost, Courier)) -> Self {
        Self { keys, aboard: Some((host, courier)) }
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
mod tests;
