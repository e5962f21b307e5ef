//! What is told as it happens.

use std::time::Instant;

use keycell_client::UnixMillis;

use super::tally::{Events, Tally};
use super::thief::Trial;

pub(crate) struct Transcript {
    start: UnixMillis,
    begun: Instant,
    faults: Vec<String>,
}

impl Transcript {
    pub(crate) fn begin(start: UnixMillis) -> Self {
        Self { start, begun: Instant::now(), faults: Vec::new() }
    }

    pub(crate) fn say(&self, now: UnixMillis, what: &str) {
        let seconds = now.distance(self.start) / 1_000;
        println!("{:02}:{:02}:{:02}  {what}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    }

    /// Notes what must be so.
    pub(crate) fn must(&mut self, held: bool, what: impl Into<String>) {
        if !held {
            self.faults.push(what.into());
        }
    }

    /// How many enrolled, and how fast, from that moment on.
    pub(crate) fn enrolled(&self, now: UnixMillis, since: UnixMillis, enrolled: &Tally) {
        let after = |second: Option<u64>| second.map_or(0, |second| second.saturating_sub(since.seconds().0));
        let (first, last) = enrolled.span().map_or((None, None), |(first, last)| (Some(first), Some(last)));
        self.say(
            now,
            &format!(
                "{} enrolled: the first after {} s, half after {} s, 99 % after {} s, the last after {} s; {:.0} a second, {} \
                 at most",
                thousands(enrolled.total()),
                after(first),
                after(enrolled.by(0.5)),
                after(enrolled.by(0.99)),
                after(last),
                enrolled.mean(),
                thousands(enrolled.peak()),
            ),
        );
    }

    pub(crate) fn requests(&self, now: UnixMillis, events: &Events) {
        let Events { enrolled: _, asked_to_enroll, unauthenticated, tickets, unanswered, problems } = events;
        self.say(
            now,
            &format!(
                "requests: {} for tickets answered, {} refused as unauthenticated, {} to enroll, {} that no KDC answered",
                thousands(tickets.total()),
                thousands(unauthenticated.total()),
                thousands(asked_to_enroll.total()),
                thousands(unanswered.total()),
            ),
        );
        for (problem, times) in problems {
            self.say(now, &format!("  {} {problem}", thousands(*times)));
        }
    }

    pub(crate) fn trial(&mut self, trial: &Trial) {
        let Trial { what, tried, succeeded, held } = trial;
        println!("          {:>6} of {:>6}  {what}", thousands(*succeeded), thousands(*tried));
        self.must(*held, format!("the thief {what}: {succeeded} of {tried}"));
    }

    pub(crate) fn end(self) -> Vec<String> {
        println!("\nIt took {} s on this machine.", self.begun.elapsed().as_secs());
        self.faults
    }
}

/// A number as people read it.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
