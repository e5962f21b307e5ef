//! An import as its client sees it: lines go out, answers come in, at the same time.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use keycell_tests::http::{Answer, Http};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(crate) const IMPORT: &str = "/v1/admin/parties/import";
pub(crate) const NDJSON: &str = "application/x-ndjson";
pub(crate) const CSV: &str = "text/csv";

/// A chosen key.
pub(crate) fn key(n: u32) -> String {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&n.to_be_bytes());
    URL_SAFE_NO_PAD.encode(secret)
}

/// One party's line, without its end.
pub(crate) fn line(name: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => json!({ "name": name, "key": key }).to_string(),
        None => json!({ "name": name }).to_string(),
    }
}

/// All at once: the status and the lines of the answer.
pub(crate) async fn import(admin: &Http, kind: &str, query: &str, body: String) -> (u16, Vec<Value>) {
    let request = admin.request(Method::POST, &format!("{IMPORT}{query}"));
    let answer = Answer::of(request.header("content-type", kind).body(body)).await;
    let lines = answer.text();
    (answer.status, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// An import that is going on.
pub(crate) struct Call {
    lines: mpsc::Sender<Bytes>,
    response: Response,
    rest: Vec<u8>,
}

impl Call {
    pub(crate) async fn begin(admin: &Http, kind: &str) -> Self {
        let (lines, sent) = mpsc::channel::<Bytes>(1);
        let stream = futures_util::stream::unfold(sent, |mut sent| async move {
            let data = sent.recv().await?;
            Some((Ok::<_, std::io::Error>(Frame::data(data)), sent))
        });
        let body = reqwest::Body::wrap(StreamBody::new(stream));
        let request = admin.request(Method::POST, IMPORT).header("content-type", kind).body(body);
        let response = request.send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_2));
        Self { lines, response, rest: Vec::new() }
    }

    pub(crate) async fn send(&self, lines: String) {
        self.lines.send(lines.into()).await.unwrap();
    }

    pub(crate) fn sender(&self) -> mpsc::Sender<Bytes> {
        self.lines.clone()
    }

    /// The next `n` lines of the answer, or fewer if it is cut off.
    pub(crate) async fn read(&mut self, n: usize) -> Vec<Value> {
        let mut lines = Vec::new();
        while lines.len() < n {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                lines.push(serde_json::from_slice(&line).unwrap());
                continue;
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.rest.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        lines
    }

    /// Sends nothing more, and reads what is left.
    pub(crate) async fn end(self) -> Vec<Value> {
        let Self { lines, response, rest } = self;
        let (closed, _) = mpsc::channel(1);
        drop(lines);
        Self { lines: closed, response, rest }.read(usize::MAX).await
    }
}
