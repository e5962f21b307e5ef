//! Fetching a document of an issuer over HTTPS.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CACHE_CONTROL, HeaderMap};
use reqwest::{Client, StatusCode, Url, redirect};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::{FetchError, IssuersError};

/// Whoever fetches documents: a client, or in tests a table.
#[async_trait]
pub(super) trait Fetch: Send + Sync {
    /// Fetches one document. Who asks bounds the time.
    async fn get(&self, url: &Url) -> Result<Document, FetchError>;
}

/// What came.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// For how long the sender lets it be kept, if it says.
    pub(super) keep: Option<Duration>,
}

/// A client that trusts the roots of one issuer.
pub(super) struct Https(Client);

impl Https {
    /// A client that trusts the certificates in `roots`, or the system's.
    pub(super) fn new(roots: Option<&Path>) -> Result<Self, IssuersError> {
        let store = match roots {
            Some(path) => from_file(path)?,
            None => from_system()?,
        };
        let client =
            Client::builder().tls_backend_preconfigured(trusting(store)?).https_only(true).no_proxy();
        // The documents are where the issuer's URL says, and nowhere else.
        Ok(Self(client.redirect(redirect::Policy::none()).pool_max_idle_per_host(0).build()?))
    }
}

/// For a client that trusts whom the system trusts.
pub(crate) fn tls_of_system() -> Result<ClientConfig, IssuersError> {
    trusting(from_system()?)
}

/// For a client that trusts nobody: one of plain HTTP.
pub(crate) fn tls_of_nobody() -> Result<ClientConfig, IssuersError> {
    trusting(RootCertStore::empty())
}

/// TLS 1.2 too: what others speak is not ours to choose.
fn trusting(roots: RootCertStore) -> Result<ClientConfig, IssuersError> {
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[async_trait]
impl Fetch for Https {
    async fn get(&self, url: &Url) -> Result<Document, FetchError> {
        let mut response = self.0.get(url.clone()).send().await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status { url: url.to_string(), status: response.status().as_u16() });
        }
        let keep = keep(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge { url: url.to_string() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, keep })
    }
}

/// What Cache-Control says (RFC 9111 §5.2.2).
fn keep(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let ages = values.flat_map(|value| value.split(',')).filter_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => value.trim().trim_matches('"').parse().ok().map(Duration::from_secs),
            "no-store" | "no-cache" => Some(Duration::ZERO),
            _ => None,
        }
    });
    ages.min()
}

fn from_file(path: &Path) -> Result<RootCertStore, IssuersError> {
    let name = || path.display().to_string();
    let pem = fs::read(path).map_err(|source| IssuersError::Read { path: name(), source })?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.ok().and_then(|certificate| store.add(certificate).ok());
        added.ok_or_else(|| IssuersError::Roots { path: name() })?;
    }
    if store.is_empty() { Err(IssuersError::Roots { path: name() }) } else { Ok(store) }
}

fn from_system() -> Result<RootCertStore, IssuersError> {
    let mut store = RootCertStore::empty();
    // A system's collection may have one that cannot be read; the others still count.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(IssuersError::NoRoots) } else { Ok(store) }
}

const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_to_keep_is_the_shortest_that_is_said() {
        for (said, seconds) in [
            (&["max-age=600"][..], Some(600)),
            (&["public, Max-Age=60, must-revalidate"], Some(60)),
            (&["max-age=600", "no-cache"], Some(0)),
            (&["no-store"], Some(0)),
            (&["max-age=soon"], None),
            (&["public"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(CACHE_CONTROL, value.parse().unwrap());
            }
            assert_eq!(keep(&headers), seconds.map(Duration::from_secs), "{said:?}");
        }
    }

    #[test]
    fn roots_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        let error = Https::new(Some(&path)).err().unwrap();
        assert!(matches!(error, IssuersError::Read { .. }), "{error}");
        fs::write(&path, "no certificate").unwrap();
        let error = Https::new(Some(&path)).err().unwrap();
        assert!(matches!(error, IssuersError::Roots { .. }), "{error}");
    }
}
