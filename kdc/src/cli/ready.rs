//! `keycell ready`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use keycell_protocol::Problem;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::output::Output;
use super::{Global, Outcome};
use crate::tls;

/// Asks the KDC of this configuration, on this machine, at /readyz. Exit status 0: it is; 1: it is not, or does not answer.
/// For health checks where there is no curl.
#[derive(Debug, Args)]
pub(super) struct Ready {}

#[derive(Debug, Serialize)]
struct Answer {
    ready: bool,
}

impl Ready {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let config = global.config()?;
        let mut tls = keycell_client::https::tls_config(&tls::roots(&config.tls)?)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let asked = ask(here(config.listen), &config.urls, Arc::new(tls));
        timeout(PATIENCE, asked).await.map_err(|_| "the KDC does not answer in time")??;
        Ok(output.print(&Answer { ready: true }, |out| writeln!(out, "The KDC is ready."))?)
    }
}

/// Where to reach on this machine what listens there.
fn here(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

/// One of the zone's URLs is this KDC's: its certificate says which.
async fn ask(address: SocketAddr, urls: &[String], tls: Arc<ClientConfig>) -> Outcome {
    let mut failed = "the configuration has no URL".into();
    for name in urls.iter().filter_map(|url| server_name(url)) {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| format!("no KDC listens on {address}: {error}"))?;
        match TlsConnector::from(tls.clone()).connect(name, stream).await {
            Ok(mut stream) => {
                stream.write_all(REQUEST).await?;
                stream.flush().await?;
                let mut answer = Vec::new();
                // Some end a connection without taking leave of TLS; what was read counts.
                let _ = stream.take(LONGEST).read_to_end(&mut answer).await;
                return judge(&String::from_utf8_lossy(&answer));
            }
            Err(error) => {
                failed = format!("the certificate of {address} is none of this zone's: {error}").into()
            }
        }
    }
    Err(failed)
}

fn server_name(url: &str) -> Option<ServerName<'static>> {
    let url = reqwest::Url::parse(url).ok()?;
    ServerName::try_from(url.host_str()?.trim_matches(['[', ']']).to_owned()).ok()
}

fn judge(answer: &str) -> Outcome {
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let problem = answer.find('{').zip(answer.rfind('}')).and_then(|(from, to)| answer.get(from..=to));
    let problem = problem.and_then(|json| serde_json::from_str::<Problem>(json).ok());
    let detail =
        problem.and_then(|problem| problem.detail).unwrap_or_else(|| format!("it answers {status:?}"));
    Err(format!("the KDC is not ready: {detail}").into())
}

const REQUEST: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const LONGEST: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anywhere_is_here() {
        for (listen, at) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")]
        {
            assert_eq!(here(listen.parse().unwrap()), at.parse().unwrap());
        }
        assert!(server_name("https://[::1]:8443").is_some() && server_name("https://kdc1:8443").is_some());
    }

    #[test]
    fn only_200_is_ready() {
        assert!(judge("HTTP/1.1 200 OK\r\n\r\nok\n").is_ok());
        let body =
            r#"{"type":"urn:keycell:problem:unavailable","title":"t","status":503,"detail":"the disk"}"#;
        let error = judge(&format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{body}")).unwrap_err();
        assert_eq!(error.to_string(), "the KDC is not ready: the disk");
        assert!(judge("HTTP/1.1 404 Not Found\r\n\r\n").is_err() && judge("").is_err());
    }
}
