//! The background task: asks for the tickets of this zone and the keys of groups that are wanted, renews, and tells those who
//! wait.

use std::sync::Arc;

use keycell_protocol::{Problem, ProblemType, UnixMillis, Zone};
use tokio::time::{Duration, Instant};
use tracing::{debug, info, warn};

use super::TransportError;
use super::kdcs::Kdcs;
use super::shared::Shared;
use super::transport::{Answer, Transport};
use crate::pending::{Kind, TakeError};
use crate::{PendingRequest, system_rng};

pub(super) async fn run(shared: Arc<Shared>, mut kdcs: Kdcs, transport: Arc<dyn Transport>) {
    loop {
        let now = shared.clock.now();
        let (request, wakeup) = {
            let mut agent = shared.lock();
            let request = agent.wants_tickets(now).or_else(|| agent.wants_groups(now));
            let request = request.or_else(|| agent.wants_voucher(now));
            let wakeups = [agent.next_ticket_wakeup(now), agent.next_group_wakeup(now)];
            let wakeups = wakeups.into_iter().chain([agent.next_voucher_wakeup(now)]);
            (request, wakeups.flatten().min())
        };
        let Some(request) = request else {
            let nap = Duration::from_millis(wakeup.map_or(NAP_MS, |at| at.0.saturating_sub(now.0)));
            // Not for long: the clock may jump, and what is over is to be forgotten.
            let nap = nap.clamp(Duration::from_millis(1), Duration::from_millis(NAP_MS));
            let _ = tokio::time::timeout(nap, shared.wake.notified()).await;
            continue;
        };
        turn(&shared, &mut kdcs, &*transport, &request).await;
        // It may be asked to rotate its key.
        shared.keep.notify_one();
        shared.changed.send_replace(());
    }
}

/// Asks, and hands the answer to the agent.
pub(super) async fn turn(
    shared: &Shared,
    kdcs: &mut Kdcs,
    transport: &dyn Transport,
    request: &PendingRequest,
) {
    let failing = shared.lock().failing(request);
    let patience = shared.config.attempt_timeout;
    let (outcome, kdc) = ask(patience, kdcs, transport, request, |why| note(shared, request, why)).await;
    let good = settle(shared, request, outcome, failing);
    match kdc {
        Some(at) if good => kdcs.answered(at),
        // An answer that does not hold: others may do better.
        Some(at) => kdcs.failed(at, Instant::now(), &mut system_rng()),
        None => {}
    }
}

/// What a round through the KDCs came to.
pub(super) enum Outcome {
    Reply(Vec<u8>),
    Problem(Problem),
    Nobody,
}

/// Asks one KDC after the other with the same request until one answers it.
///
/// One that may have got the request before and lost its answer on the way does no harm: to it the second is a
/// replay, and a new request follows at once.
///
/// That no KDC knows the key is the outcome only if all say so that answer: one that is busy may know it.
pub(super) async fn ask(
    patience: Duration,
    kdcs: &mut Kdcs,
    transport: &dyn Transport,
    request: &PendingRequest,
    mut note: impl FnMut(String),
) -> (Outcome, Option<usize>) {
    let (mut busy, mut stranger) = (None, None);
    let start = Instant::now();
    for at in kdcs.order(start) {
        // A request that is a minute old is refused for its age.
        if start.elapsed() > Duration::from_secs(40) {
            break;
        }
        let url = kdcs.url(at, request.path());
        let post = transport.post(&url, request.body.clone(), request.max_reply());
        let answer = match tokio::time::timeout(patience, post).await {
            Ok(answer) => answer,
            Err(_) => Err(TransportError(format!("no answer within {patience:?}"))),
        };
        let failure = match answer.map(read) {
            Ok(Ok(Outcome::Problem(problem))) if is_busy(problem.kind) => {
                let failure = problem.to_string();
                busy.get_or_insert(problem);
                failure
            }
            Ok(Ok(Outcome::Problem(problem))) if problem.kind == ProblemType::Unauthenticated => {
                // It may be this KDC that is behind. If none knows better, this is the answer.
                debug!(url, "a KDC does not know this key");
                stranger = Some(problem);
                continue;
            }
            Ok(Ok(outcome)) => {
                debug!(url, tickets = request.destinations, "a KDC answered");
                return (outcome, Some(at));
            }
            Ok(Err(failure)) | Err(failure) => failure.0,
        };
        debug!(url, failure, "a KDC failed");
        kdcs.failed(at, Instant::now(), &mut system_rng());
        note(format!("{url}: {failure}"));
    }
    (busy.or(stranger).map_or(Outcome::Nobody, Outcome::Problem), None)
}

