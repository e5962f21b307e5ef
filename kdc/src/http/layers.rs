//! What every request passes: a name for the log, early refusal, a bound on time and size, counters.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{DefaultBodyLimit, FromRequestParts as _, MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use keycell_protocol::{ProblemType, SealedEnrollment};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::operator::Operator;
use super::problem::{Failure, Reported};
use super::{Peer, routes};
use crate::kdc::{Kdc, SUPERSEDED};
use crate::metrics::{Answered, Metrics, Route};
use crate::token::Role;
use crate::traces;

/// Puts the layers around a router.
pub(super) fn around(router: Router<Arc<Kdc>>, kdc: &Arc<Kdc>) -> Router<Arc<Kdc>> {
    let metrics = kdc.metrics();
    let mut paths: Vec<_> = routes().iter().map(|route| Path::new(route.path, metrics)).collect();
    paths.dedup_by_key(|path| path.route);
    let gate = Arc::new(Gate {
        kdc: kdc.clone(),
        places: Places::default(),
        buffers: Semaphore::new(BUFFERED_BYTES),
        process: rand_core::Rng::next_u32(&mut crate::random::system()),
        count: AtomicU64::new(0),
        paths,
        other: Path::new("other", metrics),
    });
    // The gate reads the body itself, and bounds it.
    router.layer(DefaultBodyLimit::disable()).layer(from_fn_with_state(gate, pass))
}

/// Under which name the log knows a request: random per process, then counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId {
    process: u32,
    count: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.process, self.count)
    }
}

struct Gate {
    kdc: Arc<Kdc>,
    /// One for each request in work.
    places: Places,
    /// One for each byte of a body that is held.
    buffers: Semaphore,
    process: u32,
    count: AtomicU64,
    paths: Vec<Path>,
    other: Path,
}

/// A route with its counters at hand: they are looked up once, not for every request.
struct Path {
    route: &'static str,
    answered: Counter,
    duration: Histogram,
}

impl Path {
    fn new(route: &'static str, metrics: &Metrics) -> Self {
        let success = Answered { route, status: StatusCode::OK.as_u16() };
        Self {
            route,
            answered: metrics.requests.get_or_create_owned(&success),
            duration: metrics.duration.get_or_create_owned(&Route { route }),
        }
    }

    fn count(&self, status: StatusCode, took: Duration, metrics: &Metrics) {
        if status == StatusCode::OK {
            self.answered.inc();
        } else {
            let answered = Answered { route: self.route, status: status.as_u16() };
            metrics.requests.get_or_create(&answered).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }
}

impl Gate {
    fn path(&self, request: &Request) -> &Path {
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        self.paths.iter().find(|path| Some(path.route) == matched).unwrap_or(&self.other)
    }
}

async fn pass(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId { process: gate.process, count: gate.count.fetch_add(1, Ordering::Relaxed) };
    request.extensions_mut().insert(id);
    let path = gate.path(&request);
    let method = request.method().clone();
    let metrics = gate.kdc.metrics();
    let in_flight = InFlight::new(&metrics.in_flight);
    let response = if path.route == super::TICKETS {
        // Its handler names the request in its one line; a span for each would cost as much as the cryptography.
        admitted(&gate, path.route, request, next).await
    } else {
        admitted(&gate, path.route, request, next).instrument(tracing::info_span!("request", %id)).await
    };
    drop(in_flight);

    let status = response.status();
    let problem = response.extensions().get::<Reported>().map(|reported| reported.0);
    if let Some(problem) = problem {
        metrics.refuse(problem);
    }
    let took = started.elapsed();
    path.count(status, took, metrics);
    // Who watches the process is not worth a span each time.
    if let Some(traces) =
        gate.kdc.traces().filter(|_| !matches!(path.route, "/livez" | "/readyz" | "/metrics"))
    {
        let problem = problem.map(ProblemType::urn);
        let (route, id, at) = (path.route, id.to_string(), gate.kdc.now());
        traces.answered(&traces::Answered { method: &method, route, status, problem, id, at, took });
    }
    tracing::debug!(
        %id,
        %method,
        route = path.route,
        status = status.as_u16(),
        problem = problem.map(ProblemType::urn),
        micros = took.as_micros() as u64,
        "answered"
    );
    named(response, id)
}

async fn admitted(gate: &Gate, route: &str, request: Request, next: Next) -> Response {
    // Whether the process is well must be seen also when it is busy.
    if matches!(route, "/livez" | "/readyz") {
        return next.run(request).await;
    }
    if route != "/metrics" && gate.kdc.superseded() {
        let failure = Failure::new(ProblemType::Unavailable).detail(SUPERSEDED);
        return failure.retry_after(RESTARTS).into_response();
    }
    let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() else {
        return Failure::new(ProblemType::Internal).into_response();
    };
    if let Err(limit) = gate.kdc.admit(peer.ip()) {
        return Failure::new(ProblemType::RateLimited)
            .detail("this address asks too often")
            .retry_after(limit.retry_after)
            .into_response();
    }
    // An import reads its body line by line, however long it is, and bounds itself.
    if matches!(route, "/metrics" | super::IMPORT) {
        return next.run(request).await;
    }
    let (time, mut most, places) = {
        let limits = &gate.kdc.config().limits;
        let time = Duration::from_secs(limits.request_timeout_seconds.into());
        (time, limits.body_bytes, limits.requests_in_flight)
    };
    if route == super::ENROLL {
        most = most.min(SealedEnrollment::MAX);
    }
    let (mut head, mut body) = request.into_parts();
    let fits = body.size_hint().upper().is_some_and(|upper| upper <= most as u64);
    if route == super::POLICY && head.method == Method::PUT && !fits {
        // So much is read for an administrator only.
        let operator = Operator::from_request_parts(&mut head, &gate.kdc).await;
        if let Err(failure) = operator.and_then(|operator| operator.may(Role::Admin)) {
            pass_over(body, time).await;
            return failure.into_response();
        }
        most = most.max(POLICY_BYTES);
    }
    let held = match timeout(time, gate.collect(&mut body, most)).await {
        Ok(Ok(held)) => held,
        Ok(Err(failure)) => {
            pass_over(body, time).await;
            return failure.into_response();
        }
        Err(_) => return Failure::new(ProblemType::Timeout).into_response(),
    };
    // These take as long as the log is long, and have places of their own.
    if matches!(route, super::VERIFY | super::TRIM) {
        return next.run(Request::from_parts(head, Body::from(held.body))).await;
    }
    // Only now: who sends slowly takes no place from anybody.
    let Some(_place) = gate.places.take(places) else {
        return Failure::overloaded().into_response();
    };
    let request = Request::from_parts(head, Body::from(held.body));
    match timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::new(ProblemType::Unavailable)
            .detail("the database takes too long; what you asked for may or may not be done")
            .retry_after(Duration::from_secs(2))
            .into_response(),
    }
}

