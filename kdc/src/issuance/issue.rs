//! Making the tickets (docs/protocol.md §5 to §7).

use keycell_protocol::{ProblemType, ReplyWriter, UnixSeconds};
use rand_core::Rng as _;

use super::{Authorized, Moment};
use crate::random::Pool;

/// A sealed reply, and what is counted of it.
#[derive(Debug)]
pub struct Issued {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// How many tickets it gives.
    pub granted: u32,
    /// The destinations it refuses, by reason.
    pub refused: Vec<ProblemType>,
}

/// Makes a ticket for every destination that is allowed and seals the reply. Leaves no trace but its result.
#[must_use]
pub fn issue(authorized: &Authorized, moment: Moment) -> Issued {
    let request = authorized.request().request();
    let mut random = Pool::new(request.destinations.len() * RANDOM_PER_TICKET + RANDOM_PER_REPLY);
    let mut reply = ReplyWriter::new(request, moment.now);
    let mut granted = 0;
    let mut refused = Vec::new();
    for (name, decision) in request.destinations.iter().zip(authorized.decisions()) {
        let keys = match decision {
            Ok(permit) => match permit.destination.ticket_keys(moment.epoch()) {
                Some(keys) => Ok((keys, permit.lifetime_seconds)),
                None => Err(ProblemType::DestinationDisabled),
            },
            Err(problem) => Err(*problem),
        };
        match keys {
            Ok((keys, lifetime)) => {
                // Nothing outlives the key that seals it: its epoch is at hand until the end of the next one.
                let last = moment.ratchet_period.end(keys.epoch).plus(moment.ratchet_period.seconds().into());
                let expiration = moment.now.seconds().plus(lifetime.into()).min(last);
                let renew_after = renewal(moment.now.seconds(), expiration, random.next_u32());
                reply.grant_party(name, &keys, expiration, renew_after, &mut random);
                tracing::debug!(source = %request.source, destination = %name, %expiration, "ticket issued");
                granted += 1;
            }
            Err(problem) => {
                reply.refuse(name, problem);
                refused.push(problem);
            }
        }
    }
    let body = reply.seal(&authorized.request().keys().reply, &mut random);
    Issued { body, granted, refused }
}

/// A moment between 50 and 80 % of the ticket's life, so that a fleet does not come back all at once.
fn renewal(now: UnixSeconds, expiration: UnixSeconds, random: u32) -> UnixSeconds {
    let life = expiration.0.saturating_sub(now.0);
    let spread = (life * 3 / 10).saturating_mul(u64::from(random)) >> 32;
    now.plus(life / 2 + spread)
}

/// Rkey, ticket nonce, and the spread of the renewal.
const RANDOM_PER_TICKET: usize = 32 + 24 + 4;
/// The reply's nonce.
const RANDOM_PER_REPLY: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_spread_over_half_to_four_fifths() {
        let (now, end) = (UnixSeconds(1000), UnixSeconds(1900));
        assert_eq!(renewal(now, end, 0), UnixSeconds(1450));
        assert_eq!(renewal(now, end, u32::MAX), UnixSeconds(1719));
        assert_eq!(renewal(end, now, 7), end);
    }
}
