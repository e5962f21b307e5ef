//! TLS 1.3 and nothing below it, for HTTP/1.1 and HTTP/2.

use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::wire::send;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn http_1_and_2_over_tls_13_with_a_hybrid_key_exchange() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    for (offered, agreed) in [
        (vec!["h2", "http/1.1"], Some("h2")),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec!["h2"], Some("h2")),
        (vec![], None),
    ] {
        let stream = kdc.tls(&offered).await.unwrap();
        let (_, tls) = stream.get_ref();
        assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(tls.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
        assert_eq!(tls.alpn_protocol(), agreed.map(str::as_bytes), "{offered:?}");
        assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full));
    }
    assert!(kdc.tls(&["gopher"]).await.is_err());

    // The client library takes the newer one, and the older one answers as well.
    assert_eq!(kdc.http().get("/v1/zone").await.version, reqwest::Version::HTTP_2);
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = kdc.tls(protocols).await.unwrap();
        send(&mut stream, b"GET /livez HTTP/1.1\r\nhost: kdc\r\nconnection: close\r\n\r\n").await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn every_name_of_the_kdc_is_in_its_certificate() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let port = kdc.address().port();
    for host in ["localhost", "127.0.0.1"] {
        let http = Http::new(&format!("https://{host}:{port}"), kdc.roots(), None);
        assert_eq!(http.get("/livez").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn another_root_is_not_trusted() {
    let (cell, other) = (Cell::sqlite(), Cell::sqlite());
    let kdc = cell.serve();
    let http = Http::new(&kdc.url(), &other.roots(), None);
    let error = http.request(reqwest::Method::GET, "/livez").send().await.unwrap_err();
    assert!(format!("{error:?}").contains("InvalidCertificate"), "{error:?}");
    assert_eq!(kdc.http().get("/livez").await.status, 200);
}

#[tokio::test]
async fn tls_12_is_refused_by_name() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let mut stream = TcpStream::connect(kdc.address()).await.unwrap();
    send(&mut stream, &hello_of_tls_12()).await.unwrap();
    let answer = read_all(&mut stream).await;
    // One alert (21), fatal (2), protocol_version (70): RFC 8446 §6.
    assert_eq!((answer[0], &answer[3..]), (21, &[0, 2, 2, 70][..]), "{answer:?}");
}

#[tokio::test]
async fn plain_http_gets_nothing() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let mut stream = TcpStream::connect(kdc.address()).await.unwrap();
    send(&mut stream, b"GET /livez HTTP/1.1\r\nhost: kdc\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    // At most a TLS alert, never HTTP.
    assert!(answer.is_empty() || answer[0] == 21, "{}", String::from_utf8_lossy(&answer));
    assert!(stays_up(&kdc).await);
}

async fn stays_up(kdc: &Kdc) -> bool {
    kdc.http().get("/livez").await.status == 200
}

async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// A ClientHello as a good client of TLS 1.2 sends it (RFC 5246 §7.4.1.2): no supported_versions in it.
fn hello_of_tls_12() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 6, 0, 4, 0, 29, 0, 23, // supported_groups: x25519, secp256r1
        0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0, 13, 0, 6, 0, 4, 4, 3, 8,
        4, // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256
        0, 23, 0, 0, // extended_master_secret
    ];
    let mut hello = vec![3, 3];
    hello.extend([7; 32]); // random
    hello.push(0); // session id
    hello.extend([0, 4, 0xc0, 0x2b, 0xc0, 0x2f]); // ECDHE with AES-128-GCM
    hello.extend([1, 0]); // no compression
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut message = vec![1, 0];
    message.extend((hello.len() as u16).to_be_bytes());
    message.extend(hello);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}
