//! Spans, as a collector gets them.

use std::sync::{Arc, Mutex};

use keycell_tests::cell::Cell;
use keycell_tests::wait::until;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a collector took: each request's path and body.
type Taken = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes spans as a collector does, over HTTP/1.1.
async fn collector() -> (String, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Taken::default();
    let here = taken.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, here.clone()));
        }
    });
    (url, taken)
}

async fn serve(stream: TcpStream, taken: Taken) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    while stream.read_line(&mut first).await.unwrap() > 0 {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            assert!(!line.starts_with("content-type:") || line.contains("application/x-protobuf"), "{line}");
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        taken.lock().unwrap().push((first.split(' ').nth(1).unwrap().to_owned(), body));
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        first.clear();
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|one| one.key == key)?.value.as_ref()?.value.as_ref()?;
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_for_each_request_and_no_name_in_it() {
    let (url, taken) = collector().await;
    let cell = Cell::sqlite();
    cell.configure(&format!("telemetry = {{ otlp_endpoint = '{url}' }}"));
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("secretive@test.internal").await;
    admin.add("secretive.too@test.internal").await;
    assert_eq!(a.refusal(&kdc.http(), "secretive.too@test.internal").await, None);
    let missing = admin.get("/v1/admin/parties/nobody%40test.internal").await;
    assert_eq!((missing.status, admin.get("/livez").await.status), (404, 200));
    let odd = admin.request("SECRETIVE".parse().unwrap(), "/v1/zone").send().await.unwrap();
    assert_eq!(odd.status(), 405);
    assert_eq!(kdc.terminate(), Some(0));

    let mut spans: Vec<Span> = Vec::new();
    for (path, body) in taken.lock().unwrap().drain(..) {
        assert_eq!(path, "/v1/traces");
        for name in ["secretive", "SECRETIVE", "nobody", "Bearer"] {
            assert!(!body.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is in a span");
        }
        for resource in ExportTraceServiceRequest::decode(&*body).unwrap().resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert_eq!(text(&attributes, "service.name").as_deref(), Some("keycell"));
            assert!(text(&attributes, "service.version").is_some());
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let span = |name: &str, count: usize| {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), count, "{name}: {spans:#?}");
        found[0]
    };
    for (name, route, status, problem) in [
        ("POST /v1/tickets", "/v1/tickets", "200", None),
        ("POST /v1/admin/parties", "/v1/admin/parties", "201", None),
        (
            "GET /v1/admin/parties/{name}",
            "/v1/admin/parties/{name}",
            "404",
            Some("urn:keycell:problem:not-found"),
        ),
    ] {
        let span = span(name, if status == "201" { 2 } else { 1 });
        assert_eq!((span.kind, span.trace_id.len(), span.span_id.len()), (SpanKind::Server as i32, 16, 8));
        assert_eq!(text(&span.attributes, "http.route").as_deref(), Some(route));
        assert_eq!(text(&span.attributes, "http.response.status_code").as_deref(), Some(status));
        assert_eq!(text(&span.attributes, "error.type").as_deref(), problem);
        assert!(span.start_time_unix_nano > 0 && span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    let id = text(&span("GET /v1/admin/parties/{name}", 1).attributes, "keycell.request_id");
    assert_eq!(id.as_deref(), Some(missing.header("x-request-id")));
    assert!(!spans.iter().any(|span| span.name.contains("livez")));
    assert!(spans.iter().any(|span| span.name == "_OTHER /v1/zone"), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_keeps_nobody_up() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cell = Cell::sqlite();
    cell.configure(&format!("telemetry = {{ otlp_endpoint = 'http://u:hunter2@{nobody}' }}"));
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    until("it is told once", async || {
        assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
        kdc.log().contains("the collector of traces does not take them").then_some(())
    })
    .await;
    assert_eq!(kdc.terminate(), Some(0));
    assert_eq!(kdc.log().matches("the collector of traces does not take them").count(), 1);
    let checked = cell.run(&["check-config"]).succeeded().stdout;
    assert!(checked.contains("telemetry.otlp_endpoint") && checked.contains("***"), "{checked}");
    assert!(!kdc.log().contains("hunter2") && !checked.contains("hunter2"));
    for wrong in ["ftp://x", "collector:4318", "http://"] {
        cell.configure(&format!("telemetry = {{ otlp_endpoint = '{wrong}' }}"));
        let refused = cell.run(&["check-config"]).failed();
        assert!(refused.contains("telemetry.otlp_endpoint: write http"), "{wrong}: {refused}");
    }
}
