//! Which steps of a rotation another zone refused a moment ago. Each costs as much as a hundred tickets, so one that was refused
//! is not asked for again at once.

use keycell_protocol::{Generation, Step, UnixMillis};

/// The last refusal of each step.
#[derive(Debug, Default)]
pub(super) struct Steps {
    stage: Option<Refusal>,
    commit: Option<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    signer: Generation,
    at: UnixMillis,
    for_ms: u64,
}

impl Steps {
    /// Whether a step may be asked for with the key of that generation. What was refused to one key is not to another. The
    /// distance in time counts, not the difference: a clock that was set back keeps nobody out.
    pub(super) fn may(&self, step: Step, signer: Generation, now: UnixMillis) -> bool {
        let refusal = match step {
            Step::Stage => &self.stage,
            Step::Commit => &self.commit,
        };
        refusal.as_ref().is_none_or(|last| last.signer != signer || now.distance(last.at) >= last.for_ms)
    }

    /// It was refused, for so many milliseconds if that was said.
    pub(super) fn refused(&mut self, step: Step, signer: Generation, now: UnixMillis, for_ms: Option<u64>) {
        let for_ms = for_ms.unwrap_or(SHORTEST_MS).clamp(SHORTEST_MS, LONGEST_MS);
        let refusal = Some(Refusal { signer, at: now, for_ms });
        match step {
            Step::Stage => self.stage = refusal,
            Step::Commit => self.commit = refusal,
        }
    }
}

const SHORTEST_MS: u64 = 60_000;
/// Nobody proved for how long it is: a refusal is not sealed.
const LONGEST_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Generation = Generation(1);
    const TWO: Generation = Generation(2);

    #[test]
    fn what_was_refused_is_left_for_a_minute_at_least_and_for_an_hour_at_most() {
        let now = UnixMillis(1_000_000_000);
        for (said, ms) in
            [(None, 60_000), (Some(1_000), 60_000), (Some(90_000), 90_000), (Some(u64::MAX), 3_600_000)]
        {
            let mut steps = Steps::default();
            assert!(steps.may(Step::Stage, ONE, now));
            steps.refused(Step::Stage, ONE, now, said);
            assert!(!steps.may(Step::Stage, ONE, now.plus(ms - 1)), "{said:?}");
            assert!(steps.may(Step::Stage, ONE, now.plus(ms)), "{said:?}");
            assert!(steps.may(Step::Stage, ONE, now.minus(ms)), "a clock that was set back");
        }
    }

    #[test]
    fn the_other_step_and_another_key_are_not_meant() {
        let (mut steps, now) = (Steps::default(), UnixMillis(1_000_000_000));
        steps.refused(Step::Commit, TWO, now, None);
        assert!(steps.may(Step::Stage, TWO, now) && steps.may(Step::Commit, Generation(3), now));
        steps.refused(Step::Stage, ONE, now, None);
        assert!(!steps.may(Step::Commit, TWO, now) && !steps.may(Step::Stage, ONE, now));
    }
}
