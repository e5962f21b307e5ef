//! What an attacker on the wire tries, and what it gets.
//!
//! It has what it needs to be dangerous: genuine commands that it took off the wire before they arrived, and the key
//! of nanoprobe.two. The verdicts are those of the receivers; nothing here decides what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keycell_client::https::Agent;
use keycell_client::protocol::Name;
use serde::Serialize;
use tokio::time::timeout;

use super::fleet::cma::{Cma, Event};
use super::forger::Forger;
use super::station::{Seen, Station};
use super::wire::Wire;
use super::{Failure, local};
use crate::clock::{Clock as _, SystemClock};

/// One thing that was tried.
#[derive(Debug, Serialize)]
pub(crate) struct Attack {
    /// Its name.
    pub(crate) name: &'static str,
    /// How it was done.
    pub(crate) how: String,
    /// Who was to be deceived.
    pub(crate) receiver: String,
    /// What the receiver did, how often; for what it refused, the code of the reason in its log.
    pub(crate) seen: BTreeMap<&'static str, u64>,
    /// The reason in words.
    pub(crate) reason: String,
    /// Whether that is what it should have done.
    pub(crate) held: bool,
}

/// The attacker, with everything in its reach.
pub(super) struct Attacker<'a> {
    cma: &'a mut Cma,
    stations: &'a mut [Station],
    wire: &'a Wire,
    done: Vec<Attack>,
}

impl<'a> Attacker<'a> {
    pub(super) fn new(cma: &'a mut Cma, stations: &'a mut [Station], wire: &'a Wire) -> Self {
        Self { cma, stations, wire, done: Vec::new() }
    }

    /// Tries everything, on a wire that is calm.
    ///
    /// # Errors
    /// Something cannot be tried: the wire took nothing, or the KDC does not answer.
    pub(super) async fn try_everything(mut self) -> Result<Vec<Attack>, Failure> {
        self.catch_up_all().await?;
        let command = self.wire.stolen(ONE).ok_or(NOTHING_STOLEN)?;
        self.tamper(&command).await?;
        self.replay(&command).await?;
        self.redirect(&command).await?;
        self.outlive().await?;
        self.forge().await?;
        Ok(self.done)
    }

    async fn tamper(&mut self, command: &[u8]) -> Result<(), Failure> {
        let mut seen = Vec::new();
        for at in 0..command.len() {
            let mut tampered = command.to_vec();
            if let Some(byte) = tampered.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
            seen.push(self.deliver(ONE, &tampered).await?);
        }
        let how = format!("one bit flipped, in each of its {} bytes in turn", command.len());
        self.note("tampered", how, ONE, &seen, |seen| matches!(seen, Seen::Refused(_)))
    }

    async fn replay(&mut self, command: &[u8]) -> Result<(), Failure> {
        let seen = self.deliver(ONE, command).await?;
        let how = "the command itself, only late: this one is genuine".to_owned();
        self.note("delayed", how, ONE, &[seen], |seen| seen == Seen::Answered)?;
        let seen = self.deliver(ONE, command).await?;
        let how = "the same bytes once more".to_owned();
        self.note("replayed", how, ONE, &[seen], refused_as(&["replayed"]))
    }

    async fn redirect(&mut self, command: &[u8]) -> Result<(), Failure> {
        let seen = self.deliver(TWO, command).await?;
        let how = "the same bytes to another host".to_owned();
        self.note("redirected", how, TWO, &[seen], refused_as(&["not-for-me"]))?;

        let (one, two) = (self.name(ONE)?, self.name(TWO)?);
        let readdressed = replaced(command, one.as_str().as_bytes(), two.as_str().as_bytes());
        let seen = self.deliver(TWO, &readdressed).await?;
        let how = "and with that host's name written into it".to_owned();
        self.note("redirected", how, TWO, &[seen], refused_as(&["ticket-forged", "no-key"]))
    }

