//! TLS towards a KDC.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::ConnectError;

/// TLS 1.3 only, trusting the certificates in `roots` (PEM) and no others.
///
/// # Errors
/// [`ConnectError::NoRoots`] and [`ConnectError::Roots`] when there is no certificate in `roots`.
pub fn config(roots: &str) -> Result<ClientConfig, ConnectError> {
    if roots.trim().is_empty() {
        return Err(ConnectError::NoRoots);
    }
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        let certificate = certificate.map_err(|error| ConnectError::Roots(error.to_string()))?;
        store.add(certificate).map_err(|error| ConnectError::Roots(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(ConnectError::Roots("there is no certificate in it".to_owned()));
    }
    let mut provider = aws_lc_rs::default_provider();
    // Keys of 256 bits only. SHA-256 first: a handshake with SHA-384 costs half as much again where the hardware has
    // only SHA-256.
    provider.cipher_suites =
        vec![cipher_suite::TLS13_CHACHA20_POLY1305_SHA256, cipher_suite::TLS13_AES_256_GCM_SHA384];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| ConnectError::Setup(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
