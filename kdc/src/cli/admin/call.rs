//! One call of the API: to the first KDC that can be reached, and once more where that is harmless.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keycell_protocol::ProblemType;
use rand_core::Rng as _;
use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use reqwest::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::Outcome;
use super::Admin;

/// A call that is being put together.
pub(in crate::cli) struct Call<'a> {
    admin: &'a Admin,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Zeroizing<Vec<u8>>>,
    revision: Option<u64>,
    patience: Duration,
}

impl<'a> Call<'a> {
    pub(super) const fn new(admin: &'a Admin, method: Method, path: String) -> Self {
        Self { admin, method, path, query: Vec::new(), body: None, revision: None, patience: PATIENCE }
    }

    /// Adds a parameter of the query, if there is a value for it.
    pub(in crate::cli) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Sends this as JSON.
    pub(in crate::cli) fn json(mut self, body: &impl Serialize) -> Outcome<Self> {
        self.body = Some(Zeroizing::new(serde_json::to_vec(body)?));
        Ok(self)
    }

    /// Only if the thing still has this revision.
    pub(in crate::cli) const fn if_revision(mut self, revision: Option<u64>) -> Self {
        self.revision = revision;
        self
    }

    /// The KDC may take long over this one.
    pub(in crate::cli) const fn long(mut self) -> Self {
        self.patience = LONG;
        self
    }

    /// Calls, and reads the answer.
    pub(in crate::cli) async fn read<T: DeserializeOwned>(self) -> Outcome<T> {
        Ok(parse(&self.bytes(None).await?)?)
    }

    /// Calls an operation that answers with nothing.
    pub(in crate::cli) async fn done(self) -> Outcome {
        Ok(self.bytes(None).await.map(drop)?)
    }