/// Hands the outcome to the agent. `false` for an answer that does not hold.
fn settle(shared: &Shared, request: &PendingRequest, outcome: Outcome, failing: Option<UnixMillis>) -> bool {
    let now = shared.clock.now();
    let mut agent = shared.lock();
    let correction = agent.clock_correction_ms();
    let mut good = true;
    match outcome {
        Outcome::Reply(body) => {
            let groups = agent.asked_groups();
            match agent.take_reply(now, request, &body) {
                Ok(taken) if request.kind == Kind::Groups => {
                    shared.group_failures().answered(&groups, &taken.refused);
                }
                Ok(taken) => {
                    if let (Some(zone), Some((_, problem))) = (request.abroad(), taken.unavailable.first()) {
                        note(
                            shared,
                            request,
                            format!("the KDC of the zone {zone} gives no tickets: {problem}"),
                        );
                    }
                }
                Err(error) => {
                    if let TakeError::Bundle(_) = error {
                        warn!(%error, "this host does not enroll again by this answer");
                    }
                    note(shared, request, error.to_string());
                    good = false;
                }
            }
        }
        Outcome::Problem(problem) => {
            note(shared, request, problem.to_string());
            agent.take_problem(now, request, &problem);
        }
        Outcome::Nobody => agent.give_up(now, request),
    }
    let corrected = agent.clock_correction_ms();
    let still_failing = agent.failing(request);
    drop(agent);
    if corrected != correction {
        warn!(
            milliseconds = corrected,
            "this host's clock is wrong by the KDC's; corrected inside this agent"
        );
    }
    // Once when it begins and once when it ends, however long it takes.
    match (failing, still_failing, request.kind) {
        (None, Some(_), Kind::Tickets) if let Some(zone) = request.abroad() => {
            let failure = shared.last_failures().get(zone.as_str()).cloned();
            warn!(
                %zone,
                failure = failure.unwrap_or_default(),
                "no tickets of another zone; going on with those at hand"
            );
        }
        (Some(since), None, Kind::Tickets) if let Some(zone) = request.abroad() => {
            info!(%zone, since = since.0, "tickets of another zone again");
        }
        (None, Some(_), Kind::Tickets) => {
            let last = shared.last_failures().get("").cloned();
            warn!(failure = last.unwrap_or_default(), "no KDC gives tickets; going on with those at hand");
        }
        (Some(since), None, Kind::Tickets) => info!(since = since.0, "a KDC gives tickets again"),
        (None, Some(_), Kind::Groups) => {
            warn!("no KDC gives the keys of this party's groups; going on with those at hand");
        }
        (Some(since), None, Kind::Groups) => info!(since = since.0, "a KDC gives the keys of groups again"),
        _ => {}
    }
    good
}

fn read(answer: Answer) -> Result<Outcome, TransportError> {
    if answer.status == 200 {
        return Ok(Outcome::Reply(answer.body));
    }
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(mut problem) => {
            problem.retry_after = problem.retry_after.or(answer.retry_after);
            Ok(Outcome::Problem(problem))
        }
        // A proxy's page, or a problem of a newer KDC.
        Err(_) => Err(TransportError(format!("HTTP status {} and no problem document", answer.status))),
    }
}

/// Whether another KDC may do what this one cannot.
const fn is_busy(problem: ProblemType) -> bool {
    matches!(
        problem,
        ProblemType::Overloaded | ProblemType::Unavailable | ProblemType::Internal | ProblemType::Timeout
    )
}

/// For those who wait for tickets, a voucher or the keys of a group.
fn note(shared: &Shared, request: &PendingRequest, failure: String) {
    match request.kind {
        Kind::Tickets | Kind::Voucher => {
            let zone = request.abroad().map_or("", Zone::as_str);
            shared.last_failures().insert(zone.to_owned(), failure);
        }
        Kind::Groups => shared.group_failures().unanswered(failure),
        Kind::Rotation | Kind::Enrollment => {}
    }
}

/// The longest that a task sleeps.
pub(super) const NAP_MS: u64 = 30_000;
