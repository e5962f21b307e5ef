//! Carrying requests to a KDC.

use core::error::Error as _;
use core::fmt::Write as _;
use core::pin::Pin;
use core::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};

use super::{ConnectError, tls};

/// Carries requests to a KDC: [`Https`], or whatever a test puts in its place.
pub trait Transport: Send + Sync + 'static {
    /// Posts `body`, which is JSON, to `url`, and reads at most `max` bytes of the answer.
    ///
    /// The caller drops what takes too long.
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Vec<u8>,
        max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>>;
}

/// What a KDC answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);

/// HTTPS with connections that are kept, no proxy, no redirect, and only the given certificates trusted.
#[derive(Debug, Clone)]
pub struct Https(reqwest::Client);

impl Https {
    /// Trusts the certificates in `roots`, in PEM, and no others.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn new(roots: &str, connect_timeout: Duration) -> Result<Self, ConnectError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(roots)?)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(connect_timeout)
            .user_agent(concat!("keycell-client/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ConnectError::Setup(chain(&error)))?;
        Ok(Self(client))
    }
}

impl Transport for Https {
    fn post<'a>(
        &'a self,
        url: &'a str,
        body: Vec<u8>,
        max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, TransportError>> + Send + 'a>> {
        Box::pin(async move {
            let request = self.0.post(url).header(CONTENT_TYPE, "application/json").body(body);
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let mut body = Vec::new();
            // Piece by piece: what is too long is not read to its end.
            while let Some(piece) = response.chunk().await? {
                if body.len() + piece.len() > max {
                    return Err(TransportError(format!("the answer is longer than {max} bytes")));
                }
                body.extend_from_slice(&piece);
            }
            Ok(Answer { status, retry_after, body })
        })
    }
}

impl From<reqwest::Error> for TransportError {
    fn from(error: reqwest::Error) -> Self {
        // The URL is told by the caller.
        Self(chain(&error.without_url()))
    }
}

/// An error and its causes on one line: the first alone says only "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
