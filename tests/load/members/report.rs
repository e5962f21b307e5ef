//! What the simulation counts, and what it makes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use keycell_client::{UnixMillis, UnixSeconds};

use super::zone::{HOUR, REFETCHES, START, Zone};

/// Of one share of the members, or of all.
#[derive(Debug)]
pub(crate) struct Report {
    /// Requests in each second since the start.
    asked: Vec<u32>,
    /// Those that a message caused.
    by_message: Vec<u32>,
    /// Messages that opened when they came.
    pub(crate) opened: u64,
    /// Messages that had to wait, and those that opened then.
    pub(crate) waited: u64,
    pub(crate) opened_late: u64,
    /// Milliseconds.
    pub(crate) longest_wait: u64,
    pub(crate) lost: u64,
    pub(crate) locked_out: u64,
    /// By why.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// What the removed member opened of what was written after its removal.
    pub(crate) opened_after_removal: Vec<usize>,
    /// Members receive only: none of them needs a ticket.
    pub(crate) requests_of_tickets: u64,
}

/// Requests within some seconds.
struct Rate {
    total: u64,
    mean: f64,
    peak: u32,
    by_message: u64,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            asked: Vec::new(),
            by_message: Vec::new(),
            opened: 0,
            waited: 0,
            opened_late: 0,
            longest_wait: 0,
            lost: 0,
            locked_out: 0,
            refused: BTreeMap::new(),
            opened_after_removal: Vec::new(),
            requests_of_tickets: 0,
        }
    }

    pub(crate) fn asked(&mut self, now: UnixMillis, by_message: bool) {
        let second = (now.seconds().0 - START.0) as usize;
        count(&mut self.asked, second, 1);
        count(&mut self.by_message, second, u32::from(by_message));
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        other.asked.iter().enumerate().for_each(|(second, asked)| count(&mut self.asked, second, *asked));
        let by_message = other.by_message.iter().enumerate();
        by_message.for_each(|(second, asked)| count(&mut self.by_message, second, *asked));
        other.refused.iter().for_each(|(code, times)| *self.refused.entry(code).or_default() += times);
        self.opened_after_removal.extend(other.opened_after_removal);
        Self {
            opened: self.opened + other.opened,
            waited: self.waited + other.waited,
            opened_late: self.opened_late + other.opened_late,
            longest_wait: self.longest_wait.max(other.longest_wait),
            lost: self.lost + other.lost,
            locked_out: self.locked_out + other.locked_out,
            requests_of_tickets: self.requests_of_tickets + other.requests_of_tickets,
            ..self
        }
    }

    /// For people.
    pub(crate) fn table(&self, zone: &Zone, messages: usize) -> String {
        let mut table = format!(
            "{} members, a key for {} s, after a change spread over {} s; an hour with a message every 20 s\n\n\
             {:<28}{:>12}{:>10}{:>10}{:>12}{:>14}\n",
            zone.members,
            zone.lifetime,
            zone.spread / 1_000,
            "",
            "requests",
            "mean/s",
            "peak/s",
            "peak/mean",
            "by a message",
        );
        let rows = [
            ("start", self.rate([seconds(START, zone.begin())])),
            ("nothing changes", self.rate(steady(zone))),
            ("two lifetimes after rotating", self.rate([after(zone, zone.rotated())])),
            ("two after a removal", self.rate([after(zone, zone.removed())])),
        ];
        for (name, Rate { total, mean, peak, by_message }) in rows {
            let ratio = f64::from(peak) / mean;
            let _ =
                writeln!(table, "{name:<28}{total:>12}{mean:>10.1}{peak:>10}{ratio:>12.2}{by_message:>14}");
        }
        let _ = write!(
            table,
            "\nmessages to the group:  {messages}, so {} to open\n\
             opened when they came:  {}\n\
             opened after a wait:    {} of {} that waited, {} s at the longest\n\
             lost:                   {}\n\
             locked out:             {}\n\
             opened by the removed member after its removal: {}\n\
             {:.1} requests for each member, {} of them for tickets",
            messages as u64 * u64::from(zone.members),
            self.opened,
            self.opened_late,
            self.waited,
            self.longest_wait / 1_000,
            self.lost,
            self.locked_out,
            self.opened_after_removal.len(),
            self.asked.iter().map(|asked| f64::from(*asked)).sum::<f64>() / f64::from(zone.members),
            self.requests_of_tickets,
        );
        table
    }

    /// What must not be.
    pub(crate) fn faults(&self, zone: &Zone, messages: usize) -> Vec<String> {
        let quiet = self.rate(steady(zone));
        let changed = [zone.rotated(), zone.removed()].map(|at| self.rate([after(zone, at)]));
        let busiest = changed.iter().map(|rate| rate.peak).max().unwrap_or(0);
        // The refetches over their spread, the refreshes that fall into the same seconds, and chance.
        let most = 1.5 * REFETCHES as f64 + 2.0 * quiet.mean;
        let all = messages as u64 * u64::from(zone.members - 1);
        let faults = [
            (messages == 0 || quiet.total == 0, "nothing happened".to_owned()),
            (
                f64::from(quiet.peak) > 2.0 * quiet.mean,
                format!(
                    "the peak is {} requests a second, more than twice the mean of {:.1}",
                    quiet.peak, quiet.mean
                ),
            ),
            (
                quiet.by_message > 0,
                format!("{} requests because of a message while nothing changed", quiet.by_message),
            ),
            (
                changed.iter().any(|rate| rate.by_message == 0),
                "no member noticed the change by a message: it was not tried".to_owned(),
            ),
            (
                f64::from(busiest) > most,
                format!("after a change {busiest} requests in a second, more than {most:.0}"),
            ),
            (self.lost > 0, format!("{} messages were lost", self.lost)),
            (self.opened + self.opened_late < all, "not every member opened every message".to_owned()),
            (self.locked_out > 0, format!("{} members are locked out", self.locked_out)),
            (!self.refused.is_empty(), format!("messages were refused: {:?}", self.refused)),
            (
                !self.opened_after_removal.is_empty(),
                format!("the removed member opened {} messages", self.opened_after_removal.len()),
            ),
            (self.requests_of_tickets > 0, "a member that only listens asked for tickets".to_owned()),
        ];
        faults.into_iter().filter(|(is, _)| *is).map(|(_, fault)| fault).collect()
    }

    fn rate(&self, parts: impl IntoIterator<Item = Range<usize>>) -> Rate {
        let seconds: Vec<usize> = parts.into_iter().flatten().collect();
        let at = |counts: &[u32], second: &usize| counts.get(*second).copied().unwrap_or(0);
        let total: u64 = seconds.iter().map(|second| u64::from(at(&self.asked, second))).sum();
        Rate {
            total,
            mean: total as f64 / seconds.len().max(1) as f64,
            peak: seconds.iter().map(|second| at(&self.asked, second)).max().unwrap_or(0),
            by_message: seconds.iter().map(|second| u64::from(at(&self.by_message, second))).sum(),
        }
    }
}

fn count(counts: &mut Vec<u32>, second: usize, more: u32) {
    if counts.len() <= second {
        counts.resize(second + 1, 0);
    }
    if let Some(count) = counts.get_mut(second) {
        *count += more;
    }
}

/// The hour without two lifetimes after each change.
fn steady(zone: &Zone) -> Vec<Range<usize>> {
    let (rotated, removed) = (zone.rotated(), zone.removed());
    let quiet = 2 * zone.lifetime;
    vec![
        seconds(zone.begin(), rotated),
        seconds(rotated.plus(quiet), removed),
        seconds(removed.plus(quiet), zone.begin().plus(HOUR)),
    ]
}

fn after(zone: &Zone, at: UnixSeconds) -> Range<usize> {
    seconds(at, at.plus(2 * zone.lifetime))
}

fn seconds(from: UnixSeconds, to: UnixSeconds) -> Range<usize> {
    (from.0 - START.0) as usize..(to.0 - START.0) as usize
}
