//! What every request passes: a name for the log, early refusal, a bound on time and size, counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use keycell_protocol::ProblemType;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::problem::{Failure, Reported};
use super::{Peer, routes};
use crate::kdc::Kdc;
use crate::metrics::{Answered, Route};

/// Puts the layers around a router.
pub(super) fn around(router: Router<Arc<Kdc>>, kdc: &Arc<Kdc>) -> Router<Arc<Kdc>> {
    let gate = Arc::new(Gate {
        kdc: kdc.clone(),
        places: Semaphore::new(kdc.config().limits.requests_in_flight),
        time: Duration::from_secs(kdc.config().limits.request_timeout_seconds.into()),
        prefix: prefix(),
        count: AtomicU64::new(0),
        paths: routes().iter().map(|route| route.path).collect(),
    });
    router.layer(DefaultBodyLimit::max(kdc.config().limits.body_bytes)).layer(from_fn_with_state(gate, pass))
}

struct Gate {
    kdc: Arc<Kdc>,
    places: Semaphore,
    time: Duration,
    prefix: String,
    count: AtomicU64,
    paths: Vec<&'static str>,
}

impl Gate {
    /// A name for one request: random per process, then counted.
    fn name(&self) -> String {
        format!("{}-{}", self.prefix, self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn route(&self, request: &Request) -> &'static str {
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        self.paths.iter().find(|path| Some(**path) == matched).copied().unwrap_or("other")
    }
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = gate.name();
    let route = gate.route(&request);
    let method = request.method().clone();
    let span = tracing::info_span!("request", id);
    let metrics = gate.kdc.metrics();
    metrics.in_flight.inc();
    let response = admitted(&gate, route, request, next).instrument(span.clone()).await;
    metrics.in_flight.dec();

    let status = response.status();
    let problem = response.extensions().get::<Reported>().map(|reported| reported.0);
    if let Some(problem) = problem {
        metrics.refuse(problem);
    }
    metrics.requests.get_or_create(&Answered { route, status: status.as_u16() }).inc();
    let took = started.elapsed();
    metrics.duration.get_or_create(&Route { route }).observe(took.as_secs_f64());
    span.in_scope(|| {
        tracing::debug!(
            %method,
            route,
            status = status.as_u16(),
            problem = problem.map(ProblemType::urn),
            micros = took.as_micros() as u64,
            "answered"
        );
    });
    named(response, &id)
}

async fn admitted(gate: &Gate, route: &str, request: Request, next: Next) -> Response {
    // Whether the process is well must be seen also when it is busy.
    if matches!(route, "/livez" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    let Ok(_place) = gate.places.try_acquire() else {
        return Failure::overloaded().into_response();
    };
    let Some(Peer(peer)) = request.extensions().get::<Peer>().copied() else {
        return Failure::new(ProblemType::Internal).into_response();
    };
    if let Err(limit) = gate.kdc.admit(peer.ip()) {
        return Failure::new(ProblemType::RateLimited)
            .detail("this address asks too often")
            .retry_after(limit.retry_after)
            .into_response();
    }
    match tokio::time::timeout(gate.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::new(ProblemType::Timeout).into_response(),
    }
}

/// Tells the client under which name the log knows the request.
fn named(mut response: Response, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-request-id", value);
    }
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE && response.extensions().get::<Reported>().is_none()
    {
        *response.body_mut() = Body::empty();
    }
    response
}

fn prefix() -> String {
    let mut bytes = [0; 4];
    rand_core::Rng::fill_bytes(&mut crate::random::system(), &mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
