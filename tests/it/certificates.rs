//! The server's certificate changes while everything goes on.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::wait::until;
use keycell_tests::wire::send;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::client::TlsStream;

type Stream = TlsStream<tokio::net::TcpStream>;

/// The certificate that a connection was shown.
fn shown(stream: &Stream) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// The certificate that a new connection is shown by a KDC with these roots.
async fn served(kdc: &Kdc, roots: &str) -> Option<Vec<u8>> {
    let mut config = keycell_client::https::tls_config(roots).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = tokio::net::TcpStream::connect(kdc.address()).await.unwrap();
    let name = rustls::pki_types::ServerName::from(kdc.address().ip());
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    stream.ok().map(|stream| shown(&stream))
}

/// One request over a connection that stays open.
async fn asks(stream: &mut Stream) {
    send(stream, b"GET /livez HTTP/1.1\r\nhost: kdc\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

async fn metric(http: &Http, name: &str) -> u64 {
    let page = http.get("/metrics").await.text();
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_and_nothing_is_dropped() {
    let cell = Cell::sqlite();
    cell.configure("tls = { look_every_seconds = 3600 }");
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = Arc::new(admin.add("a@test.internal").await);
    admin.add("b@test.internal").await;
    let mut old = kdc.tls(&["http/1.1"]).await.unwrap();
    asks(&mut old).await;

    // Requests go on all the while, over connections that stay and over new ones.
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (a, stop, answered) = (a.clone(), stop.clone(), answered.clone());
            let (url, roots) = (kdc.url(), kdc.roots().to_owned());
            tokio::spawn(async move {
                let mut http = Http::new(&url, &roots, None);
                while !stop.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        http = Http::new(&url, &roots, None);
                    }
                    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let some = async |more: usize| {
        let before = answered.load(Ordering::Relaxed);
        until("requests go on", async || (answered.load(Ordering::Relaxed) >= before + more).then_some(()))
            .await;
    };

    let mut last = shown(&old);
    for _ in 0..5 {
        some(8).await;
        let renewed = cell.run(&["certificate", "renew"]).succeeded().stdout;
        assert!(renewed.contains("server.pem is new, good until 20"), "{renewed}");
        let text = cell.run(&["reload"]).succeeded().stdout;
        assert!(text.contains("New connections see another certificate, good until 20"), "{text}");
        let now = shown(&kdc.tls(&["http/1.1"]).await.unwrap());
        assert_ne!(now, last);
        last = now;
        asks(&mut old).await;
    }
    some(8).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn files_are_watched_and_what_does_not_fit_is_not_taken() {
    let (cell, other) = (Cell::sqlite(), Cell::sqlite());
    cell.configure("tls = { look_every_seconds = 1 }");
    let kdc = cell.serve();
    let (http, admin) = (kdc.http(), cell.admin(&kdc));
    let first = served(&kdc, &cell.roots()).await.unwrap();
    let (certificate, key) = (cell.file("tls/server.pem"), cell.file("tls/server.key"));
    let warned = async || {
        let status = admin.get("/v1/admin/status").await.json();
        let warnings = status["warnings"].as_array().unwrap().clone();
        warnings.iter().any(|warning| warning["kind"] == "certificate-refused")
    };

    // A half of another pair, and what is none.
    for (path, content) in [
        (&key, fs::read(other.file("tls/server.key")).unwrap()),
        (&key, b"-----BEGIN PRIVATE KEY-----\n".to_vec()),
        (&certificate, Vec::new()),
    ] {
        let good = fs::read(path).unwrap();
        let before = metric(&http, "keycell_certificates_refused_total").await;
        fs::write(path, content).unwrap();
        until("the files are refused", async || {
            (metric(&http, "keycell_certificates_refused_total").await > before).then_some(())
        })
        .await;
        assert_eq!(served(&kdc, &cell.roots()).await.unwrap(), first);
        assert!(warned().await);
        fs::write(path, good).unwrap();
        until("the warning ends", async || (!warned().await).then_some(())).await;
    }
    kdc.logs("the certificate in the files cannot be served: the one before stays").await;

    // The other half comes: now it is a pair, of another authority.
    let end = metric(&http, "keycell_certificate_expires_timestamp_seconds").await;
    fs::copy(other.file("tls/server.key"), &key).unwrap();
    fs::copy(other.file("tls/server.pem"), &certificate).unwrap();
    until("the other certificate is shown", async || served(&kdc, &other.roots()).await).await;
    assert_eq!(served(&kdc, &cell.roots()).await, None);
    let there = Http::new(&kdc.url(), &other.roots(), None);
    assert!(metric(&there, "keycell_certificate_expires_timestamp_seconds").await >= end);
    // What is not the cell's own is not renewed.
    let refused = cell.run(&["certificate", "renew"]).failed();
    assert!(refused.contains("is not signed by the cell's own root"), "{refused}");
}

/// As Kubernetes and certbot do it: the files are links into a folder that is swapped as a whole.
#[tokio::test]
async fn a_folder_of_links_is_swapped_at_once() {
    let (cell, other) = (Cell::sqlite(), Cell::sqlite());
    cell.configure("tls = { look_every_seconds = 1 }");
    let tls = cell.file("tls");
    let version = |name: &str, from: &Cell| {
        let folder = tls.join(name);
        fs::create_dir(&folder).unwrap();
        for file in ["server.pem", "server.key"] {
            fs::copy(from.file("tls").join(file), folder.join(file)).unwrap();
        }
    };
    version("one", &cell);
    version("two", &other);
    symlink("one", tls.join("now")).unwrap();
    for file in ["server.pem", "server.key"] {
        fs::remove_file(tls.join(file)).unwrap();
        symlink(Path::new("now").join(file), tls.join(file)).unwrap();
    }
    let kdc = cell.serve();
    assert!(served(&kdc, &cell.roots()).await.is_some());
    symlink("two", tls.join("next")).unwrap();
    fs::rename(tls.join("next"), tls.join("now")).unwrap();
    until("the other certificate is shown", async || served(&kdc, &other.roots()).await).await;
    assert!(!kdc.log().contains("cannot be served"), "{}", kdc.log());
}

/// A certificate that is about to end is renewed by the KDC itself, at its start and later.
#[tokio::test]
async fn a_certificate_in_its_last_days_is_renewed_by_itself() {
    for renew in [true, false] {
        let cell = Cell::sqlite();
        cell.configure(&format!("tls = {{ look_every_seconds = 1, renew = {renew} }}"));
        let soon = expiring(&cell, 20);
        let kdc = cell.serve();
        let admin = cell.admin(&kdc);
        let warned = async || {
            let status = admin.get("/v1/admin/status").await.json();
            status["warnings"].as_array().unwrap().iter().any(|one| one["kind"] == "certificate-expires")
        };
        if renew {
            until("another certificate is shown", async || {
                let now = served(&kdc, &cell.roots()).await.unwrap();
                (now != soon).then_some(())
            })
            .await;
            kdc.logs("the server's certificate is renewed").await;
            until("no warning is left", async || (!warned().await).then_some(())).await;
        } else {
            assert!(warned().await);
            assert_eq!(admin.get("/readyz").await.status, 200);
            assert_eq!(served(&kdc, &cell.roots()).await.unwrap(), soon);
            assert_eq!(
                fs::read(cell.file("tls/server.pem")).unwrap(),
                fs::read(cell.file("soon.pem")).unwrap()
            );
        }
    }
}

#[tokio::test]
async fn a_root_that_ends_within_a_year_is_warned_of() {
    for (days, warned) in [(300, true), (400, false)] {
        let cell = Cell::sqlite();
        let root = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "A root");
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        params.not_after = params.not_before + time::Duration::days(days);
        fs::write(cell.file("tls/roots.pem"), params.self_signed(&root).unwrap().pem()).unwrap();
        fs::write(cell.file("tls/roots.key"), root.serialize_pem()).unwrap();
        expiring(&cell, 100);
        let kdc = cell.serve();
        let status = cell.admin(&kdc).get("/v1/admin/status").await.json();
        let warnings = status["warnings"].as_array().unwrap();
        assert_eq!(warnings.iter().any(|one| one["kind"] == "root-expires"), warned, "{status}");
    }
}

/// Puts a certificate of the cell's own root in place that ends in so many days, and returns it.
fn expiring(cell: &Cell, days: i64) -> Vec<u8> {
    let read = |name: &str| fs::read_to_string(cell.file(name)).unwrap();
    let root = rcgen::KeyPair::from_pem(&read("tls/roots.key")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("tls/roots.pem"), root).unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::days(days);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    fs::write(cell.file("tls/server.key"), key.serialize_pem()).unwrap();
    fs::write(cell.file("tls/server.pem"), certificate.pem()).unwrap();
    fs::write(cell.file("soon.pem"), certificate.pem()).unwrap();
    certificate.der().to_vec()
}
