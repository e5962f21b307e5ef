//! `/openapi.yaml` and `/docs`: the description of the API, as a file and as a page.
//!
//! The page is made of the file, so the two cannot differ. It needs nothing from anywhere else, and runs no script.

mod content;
mod curl;
mod document;
mod html;
mod markdown;
mod operation;
mod page;
mod schema;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;

use document::Document;

/// The description, for programs.
pub(super) async fn file(request: HeaderMap) -> Response {
    static FILE: LazyLock<Fixed> =
        LazyLock::new(|| Fixed::new("application/yaml", "default-src 'none'", OPENAPI.into()));
    FILE.answer(&request)
}

/// The description, for people.
pub(super) async fn page(request: HeaderMap) -> Response {
    static PAGE: LazyLock<Fixed> = LazyLock::new(|| {
        let style = STANDARD.encode(digest(&SHA256, page::STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        Fixed::new("text/html; charset=utf-8", &policy, page::page(&Document::new(OPENAPI)).into())
    });
    PAGE.answer(&request)
}

/// A body that stays the same for as long as the process runs, with all its headers.
struct Fixed {
    headers: HeaderMap,
    etag: String,
    body: Bytes,
}

impl Fixed {
    fn new(media_type: &'static str, policy: &str, body: Bytes) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &body)));
        let mut headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            // To be kept, but asked for each time: another version of the KDC may answer.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ]);
        for (name, value) in [(header::ETAG, etag.as_str()), (header::CONTENT_SECURITY_POLICY, policy)] {
            headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        }
        Self { headers, etag, body }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        if self.is_known(request) {
            let mut headers = self.headers.clone();
            headers.remove(header::CONTENT_TYPE);
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (self.headers.clone(), self.body.clone()).into_response()
    }

    /// Whether the client has this very body: RFC 9110 §13.1.2, where `W/` makes no difference.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag)
    }
}

/// The file in the root of the repository.
const OPENAPI: &str = include_str!("../../../openapi.yaml");

#[cfg(test)]
mod tests;
