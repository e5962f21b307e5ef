//! TLS 1.3 and nothing below it (docs/architecture.md, "TLS").

mod pair;
mod served;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use keycell_protocol::{UnixMillis, UnixSeconds};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::config::Tls;
pub(crate) use pair::is_missing;
pub use pair::{Pair, next_key};
pub use served::{Look, Served};

/// What the server offers: suites with 256-bit keys only, and X25519MLKEM768 before X25519, so that what was recorded
/// today stays closed.
///
/// ChaCha20-Poly1305 comes first, with SHA-256: without hardware for SHA-384, that costs a third of a handshake.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}

/// Reads the server's certificate and key, for a server that keeps them as long as it runs.
///
/// # Errors
/// [`TlsError`], which names the file.
pub fn server(files: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    Served::load(files)?.server()
}

/// When a certificate ends, if it says so.
pub(crate) fn ends_at(certificate: &CertificateDer<'_>) -> Option<UnixMillis> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(UnixSeconds(seconds).millis())
}

/// Reads the root certificates that hosts are to trust.
///
/// # Errors
/// [`TlsError`], which names the file.
pub fn roots(files: &Tls) -> Result<String, TlsError> {
    let pem = read(&files.roots)?;
    certificates(&files.roots, &pem)?;
    String::from_utf8(pem.to_vec()).map_err(|_| TlsError::Content { path: files.roots.display().to_string() })
}

/// One certificate or more.
pub(crate) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| TlsError::Content { path: path.display().to_string() })
}

pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| TlsError::Read { path: path.display().to_string(), source })
}

/// Why the server has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} does not hold what it should, in PEM")]
    Content {
        /// The file.
        path: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate and the key of the server do not go together: {0}")]
    Pair(rustls::Error),
}
