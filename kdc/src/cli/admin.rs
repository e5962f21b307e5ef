//! The administrator's end of the API: where the KDC is, what to trust, and the token.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use keycell_protocol::{Problem, ProblemType, Zone};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Global, Outcome};
use crate::tls;

/// Beside the configuration: the token that `keycell token create` made.
pub(super) const TOKEN_FILE: &str = "admin.token";

/// A connection to a KDC, with a token.
pub(super) struct Admin {
    http: reqwest::Client,
    url: String,
    token: Zeroizing<String>,
    roots: String,
}

impl Admin {
    /// From the environment (`KEYCELL_URL`, `KEYCELL_ROOTS`, `KEYCELL_TOKEN_FILE`, `KEYCELL_TOKEN`), and from the
    /// cell's own files for what is not there.
    pub(super) fn new(global: &Global) -> Outcome<Self> {
        let url = match env::var("KEYCELL_URL") {
            Ok(url) => url,
            Err(_) => global
                .config()
                .map_err(|error| {
                    format!("{error}; elsewhere, set KEYCELL_URL, KEYCELL_ROOTS and KEYCELL_TOKEN_FILE")
                })?
                .urls
                .into_iter()
                .next()
                .ok_or("the configuration has no URL")?,
        };
        let roots = match env::var("KEYCELL_ROOTS") {
            Ok(path) => fs::read_to_string(&path)
                .map_err(|error| format!("KEYCELL_ROOTS: cannot read {path}: {error}"))?,
            Err(_) => tls::roots(&global.config()?.tls)?,
        };
        let token = token(global)?;
        let config = keycell_client::https::tls_config(&roots)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), token, roots })
    }

    /// The root certificates that this zone's hosts are to trust, in PEM.
    pub(super) fn roots(&self) -> &str {
        &self.roots
    }

    /// The zone's name, so that a local name can be made a full one.
    pub(super) async fn zone(&self) -> Outcome<Zone> {
        #[derive(serde::Deserialize)]
        struct View {
            zone: Zone,
        }
        Ok(self.call::<View>(Method::GET, "/v1/zone", &[], None::<&()>).await?.zone)
    }

    /// Calls one operation and reads its answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Outcome<T> {
        let bytes = self.bytes(method, path, query, body).await?;
        Ok(serde_json::from_slice(&bytes)
            .map_err(|_| "the KDC's answer is not understood; is it another version?")?)
    }

    /// Calls one operation that answers with nothing.
    pub(super) async fn done(&self, method: Method, path: &str) -> Outcome {
        self.bytes(method, path, &[], None::<&()>).await.map(drop)
    }

    async fn bytes(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Outcome<Zeroizing<Vec<u8>>> {
        let mut url = reqwest::Url::parse(&format!("{}{path}", self.url))
            .map_err(|error| format!("{}: {error}", self.url))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).bearer_auth(&*self.token);
        if let Some(body) = body {
            request = request
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(serde_json::to_vec(body)?);
        }
        let response = request.send().await.map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Failed {
                text: format!("cannot reach the KDC at {}{cause}; is `keycell serve` running?", self.url),
                code: None,
                uncertain: !error.is_connect(),
            }
        })?;
        let status = response.status();
        let lost =
            |_| Failed { text: "the KDC's answer was cut off".to_owned(), code: None, uncertain: true };
        let bytes = Zeroizing::new(response.bytes().await.map_err(lost)?.to_vec());
        if status.is_success() {
            return Ok(bytes);
        }
        let uncertain = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => {
                let text = if status == StatusCode::UNAUTHORIZED {
                    format!("{problem}; `keycell token create` makes a new one")
                } else {
                    problem.to_string()
                };
                Failed { text, code: Some(problem.kind), uncertain }
            }
            Err(_) => Failed { text: format!("the KDC answered {status}"), code: None, uncertain },
        }
        .into())
    }
}

/// The KDC did not do it, or did not say so.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failed {
    text: String,
    /// The problem, if it said one.
    pub(super) code: Option<ProblemType>,
    /// Whether it may be done all the same.
    pub(super) uncertain: bool,
}

fn token(global: &Global) -> Outcome<Zeroizing<String>> {
    if let Ok(token) = env::var("KEYCELL_TOKEN") {
        return Ok(Zeroizing::new(token.trim().to_owned()));
    }
    let file = env::var_os("KEYCELL_TOKEN_FILE")
        .map_or_else(|| global.config.with_file_name(TOKEN_FILE), PathBuf::from);
    let token = fs::read_to_string(&file).map_err(|error| {
        format!(
            "cannot read the administrator's token {}: {error}; `keycell token create` makes one",
            file.display()
        )
    })?;
    Ok(Zeroizing::new(token.trim().to_owned()))
}

/// A name as a path segment: everything but letters, digits and `-._~` percent-encoded (RFC 3986 §2.3).
pub(super) fn segment(name: &keycell_protocol::Name) -> String {
    name.as_str().bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
