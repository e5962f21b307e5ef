//! The cell's own certificate authority, for those who have none: one root, one server certificate at a time.

mod renew;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use keycell_protocol::UnixMillis;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SigningKey,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

pub use renew::{DUE_DAYS, RenewError, Renewed, When, renew};

/// A root and a server certificate, in PEM.
pub struct Certificates {
    /// What hosts trust.
    pub roots: String,
    /// Signs the server's certificates.
    pub roots_key: Zeroizing<String>,
    /// The server's certificate.
    pub server: String,
    /// The server's key.
    pub server_key: Zeroizing<String>,
}

/// Makes a root for ten years and, signed by it, a certificate for the hosts of `urls` for one.
///
/// # Errors
/// [`CertificateError`] when a URL has no host that a certificate could name.
pub fn make(urls: &[String], listen: SocketAddr, now: UnixMillis) -> Result<Certificates, CertificateError> {
    let roots_key = KeyPair::generate()?;
    let mut params = params(Vec::new(), "Keycell root", now, 3653)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params.self_signed(&roots_key)?;
    let issuer = Issuer::from_params(&params, &roots_key);

    let (server, server_key) = server(urls, listen, now, SERVER_DAYS, &issuer)?;
    Ok(Certificates {
        roots: root.pem(),
        roots_key: Zeroizing::new(roots_key.serialize_pem()),
        server,
        server_key,
    })
}

/// A certificate for the hosts of `urls`, and its key, in PEM.
fn server(
    urls: &[String],
    listen: SocketAddr,
    now: UnixMillis,
    days: i64,
    issuer: &Issuer<'_, impl SigningKey>,
) -> Result<(String, Zeroizing<String>), CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = params(hosts(urls, listen), "Keycell KDC", now, days)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

/// No certificate could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate for the host names of the URLs: {0}")]
pub struct CertificateError(#[from] rcgen::Error);

fn params(
    names: Vec<String>,
    common_name: &str,
    now: UnixMillis,
    days: i64,
) -> Result<CertificateParams, CertificateError> {
    let seconds = i64::try_from(now.seconds().0).unwrap_or(0);
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    // An hour back, for hosts whose clocks are behind.
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::days(days);
    Ok(params)
}

/// The hosts of the URLs, the address listened on, and this machine by its loopback names.
fn hosts(urls: &[String], listen: SocketAddr) -> Vec<String> {
    let mut hosts: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    if !listen.ip().is_unspecified() {
        hosts.insert(listen.ip().to_string());
    }
    for url in urls {
        let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        hosts.extend(host.map(|host| host.trim_matches(['[', ']']).to_owned()));
    }
    hosts.into_iter().collect()
}

const SERVER_DAYS: i64 = 366;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_names_every_host_once() {
        let urls = ["https://kdc.example.com:8443", "https://[2001:db8::1]:8443/", "https://localhost:1"];
        let hosts = hosts(&urls.map(str::to_owned), "0.0.0.0:8443".parse().unwrap());
        assert_eq!(hosts, ["127.0.0.1", "2001:db8::1", "::1", "kdc.example.com", "localhost"]);
    }
}
