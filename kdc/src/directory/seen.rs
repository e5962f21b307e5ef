//! When a party was last seen, and by which of its processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keycell_protocol::UnixMillis;

use crate::enrollment::{Alternation, Processes, Sighting};

/// When a party last asked for tickets, and how much of that the database knows. In whole minutes, so that a busy party
/// costs one write a minute.
#[derive(Debug, Default)]
pub struct Seen {
    at: AtomicU64,
    noted: AtomicU64,
    processes: Mutex<Watched>,
}

/// The processes that use its key, and when it was last told that two do at once.
#[derive(Debug, Default)]
struct Watched {
    processes: Processes,
    told: u64,
    /// Whether it was told that both came back.
    both: bool,
}

impl Seen {
    /// As the database has it.
    #[must_use]
    pub fn noted(at: UnixMillis) -> Self {
        Self { at: AtomicU64::new(at.0), noted: AtomicU64::new(at.0), ..Self::default() }
    }

    /// It asks now.
    pub fn mark(&self, now: UnixMillis) {
        let minute = now.0 - now.0 % MINUTE_MS;
        // A load first: most marks change nothing, and a shared line that nobody writes costs nothing.
        if self.at.load(Ordering::Relaxed) < minute {
            self.at.fetch_max(minute, Ordering::Relaxed);
        }
    }

    /// A request that it signed came at `now`. Says whether its key is in two places, if it did not within a minute.
    pub fn saw(&self, sighting: Sighting, now: UnixMillis) -> Option<Alternation> {
        let mut watched = self.watched();
        watched.saw(sighting, now)
    }

    /// The same for what another KDC tells, maybe again.
    pub fn heard(&self, sighting: Sighting, now: UnixMillis) -> Option<Alternation> {
        let mut watched = self.watched();
        if watched.processes.knows(&sighting) {
            return None;
        }
        watched.saw(sighting, now)
    }

    /// Which of its processes signed last.
    #[must_use]
    pub fn latest(&self) -> Option<Sighting> {
        self.watched().processes.latest()
    }

    /// When it last asked, if it ever did.
    #[must_use]
    pub fn at(&self) -> Option<UnixMillis> {
        match self.at.load(Ordering::Relaxed) {
            0 => None,
            at => Some(UnixMillis(at)),
        }
    }

    /// What the database is to be told, if there is anything new; [`note`](Self::note) says that it was.
    #[must_use]
    pub fn news(&self) -> Option<UnixMillis> {
        let at = self.at.load(Ordering::Relaxed);
        (at > self.noted.load(Ordering::Relaxed)).then_some(UnixMillis(at))
    }

    /// The database has been told.
    pub fn note(&self, at: UnixMillis) {
        self.noted.fetch_max(at.0, Ordering::Relaxed);
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn saw(&mut self, sighting: Sighting, now: UnixMillis) -> Option<Alternation> {
        let found = self.processes.saw(sighting, now)?;
        // That both came back is news, however soon it is found.
        let news = found.both && !self.both;
        let tell = self.tell(now) || news;
        if tell {
            self.both = found.both;
        }
        tell.then_some(found)
    }

    /// Whether it is to be told of again. A clock that was set back keeps nothing quiet.
    fn tell(&mut self, now: UnixMillis) -> bool {
        let quiet = self.told..self.told.saturating_add(MINUTE_MS);
        let tell = self.told == 0 || !quiet.contains(&now.0);
        if tell {
            self.told = now.0;
        }
        tell
    }
}

const MINUTE_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrollment::Process;
    use keycell_protocol::Instance;

    #[test]
    fn a_minute_is_told_once_and_time_does_not_go_back() {
        let seen = Seen::default();
        assert_eq!((seen.at(), seen.news()), (None, None));
        seen.mark(UnixMillis(5 * MINUTE_MS + 7));
        let at = seen.news().unwrap();
        assert_eq!(at, UnixMillis(5 * MINUTE_MS));
        seen.note(at);
        seen.mark(UnixMillis(5 * MINUTE_MS + 30));
        seen.mark(UnixMillis(3 * MINUTE_MS));
        assert_eq!((seen.at(), seen.news()), (Some(at), None));
        seen.mark(UnixMillis(6 * MINUTE_MS));
        assert_eq!(seen.news(), Some(UnixMillis(6 * MINUTE_MS)));
    }

    fn sighting(process: u8, at: u64) -> Sighting {
        let address = [192, 0, 2, process].into();
        Sighting { process: Process::of(Instance([process; 16])), address, at: UnixMillis(at) }
    }

    #[test]
    fn copies_are_told_of_once_a_minute() {
        let seen = Seen::default();
        let start = 10 * MINUTE_MS;
        let told = |second: u64| {
            let at = start + second * 1000;
            u64::from(seen.saw(sighting((second % 2) as u8 + 1, at), UnixMillis(at)).is_some())
        };
        // In the first of them twice: it is news that both came back.
        assert_eq!((0..180).map(told).sum::<u64>(), 4);
        // Also after the clock went back.
        let (now, earlier) = (UnixMillis(start + 200_000), UnixMillis(5 * MINUTE_MS));
        let copies = Seen::default();
        for (process, at) in [(1, now.plus(1)), (2, now.plus(2))] {
            assert_eq!(copies.saw(sighting(process, at.0), at), None);
        }
        assert!(copies.saw(sighting(1, now.0 + 5), now.plus(5)).is_some());
        copies.watched().processes = Processes::default();
        for (process, at) in [(1, earlier.plus(1)), (2, earlier.plus(2))] {
            assert_eq!(copies.saw(sighting(process, at.0), at), None);
        }
        assert!(copies.saw(sighting(1, earlier.0 + 3), earlier.plus(3)).is_some());
    }

    #[test]
    fn what_is_heard_again_is_nothing_new() {
        let seen = Seen::default();
        let (now, at) = (UnixMillis(10 * MINUTE_MS), 10 * MINUTE_MS);
        assert_eq!(seen.saw(sighting(1, at), now), None);
        assert_eq!(seen.heard(sighting(2, at + 10), now.plus(20)), None);
        assert_eq!(seen.heard(sighting(1, at), now.plus(25)), None, "its own");
        assert!(seen.saw(sighting(1, at + 30), now.plus(30)).is_some());
        for again in 1..5 {
            assert_eq!(seen.heard(sighting(2, at + 10), now.plus(again * MINUTE_MS)), None);
            assert_eq!(seen.saw(sighting(1, at + again * MINUTE_MS), now.plus(again * MINUTE_MS)), None);
        }
    }
}
