//! A span for each request, sent to a collector that speaks OTLP over HTTP, if the configuration names one.
//!
//! Spans are put into a queue, which a thread of its own empties: no request waits for the collector. Where that is slow or
//! away, spans are lost and nothing else is.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use keycell_protocol::UnixMillis;
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use reqwest::{Client, redirect};
use tokio::runtime::Handle;

use crate::config::Telemetry;
use crate::http::chain;
use crate::oidc::{IssuersError, tls_of_nobody, tls_of_system};

/// Where spans go.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// A request that was answered. Neither names nor anything that was sent.
pub struct Answered<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The pattern of its path.
    pub route: &'static str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The problem's URN, if there was one.
    pub problem: Option<&'static str>,
    /// Under which name the log knows it.
    pub id: String,
    /// When it was answered.
    pub at: UnixMillis,
    /// How long that took.
    pub took: Duration,
}

impl Traces {
    /// Begins to send spans, if the configuration says where.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn start(telemetry: &Telemetry) -> Result<Option<Self>, TracesError> {
        let Some(endpoint) = &telemetry.otlp_endpoint else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(PATIENCE)
            .with_http_client(Collector::new(endpoint)?)
            .build()
            .map_err(|error| TracesError::Exporter(error.to_string()))?;
        let resource = Resource::builder_empty()
            .with_service_name("keycell")
            .with_attributes([KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))])
            .build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("keycell");
        Ok(Some(Self { provider, tracer }))
    }

    /// Tells of a request, after its answer.
    pub fn answered(&self, answered: &Answered<'_>) {
        let Answered { method, route, status, problem, id, at, took } = answered;
        let method = known(method);
        let end = SystemTime::UNIX_EPOCH + Duration::from_millis(at.0);
        let mut attributes = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", *route),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
            KeyValue::new("keycell.request_id", id.clone()),
        ];
        attributes.extend(problem.map(|urn| KeyValue::new("error.type", urn)));
        let mut span = self
            .tracer
            .span_builder(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_start_time(end - *took)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &Context::new());
        // What a client did wrong is no error of the server's.
        if status.is_server_error() {
            span.set_status(Status::error(problem.unwrap_or_default()));
        }
        span.end_with_timestamp(end);
    }

    /// Sends what is left.
    pub async fn stop(&self) {
        let provider = self.provider.clone();
        // It blocks, and what it waits for needs this runtime.
        let stopped = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(PATIENCE)).await;
        if let Ok(Err(error)) = stopped {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The method, if it is one of HTTP: anything else is a stranger's words.
fn known(method: &Method) -> &'static str {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    methods.into_iter().find(|known| method == known).unwrap_or("_OTHER")
}

/// The collector, reached from a thread that is not the runtime's.
struct Collector {
    client: Client,
    runtime: Handle,
    /// Whether the last spans did not reach it: then it is already in the log.
    away: AtomicBool,
}

impl Collector {
    fn new(endpoint: &str) -> Result<Self, TracesError> {
        let tls = if endpoint.starts_with("https://") { tls_of_system()? } else { tls_of_nobody()? };
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy();
        let client = client.redirect(redirect::Policy::none()).timeout(PATIENCE).build();
        Ok(Self {
            client: client.map_err(TracesError::Client)?,
            runtime: Handle::current(),
            away: AtomicBool::new(false),
        })
    }

    fn note(&self, trouble: Option<String>) {
        let was_away = self.away.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !was_away => {
                tracing::warn!(error, "the collector of traces does not take them: spans are lost");
            }
            None if was_away => tracing::info!("the collector of traces takes them again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request).await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        // The endpoint may have a password in it.
        let (status, body) = sent.await?.map_err(reqwest::Error::without_url).inspect_err(|error| {
            self.note(Some(chain(error)));
        })?;
        self.note((!status.is_success()).then(|| status.to_string()));
        Ok(http::Response::builder().status(status).body(body)?)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}

/// Why no spans can be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The system's roots.
    #[error(transparent)]
    Tls(#[from] IssuersError),
    /// The client.
    #[error("no client for the collector of traces can be made")]
    Client(#[source] reqwest::Error),
    /// The exporter.
    #[error("no spans can be sent: {0}")]
    Exporter(String),
}

/// For one delivery, and for the last one.
const PATIENCE: Duration = Duration::from_secs(5);
