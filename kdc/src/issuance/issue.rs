//! Making the tickets (docs/protocol.md §5 to §7).

use keycell_protocol::{Name, ProblemType, ReplyWriter, UnixSeconds};
use rand_core::Rng as _;

use super::authorize::{Destination, Permit};
use super::{Authorized, Moment, Monitored, Refused};
use crate::peers::Fetched;
use crate::policy::WouldDeny;
use crate::random::Pool;

/// A sealed reply, and what is counted and recorded of it.
#[derive(Debug)]
pub struct Issued {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// How many tickets it gives.
    pub granted: u32,
    /// The destinations it refuses, each with the reason.
    pub refused: Vec<Refused>,
    /// The tickets among those given that a monitored rule would have denied.
    pub let_through: Vec<LetThrough>,
    /// The tickets among those given that are of other zones, each with what would have refused it, were it in force.
    pub abroad: Vec<(Name, Option<Monitored>)>,
    /// What became of each destination, if the party's tickets are logged, or those of the trust with its zone.
    pub logged: Vec<(Name, Result<UnixSeconds, ProblemType>)>,
}

/// A ticket that was given although a rule in monitor mode would have denied it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetThrough {
    /// To whom it is.
    pub destination: Name,
    /// The rule, and in which way it would have denied.
    pub would_deny: WouldDeny,
}

/// Makes a ticket for every destination that is allowed and seals the reply, which asks the party to rotate its key if
/// `rotate` says so. Tickets of other zones are passed on as they were `fetched`. Leaves no trace but its result.
#[must_use]
pub fn issue(authorized: &Authorized, fetched: &Fetched, moment: Moment, rotate: bool) -> Issued {
    let request = authorized.request().request();
    let mut random = Pool::new(request.destinations.len() * RANDOM_PER_TICKET + RANDOM_PER_REPLY);
    let mut reply = ReplyWriter::new(request, moment.now);
    if rotate {
        reply.ask_to_rotate();
    }
    let mut granted = 0;
    let mut refused = Vec::new();
    let mut let_through = Vec::new();
    let mut abroad = Vec::new();
    let log = authorized.request().party().record().log_tickets;
    let mut logged = Vec::new();
    for (name, decision) in request.destinations.iter().zip(authorized.decisions()) {
        let granted_or_not = match decision {
            Ok(permit @ Permit { destination: Destination::Abroad(_), .. }) => match fetched.of(name) {
                Ok(grant) => {
                    reply.pass_on(grant);
                    Ok((grant.expiration, permit))
                }
                Err(problem) => Err(Refused { destination: name.clone(), problem, rule: None }),
            },
            Ok(permit) => match grant(&mut reply, name, permit, moment, &mut random) {
                Some(expiration) => Ok((expiration, permit)),
                None => Err(Refused {
                    destination: name.clone(),
                    problem: ProblemType::DestinationDisabled,
                    rule: None,
                }),
            },
            Err(refusal) => Err(refusal.clone()),
        };
        let log = log || matches!(decision, Ok(permit) if permit.is_logged());
        match granted_or_not {
            Ok((expiration, permit)) => {
                tracing::debug!(source = %request.source, destination = %name, %expiration, "ticket issued");
                granted += 1;
                if log {
                    logged.push((name.clone(), Ok(expiration)));
                }
                if let Destination::Abroad(leave) = &permit.destination {
                    abroad.push((name.clone(), leave.monitored.clone()));
                }
                if let Some(would_deny) = &permit.would_deny {
                    let_through
                        .push(LetThrough { destination: name.clone(), would_deny: would_deny.clone() });
                }
            }
            Err(refusal) => {
                reply.refuse(name, refusal.problem);
                if log {
                    logged.push((name.clone(), Err(refusal.problem)));
                }
                refused.push(refusal);
            }
        }
    }
    let body = reply.seal(&authorized.request().keys().reply, &mut random);
    Issued { body, granted, refused, let_through, abroad, logged }
}

/// Gives a ticket for one destination, and says until when it is good; `None` where there is no key to seal it.
pub(super) fn grant<'a>(
    reply: &mut ReplyWriter<'a>,
    name: &'a Name,
    permit: &Permit,
    moment: Moment,
    random: &mut Pool,
) -> Option<UnixSeconds> {
    let now = moment.now.seconds();
    match &permit.destination {
        Destination::Party(party) => {
            let keys = party.ticket_keys(moment.epoch())?;
            // Nothing outlives the key that seals it: its epoch is at hand until the end of the next one.
            let last = moment.ratchet_period.end(keys.epoch).plus(moment.ratchet_period.seconds().into());
            let expiration = now.plus(permit.lifetime_seconds.into()).min(last);
            let renew_after = renewal(now, expiration, random.next_u32());
            reply.grant_party(name, &keys, expiration, renew_after, random);
            Some(expiration)
        }
        Destination::Group(group) => {
            let sealing = group.sealing(now)?;
            // No longer than a key seals: whoever is removed opens nothing that was on its way once that is over.
            let lifetime = permit.lifetime_seconds.min(sealing.lifetime_seconds);
            let expiration = now.plus(lifetime.into()).min(sealing.ends);
            let renew_after = renewal(now, expiration, random.next_u32());
            let proof = group.record().author_proof;
            let key = (sealing.generation, &sealing.key);
            reply.grant_group(name, key, proof, expiration, renew_after, random);
            Some(expiration)
        }
        // There is no key of it here.
        Destination::Abroad(_) => None,
    }
}