    async fn outlive(&mut self) -> Result<(), Failure> {
        let command = self.wire.stolen(THREE).ok_or(NOTHING_STOLEN)?;
        let three = self.name(THREE)?;
        let end = self.cma.agent().ticket_expiration(&three).ok_or("the CMA has no ticket any more")?;
        let left = end.millis().distance(SystemClock.now());
        self.set_ahead(THREE, left + 1_000);
        let seen = self.deliver(THREE, &command).await;
        self.set_ahead(THREE, 0);
        let how =
            format!("a genuine command held back; the receiver's clock set {} min ahead", left / 60_000 + 1);
        self.note("expired", how, THREE, &[seen?], refused_as(&["expired"]))
    }

    async fn forge(&mut self) -> Result<(), Failure> {
        let (one, two) = (self.name(ONE)?, self.name(TWO)?);
        let cma = self.cma.agent().name().clone();
        let forger = Forger::steal(self.stations.get(TWO).ok_or(NO_STATION)?.key_file())?;
        let to_two = self.wire.stolen(TWO).ok_or(NOTHING_STOLEN)?;

        let grant = forger.ticket(&one).await?;
        let who = local(&two);
        let seen = self.deliver(ONE, &Forger::command(&cma, &grant)?).await?;
        let how = format!("{who} with a ticket of its own writes as {}", local(&cma));
        self.note("forged", how, ONE, &[seen], refused_as(&["forged"]))?;

        let seen = self.deliver(ONE, &forger.command_under(&to_two, &one)?).await?;
        let how = format!("{who} with the key in {}'s ticket for it writes as {0}", local(&cma));
        self.note("forged", how, ONE, &[seen], refused_as(&["ticket-forged", "no-key"]))?;

        let seen = self.answer(ONE, &forger.answer_as(&one, &to_two)?).await?;
        let how = format!("{who} with the same key answers {} as {}", local(&cma), local(&one));
        self.note_for(local(&cma).to_owned(), "forged", how, &[seen], refused_as(&["forged"]));

        let seen = self.deliver(ONE, &Forger::command(&two, &grant)?).await?;
        let how = format!("{who} commands in its own name: authentic, but not the CMA");
        self.note("presumed", how, ONE, &[seen], |seen| seen == Seen::Disobeyed)
    }

    /// Sends something to a nanoprobe and waits for its verdict.
    pub(super) async fn deliver(&mut self, at: usize, bytes: &[u8]) -> Result<Seen, Failure> {
        self.wire.to_nanoprobe(at, bytes).await?;
        self.next(at).await
    }

    /// The next verdict of a nanoprobe.
    pub(super) async fn next(&mut self, at: usize) -> Result<Seen, Failure> {
        let station = self.stations.get_mut(at).ok_or(NO_STATION)?;
        match timeout(PATIENCE, station.next()).await {
            Ok(Some(seen)) => Ok(seen),
            _ => Err(format!("{} did nothing with a datagram", local(station.name())).into()),
        }
    }