/// By when somebody may have restarted a KDC.
const RESTARTS: Duration = Duration::from_secs(30);

/// Counts the requests in work. Not a semaphore: how many there may be can change.
#[derive(Debug, Default)]
struct Places(AtomicUsize);

impl Places {
    /// A place, if fewer than `most` are taken.
    fn take(&self, most: usize) -> Option<Place<'_>> {
        let another = |taken| (taken < most).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, another).ok().map(|_| Place(&self.0))
    }
}

/// Given back when it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that has arrived, and the room that it takes.
struct Held<'a> {
    body: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Gate {
    /// Reads a body of `most` bytes at the most, within the room there is for all.
    async fn collect(&self, body: &mut Body, most: usize) -> Result<Held<'_>, Failure> {
        // What announces that it is too long need not be waited for.
        if body.size_hint().lower() > most as u64 {
            return Err(too_large(most));
        }
        // Most bodies come in one piece, and stay that.
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        let mut room: Option<SemaphorePermit<'_>> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                Failure::new(ProblemType::MalformedRequest).detail("the body did not arrive whole")
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len().max(whole.len()) + data.len() > most {
                return Err(too_large(most));
            }
            let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = self.buffers.try_acquire_many(size).map_err(|_| Failure::overloaded())?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            if first.is_empty() {
                first = data;
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(Held { body: if whole.is_empty() { first } else { whole.freeze() }, _room: room })
    }
}

fn too_large(most: usize) -> Failure {
    Failure::new(ProblemType::TooLarge).detail(format!("at most {most} bytes"))
}

/// Reads on for a while and keeps nothing. Over HTTP/1.1 a client that first writes all of its body would otherwise find the connection
/// closed, and never see why it was refused.
pub(super) async fn pass_over(mut body: Body, time: Duration) {
    let mut left = PASSED_OVER;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(length) else { return };
            left = less;
        }
    };
    let _ = timeout(time, reading).await;
}

/// Counts a request for as long as it is in work, however it ends.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Tells the client under which name the log knows the request.
fn named(mut response: Response, id: RequestId) -> Response {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(id.to_string())) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}

/// The most of a whole policy: 10,000 rules with room for what is written to them.
const POLICY_BYTES: usize = 8 << 20;
/// The most that is read of a body that is refused.
const PASSED_OVER: usize = 8 << 20;
/// The most that is held of all bodies together.
const BUFFERED_BYTES: usize = 64 << 20;
