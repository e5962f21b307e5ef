//! When a party was last seen.

use std::sync::atomic::{AtomicU64, Ordering};

use keycell_protocol::UnixMillis;

/// When a party last asked for tickets, and how much of that the database knows. In whole minutes, so that a busy party
/// costs one write a minute.
#[derive(Debug, Default)]
pub struct Seen {
    at: AtomicU64,
    noted: AtomicU64,
}

impl Seen {
    /// As the database has it.
    #[must_use]
    pub fn noted(at: UnixMillis) -> Self {
        Self { at: AtomicU64::new(at.0), noted: AtomicU64::new(at.0) }
    }

    /// It asks now.
    pub fn mark(&self, now: UnixMillis) {
        let minute = now.0 - now.0 % MINUTE_MS;
        // A load first: most marks change nothing, and a shared line that nobody writes costs nothing.
        if self.at.load(Ordering::Relaxed) < minute {
            self.at.fetch_max(minute, Ordering::Relaxed);
        }
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
}

const MINUTE_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

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
}