    /// Calls an operation that answers with nothing but the revision that something is at, if it says so.
    pub(in crate::cli) async fn revision(self) -> Outcome<Option<u64>> {
        let response = self.send(None).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await.into());
        }
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        Ok(tag.and_then(|tag| tag.trim_matches('"').parse().ok()))
    }

    /// Makes something. An answer that is lost, or a KDC that cannot at the moment, is asked again under the same
    /// `Idempotency-Key`, so that nothing is made twice.
    pub(in crate::cli) async fn create<T: DeserializeOwned>(self) -> Outcome<T> {
        let mut random = crate::random::system();
        let key: String = (0..4).map(|_| format!("{:08x}", random.next_u32())).collect();
        let mut attempt = 1;
        loop {
            match self.bytes(Some(&key)).await {
                Ok(bytes) => return Ok(parse(&bytes)?),
                Err(error) if error.uncertain && attempt < ATTEMPTS => {
                    let longest = BACKOFF_MS << attempt;
                    let wait = longest / 2 + u64::from(random.next_u32()) % (longest / 2);
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends a body as it comes and hands out the answer as it comes; for the same media type both ways.
    pub(in crate::cli) async fn stream(
        self,
        body: Option<(&'static str, reqwest::Body)>,
    ) -> Outcome<Response> {
        let url = self.admin.urls.get(self.admin.current.load(Ordering::Relaxed)).ok_or(NO_URL)?;
        let mut request = self.request(url, None)?.timeout(LONG);
        if let Some((media_type, body)) = body {
            request = request.header(CONTENT_TYPE, media_type).body(body);
        }
        let response = request.send().await.map_err(|error| unreached(url, &error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await.into()) }
    }

    async fn bytes(&self, idempotency: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let response = self.send(idempotency).await?;
        if response.status().is_success() { read(response).await } else { Err(refusal(response).await) }
    }

    /// Asks one KDC after the other, as long as the last one cannot have done it or may do it again.
    async fn send(&self, idempotency: Option<&str>) -> Result<Response, Failed> {
        let Admin { urls, current, .. } = self.admin;
        let harmless = idempotency.is_some() || self.method == Method::GET;
        let first = current.load(Ordering::Relaxed);
        let mut failed = None;
        for (at, url) in urls.iter().enumerate().cycle().skip(first).take(urls.len()) {
            let request = self.request(url, idempotency)?;
            let request = match &self.body {
                Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_vec()),
                None => request,
            };
            match request.timeout(self.patience).send().await {
                Ok(response) => {
                    current.store(at, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) => {
                    let sent = !error.is_connect();
                    failed = Some(unreached(url, &error));
                    if sent && !harmless {
                        break;
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| Failed::new(NO_URL.to_owned())))
    }

    fn request(&self, url: &str, idempotency: Option<&str>) -> Result<reqwest::RequestBuilder, Failed> {
        let mut whole = reqwest::Url::parse(&format!("{}{}", url.trim_end_matches('/'), self.path))
            .map_err(|error| Failed::new(format!("{url}: {error}")))?;
        if !self.query.is_empty() {
            whole.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = self.admin.http.request(self.method.clone(), whole).bearer_auth(&*self.admin.token);
        if let Some(key) = idempotency {
            request = request.header("idempotency-key", key);
        }
        if let Some(revision) = self.revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        Ok(request)
    }
}

/// The KDC did not do it, or did not say so.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(in crate::cli) struct Failed {
    text: String,
    /// The type of the problem, if it said one.
    pub(in crate::cli) code: Option<String>,
    /// The field at fault, if it said one.
    pub(in crate::cli) field: Option<String>,
    /// Whether it may be done all the same.
    pub(in crate::cli) uncertain: bool,
}

impl Failed {
    const fn new(text: String) -> Self {
        Self { text, code: None, field: None, uncertain: false }
    }

    /// Whether the KDC does not know the question, for it is of an earlier release: it has nothing at the path, or no such
    /// parameter. One that knows it may also say that the parameter is at fault, for what it holds.
    pub(in crate::cli) fn is_unknown(&self, parameter: &str) -> bool {
        let code = self.code.as_deref();
        code == Some(ProblemType::NotFound.urn())
            || code == Some(ProblemType::MalformedRequest.urn())
                && (self.field.as_deref() != Some(parameter) || self.text.contains("unknown field"))
    }
}

/// Whether the KDC answered with this problem.
pub(in crate::cli) fn is(error: &(dyn Error + Send + Sync + 'static), problem: ProblemType) -> bool {
    let code = error.downcast_ref::<Failed>().and_then(|failed| failed.code.as_deref());
    code == Some(problem.urn())
}

/// A problem document of this release or a newer one.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "type")]
    code: String,
    title: String,
    detail: Option<String>,
    field: Option<String>,
}

/// Reads the whole body of an answer.
async fn read(response: Response) -> Result<Zeroizing<Vec<u8>>, Failed> {
    match response.bytes().await {
        Ok(bytes) => Ok(Zeroizing::new(bytes.to_vec())),
        Err(_) => Err(Failed { uncertain: true, ..Failed::new("the KDC's answer was cut off".to_owned()) }),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(bytes)
        .map_err(|_| Failed::new("the KDC's answer is not understood; is it another version?".to_owned()))
}

async fn refusal(response: Response) -> Failed {
    let status = response.status();
    let uncertain = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
    let bytes = match read(response).await {
        Ok(bytes) => bytes,
        Err(failed) => return failed,
    };
    let Ok(told) = serde_json::from_slice::<Told>(&bytes) else {
        return Failed { uncertain, ..Failed::new(format!("the KDC answered {status}")) };
    };
    let mut text = told.title;
    if let Some(detail) = told.detail {
        text = format!("{text}: {detail}");
    }
    if let Some(field) = told.field.as_deref().filter(|field| !text.contains(field)) {
        text = format!("{text} ({field})");
    }
    if status == StatusCode::UNAUTHORIZED {
        text.push_str("; `keycell token create` makes a new one");
    }
    Failed { text, code: Some(told.code), field: told.field, uncertain }
}

fn unreached(url: &str, error: &reqwest::Error) -> Failed {
    let mut text = format!("cannot reach the KDC at {url}");
    if let Some(cause) = error.source() {
        text.push_str(&format!(": {cause}"));
    }
    text.push_str("; is `keycell serve` running?");
    Failed { uncertain: !error.is_connect(), ..Failed::new(text) }
}

const NO_URL: &str = "there is no URL of a KDC";
/// How long a KDC may take over a call.
const PATIENCE: Duration = Duration::from_secs(30);
/// And over one that goes through all there is.
const LONG: Duration = Duration::from_secs(6 * 3600);
/// How often something is asked to be made when the answer does not come.
const ATTEMPTS: u32 = 4;
/// Half of the longest wait before the second attempt.
const BACKOFF_MS: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_does_not_know_the_question_is_of_an_earlier_release() {
        let failed = |problem: ProblemType, field: Option<&str>, text: &str| Failed {
            code: Some(problem.urn().to_owned()),
            field: field.map(str::to_owned),
            ..Failed::new(format!("{problem}: {text}"))
        };
        // As such a KDC says it.
        let unknown = "unknown field `member`, expected `after` or `limit`";
        for earlier in [
            failed(ProblemType::MalformedRequest, Some("member"), unknown),
            failed(ProblemType::MalformedRequest, None, unknown),
            failed(ProblemType::NotFound, None, ""),
        ] {
            assert!(earlier.is_unknown("member"), "{earlier}");
        }
        for other in [
            failed(ProblemType::MalformedRequest, Some("member"), "there is no party a@z"),
            failed(ProblemType::RateLimited, None, ""),
            failed(ProblemType::Unavailable, None, ""),
            failed(ProblemType::Internal, None, ""),
            failed(ProblemType::InvalidToken, None, ""),
            Failed::new("the KDC answered 502 Bad Gateway".to_owned()),
        ] {
            assert!(!other.is_unknown("member"), "{other}");
        }
    }
}