/// A moment between 50 and 80 % of the ticket's life, so that a fleet does not come back all at once.
pub(crate) fn renewal(now: UnixSeconds, expiration: UnixSeconds, random: u32) -> UnixSeconds {
    let life = expiration.0.saturating_sub(now.0);
    let spread = (life * 3 / 10).saturating_mul(u64::from(random)) >> 32;
    now.plus(life / 2 + spread)
}

/// Rkey, ticket nonce, and the spread of the renewal.
pub(super) const RANDOM_PER_TICKET: usize = 32 + 24 + 4;
/// The reply's nonce.
pub(super) const RANDOM_PER_REPLY: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::directory;
    use crate::issuance::{Freshness, Nonces, authenticate, authorize};
    use crate::limit::{Limits, Rate};
    use crate::policy::{MonitorReason, Policy};
    use crate::settings::Rates;
    use keycell_protocol::{
        Epoch, Generation, Instance, LongTermKey, Nonce, RatchetPeriod, SignedRequest, TicketRequest,
        UnixMillis,
    };

    #[test]
    fn renewal_is_spread_over_half_to_four_fifths() {
        let (now, end) = (UnixSeconds(1000), UnixSeconds(1900));
        assert_eq!(renewal(now, end, 0), UnixSeconds(1450));
        assert_eq!(renewal(now, end, u32::MAX), UnixSeconds(1719));
        assert_eq!(renewal(end, now, 7), end);
    }

    /// The whole path of one request of `a@z`, whose key is that of every party of the tests' directory.
    fn ask(policy: &str, parties: &[&str], destinations: &[&str]) -> Issued {
        let moment = Moment { now: UnixMillis(20_000 * 86_400_000), ratchet_period: RatchetPeriod::DEFAULT };
        let request = TicketRequest {
            source: "a@z".parse().unwrap(),
            destinations: destinations.iter().map(|name| name.parse().unwrap()).collect(),
            timestamp: moment.now,
            nonce: Nonce([1; 16]),
            instance: Instance([1; 16]),
        };
        let keys = LongTermKey::new(Generation(1), Epoch(20_000), [7; 32]).subkeys();
        let json = SignedRequest::sign(&request, &keys).unwrap().to_json();
        let rate = Rate::new(1000, 1000);
        let rates = Rates {
            per_address: rate,
            failures_per_address: rate,
            enrollments_per_address: rate,
            tickets_per_party: rate,
        };
        let directory = directory(parties);
        let authenticated = authenticate(
            &SignedRequest::parse(&json).unwrap(),
            &directory,
            &Nonces::new(60_000, 1000),
            &Limits::new(&rates, 1000),
            moment,
            Freshness { skew_ms: 60_000, since: UnixMillis(0) },
        );
        let policy = Policy::compile(serde_json::from_str(policy).unwrap(), 900).unwrap();
        let authorized = authorize(authenticated.unwrap(), &directory, &policy, moment.now);
        issue(&authorized, &Fetched::nothing(), moment, false)
    }

    fn rule(id: &str, effect: &str, mode: &str, destination: &str) -> String {
        format!(
            r#"{{"id":"{id}","revision":1,"effect":"{effect}","mode":"{mode}","source":"a@z","destination":"{destination}","created_at":0,"updated_at":0}}"#
        )
    }

    #[test]
    fn what_is_refused_and_what_is_let_through_is_reported_with_its_rule() {
        let policy = [
            rule("some", "allow", "enforce", "{b,bb}*@z"),
            rule("old", "allow", "monitor", "c*@z"),
            rule("new", "deny", "monitor", "bb*@z"),
            rule("never", "deny", "enforce", "c2*@z"),
        ];
        let issued = ask(
            &format!("[{}]", policy.join(",")),
            &["a@z", "b1@z", "bb1@z", "c1@z", "c2@z", "d@z"],
            &["b1@z", "bb1@z", "c1@z", "c2@z", "d@z", "a@z", "b1@other", "b2@z", "bb2@z", "c22@z", "d2@z"],
        );
        assert_eq!(issued.granted, 3);
        let through: Vec<_> = issued
            .let_through
            .iter()
            .map(|ticket| {
                (ticket.destination.as_str(), ticket.would_deny.rule.as_str(), ticket.would_deny.reason)
            })
            .collect();
        assert_eq!(
            through,
            [("bb1@z", "new", MonitorReason::Deny), ("c1@z", "old", MonitorReason::Allow)],
            "only tickets that were given"
        );
        let refused: Vec<_> = issued
            .refused
            .iter()
            .map(|one| (one.destination.as_str(), one.problem, one.rule.as_ref().map(|rule| rule.as_str())))
            .collect();
        assert_eq!(
            refused,
            [
                ("c2@z", ProblemType::NotAllowed, Some("never")),
                ("d@z", ProblemType::NotAllowed, None),
                ("a@z", ProblemType::SelfDestination, None),
                ("b1@other", ProblemType::UntrustedZone, None),
                ("b2@z", ProblemType::UnknownDestination, None),
                ("bb2@z", ProblemType::UnknownDestination, None),
                // Whether these exist is nobody's business who may not speak to them.
                ("c22@z", ProblemType::NotAllowed, Some("never")),
                ("d2@z", ProblemType::NotAllowed, None),
            ]
        );
    }
}
