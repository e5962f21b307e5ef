//! The real KDC, in this process: all of it but TLS and sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use keycell_kdc::cell::Cell;
use keycell_kdc::clock::ManualClock;
use keycell_kdc::config::Config;
use keycell_kdc::http::{Peer, router};
use keycell_kdc::kdc::Kdc;
use keycell_protocol::{Problem, ProblemType, UnixMillis};
use serde_json::Value;
use tower::Service as _;

/// A KDC that answers, or the want of one.
#[derive(Clone)]
pub(crate) struct Reached {
    router: Option<Router>,
    /// In the place of an answer to all that is no request to enroll.
    instead: Option<Problem>,
}

impl Reached {
    pub(crate) const NOBODY: Self = Self { router: None, instead: None };

    /// The same, that says of each key that there is no such.
    pub(crate) fn knowing_nobody(self, now: UnixMillis) -> Self {
        let mut problem = Problem::new(ProblemType::Unauthenticated);
        (problem.server_time, problem.reenroll_within) = (Some(now), Some(1));
        Self { instead: Some(problem), ..self }
    }

    /// Posts what a host sends. `None` when nobody answers.
    pub(crate) async fn post(
        &self,
        from: IpAddr,
        path: &str,
        body: &[u8],
    ) -> Option<Result<Vec<u8>, Problem>> {
        if let Some(problem) = self.instead.clone().filter(|_| path != ENROLL) {
            return Some(Err(problem));
        }
        let request = request("POST", from, path).body(Body::from(body.to_vec())).expect("a request");
        let (status, body) = self.call(request).await?;
        if status.is_success() {
            return Some(Ok(body));
        }
        let problem = serde_json::from_slice(&body);
        Some(Err(problem.unwrap_or_else(|_| panic!("{path}: {status}: {}", String::from_utf8_lossy(&body)))))
    }

    /// What an administrator asks for.
    pub(crate) async fn administer(&self, token: &str, method: &str, path: &str, body: &Value) -> Value {
        let here = IpAddr::from([127, 0, 0, 1]);
        let request = request(method, here, path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let (status, body) = self.call(request.body(body).expect("a request")).await.expect("a KDC");
        assert!(status.is_success(), "{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_default()
    }

    async fn call(&self, request: Request<Body>) -> Option<(StatusCode, Vec<u8>)> {
        let answer = self.router.clone()?.call(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), MOST).await.expect("the KDC's answer");
        Some((status, body.into()))
    }
}

/// A KDC that serves.
pub(crate) struct Served {
    kdc: Arc<Kdc>,
    router: Router,
}

impl Served {
    pub(crate) async fn start(config: &Config, clock: &Arc<ManualClock>) -> Self {
        let cell = Cell::open(config).await.expect("a cell");
        let kdc = Arc::new(cell.into_kdc(config.clone(), clock.clone()).await.expect("a KDC"));
        Self { router: router(&kdc), kdc }
    }

    pub(crate) fn reached(&self) -> Reached {
        Reached { router: Some(self.router.clone()), instead: None }
    }

    pub(crate) async fn stop(self) {
        self.kdc.close().await;
    }
}

fn request(method: &str, from: IpAddr, path: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    request.header(header::CONTENT_TYPE, "application/json").extension(Peer(SocketAddr::new(from, 40_000)))
}

pub(crate) const ENROLL: &str = "/v1/enroll";
/// Of an answer, in bytes.
const MOST: usize = 64 << 20;