    /// Sends something to the CMA as if nanoprobe `at` had, and waits for its verdict.
    async fn answer(&mut self, at: usize, bytes: &[u8]) -> Result<Seen, Failure> {
        self.wire.to_cma(at, bytes).await?;
        let verdict = async {
            loop {
                match self.cma.step().await? {
                    // What the wire doubled before.
                    Some(Event::Refused(error)) if error.cause().code() == "replayed" => {}
                    Some(Event::Refused(error)) => return Ok::<_, Failure>(Seen::Refused(error.cause())),
                    Some(Event::Strange(_)) => return Ok(Seen::Disobeyed),
                    Some(Event::Answered(..)) => return Ok(Seen::Answered),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, verdict).await.map_err(|_| "the CMA did nothing with a datagram")?
    }

    /// Lets every nanoprobe do what is still to be done.
    pub(super) async fn catch_up_all(&mut self) -> Result<(), Failure> {
        for at in [ONE, TWO, THREE] {
            self.catch_up(at).await?;
        }
        Ok(())
    }

    /// Lets a nanoprobe do what is still to be done: until it refuses what certainly came last.
    async fn catch_up(&mut self, at: usize) -> Result<(), Failure> {
        let mut seen = self.deliver(at, b"noise").await?;
        while !matches!(seen, Seen::Refused(cause) if cause.code() == "magic") {
            let station = self.stations.get_mut(at).ok_or(NO_STATION)?;
            let next = timeout(PATIENCE, station.next()).await;
            seen = next.ok().flatten().ok_or("a nanoprobe did nothing with a datagram")?;
        }
        Ok(())
    }

    pub(super) fn note(
        &mut self,
        name: &'static str,
        how: String,
        at: usize,
        seen: &[Seen],
        right: impl Fn(Seen) -> bool,
    ) -> Result<(), Failure> {
        let receiver = local(&self.name(at)?).to_owned();
        self.note_for(receiver, name, how, seen, right);
        Ok(())
    }

    fn note_for(
        &mut self,
        receiver: String,
        name: &'static str,
        how: String,
        seen: &[Seen],
        right: impl Fn(Seen) -> bool,
    ) {
        let mut counts = BTreeMap::new();
        for one in seen {
            *counts.entry(code(*one)).or_default() += 1;
        }
        let reason = match seen {
            [Seen::Refused(cause)] => cause.to_string(),
            _ => String::new(),
        };
        let held = !seen.is_empty() && seen.iter().all(|seen| right(*seen));
        self.done.push(Attack { name, how, receiver, seen: counts, reason, held });
    }

    /// Notes what somebody said who is no nanoprobe.
    pub(super) fn note_verdict(
        &mut self,
        receiver: &str,
        name: &'static str,
        how: String,
        verdict: &'static str,
        held: bool,
    ) {
        let seen = BTreeMap::from([(verdict, 1)]);
        self.done.push(Attack {
            name,
            how,
            receiver: receiver.to_owned(),
            seen,
            reason: String::new(),
            held,
        });
    }

    /// What was tried since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Attack> {
        std::mem::take(&mut self.done)
    }

    /// The CMA's agent, which nobody but the CMA itself speaks through.
    pub(super) const fn cma(&self) -> &Agent {
        self.cma.agent()
    }

    /// A nanoprobe's key file, for who broke into its host.
    pub(super) fn key_file(&self, at: usize) -> Result<&Path, Failure> {
        Ok(self.stations.get(at).ok_or(NO_STATION)?.key_file())
    }

    pub(super) fn name(&self, at: usize) -> Result<Name, Failure> {
        Ok(self.stations.get(at).ok_or(NO_STATION)?.name().clone())
    }

    fn set_ahead(&self, at: usize, millis: u64) {
        if let Some(station) = self.stations.get(at) {
            station.set_ahead(millis);
        }
    }
}

const fn code(seen: Seen) -> &'static str {
    match seen {
        Seen::Answered => "answered",
        Seen::Disobeyed => "not obeyed",
        Seen::Waiting => "waiting",
        Seen::Refused(cause) => cause.code(),
    }
}

pub(super) fn refused_as(codes: &[&'static str]) -> impl Fn(Seen) -> bool {
    move |seen| matches!(seen, Seen::Refused(cause) if codes.contains(&cause.code()))
}

/// `bytes` with one name, of the same length, in the place of another.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(from.len()).position(|part| part == from);
    if let Some(part) = at.and_then(|at| bytes.get_mut(at..at + from.len()))
        && from.len() == to.len()
    {
        part.copy_from_slice(to);
    }
    bytes
}

pub(super) const ONE: usize = 0;
pub(super) const TWO: usize = 1;
pub(super) const THREE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(2);
const NOTHING_STOLEN: &str = "the wire lost no command that could be stolen";
const NO_STATION: &str = "there are fewer nanoprobes than attacks need";
