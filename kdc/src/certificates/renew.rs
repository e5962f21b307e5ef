//! A new server certificate in the place of the one that ends, signed by the cell's own root.
//!
//! Two files change, and a KDC may look, or the machine stop, between any two steps:
//!
//! ```text
//!                               server.pem   server.key   server.key.next
//! before                        old          old          -
//! the next key is written       old          old          new
//! the certificate is replaced   new          old          new               who reads tries the next key too
//! the next key takes its place  new          new          -
//! ```

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use keycell_protocol::UnixMillis;
use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustix::fs::OFlags;
use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;
use zeroize::Zeroizing;

use super::{CertificateError, SERVER_DAYS, server};
use crate::config::{Config, Tls};
use crate::files;
use crate::tls::{self, Pair, TlsError};

/// When to renew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In the last days of the certificate.
    Due,
    /// Now.
    Now,
}

/// What came of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// There is a new certificate.
    Done {
        /// When it ends.
        ends_at: UnixMillis,
    },
    /// The one that is there is good for a while.
    NotDue,
    /// The key of the root is not here, or the certificate is somebody else's.
    NotOurs,
}

/// Renews the server's certificate of a cell.
///
/// # Errors
/// [`RenewError`]: then what was served before can still be.
pub fn renew(config: &Config, now: UnixMillis, when: When) -> Result<Renewed, RenewError> {
    let files = &config.tls;
    let Some(authority) = Authority::of(files)? else { return Ok(Renewed::NotOurs) };
    let _one_at_a_time = lock(files)?;
    finish(files)?;
    let chain = tls::read(&files.certificate).and_then(|pem| tls::certificates(&files.certificate, &pem));
    match chain.as_deref().map(<[_]>::first) {
        Ok(Some(leaf)) if authority.made(leaf) => {
            let due = tls::ends_at(leaf).is_some_and(|end| end < now.plus(DUE_DAYS * DAY_MS));
            if when == When::Due && !due {
                return Ok(Renewed::NotDue);
            }
        }
        Ok(_) => return Ok(Renewed::NotOurs),
        // It is lost: with the root at hand, that is no reason not to have another.
        Err(_) if when == When::Now => {}
        Err(_) => {
            chain?;
        }
    }
    let (certificate, key) = authority.issue(&config.urls, config.listen, now)?;
    let (next, root_key) = (tls::next_key(files), root_key(files));
    replace(&next, key.as_bytes(), [&files.key, &root_key])?;
    replace(&files.certificate, certificate.as_bytes(), [&files.certificate, &files.roots])?;
    finish(files)?;
    let made = tls::certificates(&files.certificate, certificate.as_bytes())?;
    let ends_at = made.first().and_then(tls::ends_at).ok_or_else(|| content(&files.certificate))?;
    Ok(Renewed::Done { ends_at })
}

/// Puts a file in its place, with owner and permissions of the first of `models` that there is: root may renew for the user
/// who serves.
fn replace(path: &Path, content: &[u8], models: [&Path; 2]) -> Result<(), RenewError> {
    let model = model(models)?;
    files::replace_as(path, content, model.mode() & 0o777, Some(&model)).map_err(write(path))
}

fn model([first, second]: [&Path; 2]) -> Result<Metadata, RenewError> {
    fs::metadata(first).or_else(|_| fs::metadata(second)).map_err(write(first))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Puts the next key in its place if it is the one that fits, as after a renewal that was killed.
fn finish(files: &Tls) -> Result<(), RenewError> {
    let next = tls::next_key(files);
    let by_next = Tls { key: next.clone(), ..files.clone() };
    match Pair::read(&by_next) {
        Ok(_) => {
            fs::rename(&next, &files.key).map_err(write(&files.key))?;
            files::sync_folder(&files.key).map_err(write(&files.key))
        }
        // It belongs to no certificate: it was never used.
        Err(_) => Ok(()),
    }
}

/// Two KDCs may share the files.
fn lock(files: &Tls) -> Result<File, RenewError> {
    let path = beside(&files.key, ".lock");
    let no_link = OFlags::NOFOLLOW.bits().cast_signed();
    let lock = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_link)
        .open(&path)
        .map_err(write(&path))?;
    let key = model([&files.key, &root_key(files)])?;
    if lock.metadata().map_err(write(&path))?.uid() != key.uid() {
        // Whoever serves must be able to renew too. Who may not give it away need not.
        let _ = fchown(&lock, Some(key.uid()), Some(key.gid()));
    }
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(RenewError::Busy),
        Err(TryLockError::Error(error)) => Err(write(&path)(error)),
    }
}

/// The cell's own root, with its key.
fn root_key(files: &Tls) -> PathBuf {
    files.roots.with_extension("key")
}

struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Finds it: the key beside the roots, under their name and `.key`. `None` when there is none, or it is of no root.
    fn of(files: &Tls) -> Result<Option<Self>, RenewError> {
        let path = root_key(files);
        let text = match tls::read(&path) {
            Err(error) if tls::is_missing(&error) => return Ok(None),
            text => text?,
        };
        let key = std::str::from_utf8(&text).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
        let key = key.ok_or_else(|| content(&path))?;
        let own = key.subject_public_key_info();
        let roots = tls::certificates(&files.roots, &tls::read(&files.roots)?)?;
        let is_own = |root: &CertificateDer<'_>| {
            parse_x509_certificate(root).is_ok_and(|(_, root)| root.is_ca() && root.public_key().raw == own)
        };
        let Some(root) = roots.into_iter().find(is_own) else { return Ok(None) };
        let issuer = Issuer::from_ca_cert_der(&root, key).map_err(CertificateError::from)?;
        Ok(Some(Self { root, issuer }))
    }

    /// Whether it signed this certificate.
    fn made(&self, certificate: &CertificateDer<'_>) -> bool {
        let (Ok((_, root)), Ok((_, leaf))) =
            (parse_x509_certificate(&self.root), parse_x509_certificate(certificate))
        else {
            return false;
        };
        leaf.verify_signature(Some(root.public_key())).is_ok()
    }

    /// Signs a certificate for a year, or until the root ends.
    fn issue(
        &self,
        urls: &[String],
        listen: SocketAddr,
        now: UnixMillis,
    ) -> Result<(String, Zeroizing<String>), RenewError> {
        let left = tls::ends_at(&self.root).map_or(0, |end| end.0.saturating_sub(now.0)) / DAY_MS;
        let days = i64::try_from(left).unwrap_or(SERVER_DAYS).min(SERVER_DAYS);
        if days == 0 {
            return Err(RenewError::RootEnds);
        }
        Ok(server(urls, listen, now, days, &self.issuer)?)
    }
}

fn content(path: &Path) -> TlsError {
    TlsError::Content { path: path.display().to_string() }
}

fn write(path: &Path) -> impl Fn(io::Error) -> RenewError + use<> {
    let path = path.to_owned();
    move |source| RenewError::Write { path: path.clone(), source }
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// What is there cannot be read.
    #[error(transparent)]
    Read(#[from] TlsError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be made.
    #[error(transparent)]
    Make(#[from] CertificateError),
    /// Somebody else is renewing it.
    #[error("another process renews this certificate: try again in a moment")]
    Busy,
    /// The root is good for less than a day.
    #[error("the cell's own root has ended: make a new one, and give it to every host")]
    RootEnds,
}

/// From how many days before its end a certificate is renewed, and warned of.
pub const DUE_DAYS: u64 = 30;
const DAY_MS: u64 = 86_400_000;

#[cfg(test)]
mod tests;
