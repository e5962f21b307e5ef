//! What another zone refused a moment ago: who asks for it again and again does not reach that zone each time.

use std::collections::HashMap;

use keycell_protocol::{PeerPair, ProblemType, UnixMillis};

/// Refusals of the last ten seconds, at most 10,000.
///
/// Two maps take turns, so that nothing is searched for what is past its time.
#[derive(Debug, Default)]
pub(super) struct Negative {
    /// The span that `fresh` is of, counted from 1970.
    span: u64,
    fresh: HashMap<PeerPair, (ProblemType, UnixMillis)>,
    stale: HashMap<PeerPair, (ProblemType, UnixMillis)>,
}

impl Negative {
    /// Why this was refused, if it was just now.
    pub(super) fn find(&self, pair: &PeerPair, now: UnixMillis) -> Option<ProblemType> {
        let found = self.fresh.get(pair).or_else(|| self.stale.get(pair));
        found.filter(|(_, at)| now.distance(*at) < FOR_MS).map(|(problem, _)| *problem)
    }

    /// This was refused. A reason that may be over at once is not kept, and neither is what there is no room for.
    pub(super) fn note(&mut self, pair: &PeerPair, problem: ProblemType, now: UnixMillis) {
        if !lasts(problem) {
            return;
        }
        let span = now.0 / FOR_MS;
        if span != self.span {
            let stale = std::mem::take(&mut self.fresh);
            // Of the span before, or of one that is past its time altogether.
            self.stale = if span == self.span.saturating_add(1) { stale } else { HashMap::new() };
            self.span = span;
        }
        if self.fresh.len() < MOST / 2 {
            self.fresh.insert(pair.clone(), (problem, now));
        }
    }
}

/// Whether it is a decision, not a state that passes.
pub(super) const fn lasts(problem: ProblemType) -> bool {
    matches!(
        problem,
        ProblemType::NotAllowed
            | ProblemType::UntrustedZone
            | ProblemType::UnknownDestination
            | ProblemType::DestinationDisabled
    )
}

const FOR_MS: u64 = 10_000;
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(n: usize) -> PeerPair {
        PeerPair { source: "a@z1".parse().unwrap(), destination: format!("b{n}@z2").parse().unwrap() }
    }

    #[test]
    fn a_refusal_is_kept_for_ten_seconds() {
        let mut negative = Negative::default();
        let now = UnixMillis(1_234_567);
        negative.note(&pair(1), ProblemType::NotAllowed, now);
        assert_eq!(negative.find(&pair(1), now.plus(9_999)), Some(ProblemType::NotAllowed));
        assert_eq!(negative.find(&pair(1), now.plus(10_000)), None);
        assert_eq!(negative.find(&pair(2), now), None);
        let mut turned = pair(1);
        turned.source = "c@z1".parse().unwrap();
        assert_eq!(negative.find(&turned, now), None, "another source is another question");
        // Also where others were refused in between.
        negative.note(&pair(3), ProblemType::NotAllowed, now.plus(9_000));
        assert_eq!(negative.find(&pair(1), now.plus(9_999)), Some(ProblemType::NotAllowed));
    }

    #[test]
    fn what_passes_by_itself_is_not_kept() {
        let (mut negative, now) = (Negative::default(), UnixMillis(1_234_567));
        for problem in [ProblemType::Unavailable, ProblemType::Overloaded, ProblemType::RateLimited] {
            negative.note(&pair(1), problem, now);
            assert_eq!(negative.find(&pair(1), now), None);
        }
    }

    proptest! {
        // Each fills it more than once.
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn it_is_bounded_and_never_older_than_ten_seconds(
            steps in prop::collection::vec((0_u64..4_000, 0_usize..50, 0_usize..4_000), 1..60),
        ) {
            let (mut negative, mut now) = (Negative::default(), UnixMillis(1_000_000));
            let mut noted = HashMap::new();
            for (wait, from, many) in steps {
                now = now.plus(wait);
                for n in from..from + many {
                    negative.note(&pair(n), ProblemType::UnknownDestination, now);
                    noted.insert(n, now);
                }
                prop_assert!(negative.fresh.len() + negative.stale.len() <= MOST);
                let found = negative.find(&pair(from), now.plus(7_000));
                if found.is_some() {
                    prop_assert!(now.plus(7_000).distance(noted[&from]) < FOR_MS);
                }
            }
        }
    }
}
