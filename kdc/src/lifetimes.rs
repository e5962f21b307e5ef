//! How long tickets have lasted: what tells until when a party that is disabled may still be spoken to.

use std::sync::{Mutex, PoisonError};

use keycell_protocol::UnixMillis;

/// The lifetimes of tickets that were in force while this process ran, each until the last ticket of it has ended. One
/// that was shortened still counts for the tickets that were given before.
#[derive(Debug, Default)]
pub struct Lifetimes(Mutex<Vec<InForce>>);

#[derive(Debug)]
struct InForce {
    seconds: u32,
    /// When it was last seen to be in force.
    last: UnixMillis,
}

impl Lifetimes {
    /// Tickets last so long now.
    pub fn note(&self, now: UnixMillis, seconds: u32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|one| one.seconds == seconds) {
            Some(one) => one.last = one.last.max(now),
            None => all.push(InForce { seconds, last: now }),
        }
        // The one in force now always stays; the others for as long as any ticket can last, should the clock be set.
        all.retain(|one| one.seconds == seconds || now.0.saturating_sub(one.last.0) <= DAY_MS);
    }

    /// When the last ticket ends that was given at or before `moment`.
    #[must_use]
    pub fn end(&self, moment: UnixMillis) -> UnixMillis {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest is in force still, until it is noted that another one is.
        let newest = all.iter().map(|one| one.last).max();
        let ends = all.iter().map(|one| {
            let given = if Some(one.last) == newest { moment } else { moment.min(one.last) };
            given.plus(u64::from(one.seconds) * 1000)
        });
        ends.max().unwrap_or(moment)
    }
}

/// No ticket lasts longer.
const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_counts_until_the_last_ticket_of_it_has_ended() {
        let lifetimes = Lifetimes::default();
        let at = |seconds: u64| UnixMillis(1_000_000_000 + seconds * 1000);
        lifetimes.note(at(0), 3600);
        assert_eq!(lifetimes.end(at(5)), at(3605));
        lifetimes.note(at(10), 60);
        // Given at 0 at the latest.
        assert_eq!(lifetimes.end(at(10)), at(3600));
        assert_eq!(lifetimes.end(at(3590)), at(3650));
        // Of one who was disabled before.
        assert_eq!(lifetimes.end(UnixMillis(at(0).0 - 5000)), UnixMillis(at(3600).0 - 5000));
        lifetimes.note(at(86_410), 60);
        assert_eq!(lifetimes.end(at(0)), at(60));
        lifetimes.note(at(86_420), 3600);
        assert_eq!(lifetimes.end(at(86_420)), at(90_020));
    }
}
