//! A chain of which the secret is at hand, turned as far as somebody asks.

use std::fmt;

use keycell_protocol::{Generation, GroupChain, GroupKey, RatchetError, TicketKey};

/// The secret of a chain, and the keys of the generations that were last asked for.
///
/// What is asked for moves nothing for good, because a clock may be wrong: the secret itself turns only when
/// [`turn`](Self::turn) says so.
pub(super) struct Turning {
    secret: GroupChain,
    /// The same, turned to the first of the generations that are ready.
    ahead: Option<GroupChain>,
    ready: Vec<Ready>,
}

/// A key, and what it seals tickets with.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) key: GroupKey,
    pub(super) tickets: TicketKey,
}

impl Turning {
    pub(super) const fn new(secret: GroupChain) -> Self {
        Self { secret, ahead: None, ready: Vec::new() }
    }

    /// The generation that the secret itself has turned to: nothing before it can be derived any more.
    pub(super) const fn generation(&self) -> Generation {
        self.secret.generation()
    }

    /// The keys of the generations from `first` to `last`.
    ///
    /// # Errors
    /// [`RatchetError`]: nobody steps back, nor as far as a clock that is years ahead would have it.
    pub(super) fn keys(&mut self, first: Generation, last: Generation) -> Result<&[Ready], RatchetError> {
        let ready = self.ready.first().zip(self.ready.last());
        if ready.is_none_or(|(from, to)| (from.key.generation(), to.key.generation()) != (first, last)) {
            let near = self.ahead.as_ref().filter(|ahead| ahead.generation() <= first);
            let start = near.unwrap_or(&self.secret).clone().advance(first)?;
            let mut chain = start.clone();
            let mut keys = Vec::with_capacity(MOST);
            for generation in (first.0..=last.0).take(MOST) {
                chain = chain.advance(Generation(generation))?;
                let key = chain.key();
                keys.push(Ready { tickets: key.ticket_key(), key });
            }
            self.ready = keys;
            self.ahead = Some(start);
        }
        Ok(&self.ready)
    }

    /// Turns the secret itself. An earlier generation changes nothing.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`]: then it stays as it is.
    pub(super) fn turn(&mut self, to: Generation) -> Result<(), RatchetError> {
        if to > self.secret.generation() {
            let near = self.ahead.as_ref().filter(|ahead| ahead.generation() <= to);
            self.secret = near.unwrap_or(&self.secret).clone().advance(to)?;
            if self.ahead.as_ref().is_some_and(|ahead| ahead.generation() < to) {
                self.ahead = None;
                self.ready.clear();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Turning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, ahead: _, ready: _ } = self;
        f.debug_struct("Turning").field("secret", secret).finish_non_exhaustive()
    }
}

/// The one before, the one in use, and the next.
const MOST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn turning() -> Turning {
        Turning::new(GroupChain::new(Generation(10), [7; 32]))
    }

    fn tickets(turning: &mut Turning, first: u32, last: u32) -> Vec<(u32, [u8; 82])> {
        let rkey = keycell_protocol::Rkey::generate(&mut Same);
        let ticket = |ready: &Ready| {
            let generation = ready.key.generation();
            let random = &mut Same;
            let sealed = keycell_protocol::Ticket::seal_for_group(&rkey, generation, &ready.tickets, random);
            (generation.0, *sealed.as_bytes())
        };
        turning.keys(Generation(first), Generation(last)).unwrap().iter().map(ticket).collect()
    }

    /// No randomness at all, so that equal keys make equal tickets.
    struct Same;

    impl rand_core::TryRng for Same {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            out.fill(0);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Same {}

    #[test]
    fn a_clock_that_jumps_there_and_back_gets_the_same_keys() {
        let mut one = turning();
        let (now, far) = (tickets(&mut one, 11, 13), tickets(&mut one, 5_000, 5_002));
        assert_eq!(now.iter().map(|(generation, _)| *generation).collect::<Vec<_>>(), [11, 12, 13]);
        assert_eq!(tickets(&mut one, 11, 13), now);
        assert_eq!(tickets(&mut one, 5_000, 5_002), far);
        assert_eq!(tickets(&mut one, 12, 14)[..2], now[1..]);
        assert_eq!(tickets(&mut turning(), 5_001, 5_001), far[1..2]);
    }

    #[test]
    fn only_what_is_certain_turns_the_secret() {
        let mut one = turning();
        let later = tickets(&mut one, 20, 22);
        assert_eq!(one.generation(), Generation(10));
        for ready in [true, false] {
            one.turn(Generation(if ready { 15 } else { 20 })).unwrap();
            assert_eq!(tickets(&mut one, 20, 22), later);
        }
        assert_eq!(one.keys(Generation(19), Generation(21)).err(), Some(RatchetError::Backwards));
        one.turn(Generation(12)).unwrap();
        assert_eq!(one.generation(), Generation(20));
        assert_eq!(one.turn(Generation(u32::MAX)), Err(RatchetError::TooFar));
        assert_eq!(tickets(&mut one, 20, 22), later, "as it was");
        assert!(!format!("{one:?}").contains('7'));
    }
}
