//! Coming aboard a zone over HTTPS.

use core::time::Duration;

use keycell_protocol::{IdentityName, JoinToken, Name, ProblemType, UnixMillis};
use tokio::time::Instant;

use super::driver::{Outcome, ask};
use super::kdcs::Kdcs;
use super::{ConnectError, Https, Transport};
use crate::{
    Boarded, Clock, Enrollment, HostStoreError, PendingRequest, Standing, StoredHost, SystemClock, system_rng,
};

/// How a host enrolls.
#[derive(Debug, Clone)]
pub struct EnrollOptions {
    /// What admits it. None unless set: a host that is known, and one that anybody or an administrator lets in, needs none.
    pub token: Option<JoinToken>,
    /// How long to go on while no KDC answers, or an administrator has not decided. 20 seconds unless set.
    pub wait: Duration,
    /// How long one KDC may take for one answer. 5 seconds unless set.
    pub attempt_timeout: Duration,
}

impl Default for EnrollOptions {
    fn default() -> Self {
        Self { token: None, wait: Duration::from_secs(20), attempt_timeout: Duration::from_secs(5) }
    }
}

/// Enrolls a host that has no key file, and writes that. One that has is enrolled, and nobody is asked.
///
/// Whenever it is interrupted, the next call goes on: the host has one name, and gets one key that counts.
///
/// # Errors
/// [`EnrollError`].
pub async fn enroll(host: &StoredHost, options: &EnrollOptions) -> Result<Name, EnrollError> {
    if host.is_enrolled()? {
        return Ok(host.full_name());
    }
    let https =
        Https::new(&host.bundle()?.tls_roots, options.attempt_timeout).map_err(|error| match error {
            ConnectError::NoRoots => EnrollError::Roots("there is none".to_owned()),
            ConnectError::Roots(why) => EnrollError::Roots(why),
            error => error.into(),
        })?;
    enroll_with(host, options, &https, &SystemClock).await
}

/// As [`enroll`], over another transport and by another clock.
///
/// # Errors
/// [`EnrollError`].
pub async fn enroll_with(
    host: &StoredHost,
    options: &EnrollOptions,
    transport: &dyn Transport,
    clock: &dyn Clock,
) -> Result<Name, EnrollError> {
    if host.is_enrolled()? {
        return Ok(host.full_name());
    }
    let mut enrollment = host.enrollment(options.token.clone())?;
    let mut kdcs = Kdcs::new(&enrollment.bundle().urls)?;
    let mut last = None;
    // A wait that no clock can express has no end.
    let end = Instant::now().checked_add(options.wait);
    loop {
        let now = clock.now();
        if let Some(request) = enrollment.wants(now) {
            let asked = ask(options.attempt_timeout, &mut kdcs, transport, &request, |why| last = Some(why));
            let (outcome, kdc) = asked.await;
            let answered = settle(&mut enrollment, clock.now(), &request, outcome);
            match (&answered, kdc) {
                (Answered::Badly(_), Some(at)) => kdcs.failed(at, Instant::now(), &mut system_rng()),
                (_, Some(at)) => kdcs.answered(at),
                (_, None) => {}
            }
            match answered {
                Answered::Boarded(boarded) => {
                    keep(host, &boarded)?;
                    enrollment.stored(&boarded);
                }
                Answered::Other => {}
                Answered::Problem(why) | Answered::Badly(why) => last = Some(why),
            }
            continue;
        }
        let name = || enrollment.name();
        let wakeup = enrollment.next_wakeup(now).map_or(0, |at| at.0.saturating_sub(now.0));
        let nap = Duration::from_millis(wakeup).clamp(SHORTEST, NAP);
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        match enrollment.standing() {
            Standing::Enrolled => return Ok(name()),
            Standing::Refused => return Err(EnrollError::Refused { name: name() }),
            Standing::IdentityUnknown { named } => return Err(EnrollError::Identity { named }),
            Standing::Unreadable => return Err(EnrollError::Identity { named: None }),
            Standing::NotTaken(problem) => return Err(EnrollError::NotTaken { problem }),
            Standing::Pending { .. } if left.is_some_and(|left| left < Duration::from_millis(wakeup)) => {
                return Err(EnrollError::Pending { name: name(), waited: options.wait });
            }
            _ if left.is_some_and(|left| left.is_zero()) => {
                let last = last.unwrap_or_else(|| "no KDC has answered yet".to_owned());
                return Err(EnrollError::NoAnswer { waited: options.wait, last });
            }
            _ => tokio::time::sleep(left.map_or(nap, |left| left.min(nap))).await,
        }
    }
}

enum Answered {
    Boarded(Box<Boarded>),
    Problem(String),
    /// Not with what can be used: others may do better.
    Badly(String),
    Other,
}

/// Hands the outcome to the state machine.
fn settle(
    enrollment: &mut Enrollment,
    now: UnixMillis,
    request: &PendingRequest,
    outcome: Outcome,
) -> Answered {
    match outcome {
        Outcome::Reply(body) => match enrollment.take_reply(now, request, &body) {
            Ok(Some(boarded)) => Answered::Boarded(Box::new(boarded)),
            Ok(None) => Answered::Other,
            Err(error) => Answered::Badly(error.to_string()),
        },
        Outcome::Problem(problem) => {
            enrollment.take_problem(now, request, &problem);
            Answered::Problem(problem.to_string())
        }
        Outcome::Nobody => {
            enrollment.give_up(now, request);
            Answered::Other
        }
    }
}

/// The bundle first: who has a key file is enrolled, and does not ask for it again.
fn keep(host: &StoredHost, boarded: &Boarded) -> Result<(), HostStoreError> {
    host.keep_bundle(&boarded.bundle)?;
    host.keep_key(&boarded.key_file(host.key()))
}

/// Why a host is not enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Store(#[from] HostStoreError),
    /// The connection cannot be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The bundle has no certificate to trust.
    #[error(
        "the bundle's \"tls_roots\" are no certificates to trust: {0}; fetch it anew with `keycell bundle`"
    )]
    Roots(String),
    /// An administrator has not decided yet.
    #[error(
        "{name} waits for an administrator, who says `keycell enroll approve {}` after comparing it with this host's; then run \
         this again", .name.local().rsplit("::").next().unwrap_or_default()
    )]
    Pending {
        /// Who it will be.
        name: Name,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It is not let in.
    #[error(
        "the KDC does not let {name} in: it takes a join token that is valid for this service, host and network, or an \
         administrator who admits it; the KDC's log says why"
    )]
    Refused {
        /// Who it would be.
        name: Name,
    },
    /// The KDC works with an identity that the bundle does not have.
    #[error("{}; fetch its bundle anew with `keycell bundle`, over a channel that you trust", identity(*.named))]
    Identity {
        /// The one that it named.
        named: Option<IdentityName>,
    },
    /// The KDC takes no such requests.
    #[error("the KDC does not enroll hosts: {problem}; is it of an earlier release?")]
    NotTaken {
        /// What it answered.
        problem: ProblemType,
    },
    /// Nobody answered.
    #[error("no KDC enrolled this host within {} s: {last}", .waited.as_secs())]
    NoAnswer {
        /// How long it was waited for.
        waited: Duration,
        /// The last failure.
        last: String,
    },
}

fn identity(named: Option<IdentityName>) -> String {
    match named {
        Some(named) => format!("the KDC works as {named}, which this host cannot go over to by its bundle"),
        None => "the KDC does not have the identity of this host's bundle".to_owned(),
    }
}

const SHORTEST: Duration = Duration::from_millis(1);
/// Not for long: the clock may jump.
const NAP: Duration = Duration::from_secs(30);
