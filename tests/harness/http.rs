//! A client of a KDC's HTTPS interface that shows everything of an answer, and lets pass none that is not as described.

#![expect(clippy::expect_used, clippy::panic, reason = "what the harness cannot do fails the test")]

use std::net::IpAddr;

use keycell_protocol::{Problem, ProblemType};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Version};
use serde_json::Value;

use crate::openapi::Description;
use crate::party::Party;

/// A client of one KDC.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    url: String,
    token: Option<String>,
}

impl Http {
    /// A client that trusts `roots` and nobody else.
    #[must_use]
    pub fn new(url: &str, roots: &str, local: Option<IpAddr>) -> Self {
        let mut tls = keycell_client::https::tls_config(roots).expect("root certificates");
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = Client::builder().tls_backend_preconfigured(tls).https_only(true).no_proxy();
        let client = client.local_address(local).build().expect("a client");
        Self { client, url: url.to_owned(), token: None }
    }

    /// The same with an administrator's token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// A request that is to be filled and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks for something.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// Sends JSON.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Answer {
        Answer::of(with_json(self.request(method, path), body.to_string())).await
    }

    /// Sends a request for tickets.
    pub async fn tickets(&self, body: impl Into<Vec<u8>>) -> Answer {
        Answer::of(with_json(self.request(Method::POST, "/v1/tickets"), body.into())).await
    }

    /// Sends JSON, and tells when there is no answer.
    ///
    /// # Errors
    /// The connection broke, or there was none.
    pub async fn try_send(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<Answer> {
        Answer::try_of(with_json(self.request(method, path), body.to_string())).await
    }

    /// Makes a party whose key the KDC draws.
    ///
    /// # Panics
    /// When it is not made.
    pub async fn add(&self, name: &str) -> Party {
        let body = serde_json::json!({ "name": name });
        let answer = self.send(Method::POST, PARTIES, &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        Party::created(&answer.json())
    }

    /// Disables or enables a party.
    pub async fn set_enabled(&self, name: &str, enabled: bool) -> Answer {
        self.send(Method::PATCH, &party_path(name), &serde_json::json!({ "enabled": enabled })).await
    }

    /// Deletes a party.
    pub async fn delete(&self, name: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, &party_path(name))).await
    }
}

/// Everything of an answer.
#[derive(Debug)]
pub struct Answer {
    /// The operation that gave it, such as `GET /v1/admin/parties/{name}`.
    pub operation: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The version of HTTP.
    pub version: Version,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer, or it is not as `openapi.yaml` describes it.
    pub async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Sends a request, and tells when there is no answer.
    ///
    /// # Errors
    /// The connection broke, or there was none.
    pub async fn try_of(request: RequestBuilder) -> reqwest::Result<Self> {
        let (client, request) = request.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await?;
        let (status, version) = (response.status().as_u16(), response.version());
        let headers = response.headers().clone();
        let body = response.bytes().await?.to_vec();
        let operation = Description::shared().check(&method, &path, status, &headers, &body);
        Ok(Self { operation, status, headers, version, body })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header's value, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The problem document that this is.
    ///
    /// # Panics
    /// When it is none, or its status is not the response's.
    #[must_use]
    pub fn problem(&self) -> Problem {
        assert_eq!(self.header(CONTENT_TYPE.as_str()), "application/problem+json", "{}", self.text());
        let problem: Problem = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no problem document: {error}: {}", self.text()));
        assert_eq!(problem.status, self.status);
        problem
    }

    /// Which problem this is.
    #[must_use]
    pub fn kind(&self) -> ProblemType {
        self.problem().kind
    }
}

/// The path of the parties.
pub const PARTIES: &str = "/v1/admin/parties";

/// The path of one party, its name percent-encoded.
#[must_use]
pub fn party_path(name: &str) -> String {
    let encoded = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    format!("{PARTIES}/{}", encoded.collect::<String>())
}

fn with_json(request: RequestBuilder, body: impl Into<reqwest::Body>) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body)
}
