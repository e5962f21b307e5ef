//! When the keys of a chain are good.

use keycell_protocol::{Generation, UnixSeconds};
use serde::{Deserialize, Serialize};

/// The timetable of one chain: its secret lies apart, as a version of the group's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Which version of the secret it is.
    pub version: u32,
    /// The generation that it begins with.
    pub first: Generation,
    /// When it began.
    pub begins_at: UnixSeconds,
    /// For how long each of its keys seals.
    pub lifetime_seconds: u32,
    /// When another took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixSeconds>,
}

impl Chain {
    /// The generation that seals tickets at that moment, or would; before its beginning the first one.
    #[must_use]
    pub fn generation(&self, at: UnixSeconds) -> Generation {
        let age = at.0.saturating_sub(self.begins_at.0) / u64::from(self.lifetime_seconds.max(1));
        Generation(self.first.0.saturating_add(u32::try_from(age).unwrap_or(u32::MAX)))
    }

    /// From when on a generation seals.
    #[must_use]
    pub fn begins(&self, generation: Generation) -> UnixSeconds {
        let before = u64::from(generation.0.saturating_sub(self.first.0));
        self.begins_at.plus(before.saturating_mul(self.lifetime_seconds.into()))
    }

    /// Until when a generation opens: as long as a ticket can be out that it sealed, and no longer.
    #[must_use]
    pub fn ends(&self, generation: Generation) -> UnixSeconds {
        let ends = self.begins(generation).plus(2 * u64::from(self.lifetime_seconds));
        self.over_at().map_or(ends, |over| over.min(ends))
    }

    /// When the last ticket under a chain that has ended is over, also of a KDC that heard late of it.
    fn over_at(&self) -> Option<UnixSeconds> {
        Some(self.ended_at?.plus(u64::from(self.lifetime_seconds) + LATE))
    }

    /// The generations that a member is given at that moment: those that still open, the one in use, the next one; of a
    /// chain that has ended, those that it came to and that still open.
    #[must_use]
    pub fn given(&self, at: UnixSeconds) -> Vec<Generation> {
        let reached = self.generation(self.ended_at.map_or(at, |ended| ended.min(at)));
        let last = if self.ended_at.is_some() { reached.0 } else { reached.0.saturating_add(1) };
        (self.oldest(at).0..=last).map(Generation).filter(|generation| self.ends(*generation) > at).collect()
    }

    /// The earliest generation that anybody may still be given, by a clock that shows no less.
    #[must_use]
    pub fn oldest(&self, at: UnixSeconds) -> Generation {
        let reached = self.generation(self.ended_at.map_or(at, |ended| ended.min(at)));
        Generation(reached.0.saturating_sub(1)).max(self.first)
    }

    /// The chain that takes its place at that moment. What was given as its next key is never used: not even its number.
    #[must_use]
    pub fn successor(&self, at: UnixSeconds, lifetime_seconds: u32) -> Self {
        Self {
            version: self.version.saturating_add(1),
            first: Generation(self.generation(at).0.saturating_add(2)),
            begins_at: at,
            lifetime_seconds,
            ended_at: None,
        }
    }

    /// Whether nothing is on its way any more that it opens.
    #[must_use]
    pub fn is_over(&self, at: UnixSeconds) -> bool {
        self.over_at().is_some_and(|over| over <= at)
    }
}

/// By how many seconds another KDC may hear late that a chain has ended: what that one seals later nobody opens who has
/// heard of it.
const LATE: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = Chain {
        version: 1,
        first: Generation(5),
        begins_at: UnixSeconds(1000),
        lifetime_seconds: 300,
        ended_at: None,
    };

    #[test]
    fn a_key_seals_for_a_lifetime_and_opens_for_two() {
        assert_eq!(CHAIN.generation(UnixSeconds(1299)), Generation(5));
        assert_eq!(CHAIN.generation(UnixSeconds(1300)), Generation(6));
        assert_eq!(CHAIN.generation(UnixSeconds(0)), Generation(5));
        assert_eq!(
            (CHAIN.begins(Generation(6)), CHAIN.ends(Generation(6))),
            (UnixSeconds(1300), UnixSeconds(1900))
        );
        let generations =
            |at| CHAIN.given(UnixSeconds(at)).iter().map(|generation| generation.0).collect::<Vec<_>>();
        assert_eq!(generations(1000), [5, 6]);
        assert_eq!(generations(1300), [5, 6, 7]);
        assert_eq!(generations(1600), [6, 7, 8]);
    }

    #[test]
    fn a_successor_uses_no_number_that_was_given_out() {
        for at in [1000, 1299, 1300, 5000] {
            let at = UnixSeconds(at);
            let next = CHAIN.successor(at, 60);
            assert!(CHAIN.given(at).iter().all(|given| *given < next.first));
            assert_eq!((next.version, next.generation(at), next.begins_at), (2, next.first, at));
            let ended = Chain { ended_at: Some(at), ..CHAIN };
            let still = ended.given(at);
            assert_eq!(still.last(), Some(&CHAIN.generation(at)), "its next key is not given any more");
            assert!(!ended.is_over(at.plus(359)) && ended.is_over(at.plus(360)));
            assert!(ended.given(at.plus(360)).is_empty());
            // The last ticket was given when it ended, and lives for one lifetime.
            assert_eq!(ended.ends(CHAIN.generation(at)), CHAIN.ends(CHAIN.generation(at)).min(at.plus(360)));
            assert!(ended.ends(CHAIN.generation(at)) >= at.plus(300));
        }
    }
}
