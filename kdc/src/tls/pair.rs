//! The server's certificate and its key, as files have them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_protocol::UnixMillis;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use super::{TlsError, certificates, ends_at, provider, read};
use crate::config::Tls;

/// A certificate and a key that go together. There is no other way to one than to read both and see that they do.
pub struct Pair {
    certified: Arc<CertifiedKey>,
    root_ends_at: Option<UnixMillis>,
}

impl Pair {
    /// Reads both. While a renewal is at work, or where one was killed, the key that fits is the next one, beside its
    /// place ([`next_key`]).
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn read(files: &Tls) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate, &read(&files.certificate)?)?;
        let certified = match with_key(&chain, &files.key) {
            Err(error) => with_key(&chain, &next_key(files)).map_err(|_| error)?,
            certified => certified?,
        };
        Ok(Self { certified: Arc::new(certified), root_ends_at: root_end(&chain, files) })
    }

    /// For rustls.
    pub(super) const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Whether it is the same certificate; then it has the same key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// When the certificate ends, if it says so.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixMillis> {
        ends_at(self.certified.cert.first()?)
    }

    /// When the root ends that signed it, if that is among the roots that hosts are given.
    #[must_use]
    pub const fn root_ends_at(&self) -> Option<UnixMillis> {
        self.root_ends_at
    }
}

/// Where a renewal puts the key of the certificate that it is about to put in place.
#[must_use]
pub fn next_key(files: &Tls) -> PathBuf {
    let mut name = files.key.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    files.key.with_file_name(name)
}

fn with_key(chain: &[CertificateDer<'static>], path: &Path) -> Result<CertifiedKey, TlsError> {
    let text = read(path)?;
    let content = || TlsError::Content { path: path.display().to_string() };
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| content())?;
    CertifiedKey::from_der(chain.to_vec(), key, &provider()).map_err(TlsError::Pair)
}

fn root_end(chain: &[CertificateDer<'_>], files: &Tls) -> Option<UnixMillis> {
    let (_, last) = parse_x509_certificate(chain.last()?).ok()?;
    let roots = certificates(&files.roots, &read(&files.roots).ok()?).ok()?;
    let signed = |root: &&CertificateDer<'_>| {
        parse_x509_certificate(root).is_ok_and(|(_, root)| root.subject() == last.issuer())
    };
    ends_at(roots.iter().find(signed)?)
}

/// Whether a file is not there, as far as an error tells.
pub(crate) fn is_missing(error: &TlsError) -> bool {
    matches!(error, TlsError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
