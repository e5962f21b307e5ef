//! What a type cannot check: ranges, and that URLs are URLs.

use keycell_protocol::Bundle;

use super::Config;

impl Config {
    /// What is out of its range, if anything.
    pub(super) fn rules(&self) -> Vec<(bool, &'static str)> {
        vec![
            (!self.urls.is_empty(), "urls: at least one URL is needed, such as https://kdc.example.com:8443"),
            (self.urls.len() <= Bundle::MAX_URLS, "urls: at most 16, as in a bundle"),
            (
                self.urls.iter().all(|url| is_base_url(url)),
                "urls: write https://HOST:PORT, HOST being a DNS name or an address",
            ),
            ((10..=86_400).contains(&self.tickets.lifetime_seconds), "tickets.lifetime_seconds: 10 to 86400"),
            ((1..=600).contains(&self.tickets.clock_skew_seconds), "tickets.clock_skew_seconds: 1 to 600"),
            (
                (3_600..=2_592_000).contains(&self.groups.voucher_lifetime_seconds),
                "groups.voucher_lifetime_seconds: 3600 to 2592000",
            ),
            (
                (1..=1_000_000).contains(&self.groups.refetches_per_second),
                "groups.refetches_per_second: 1 to 1000000",
            ),
            ((10..=60_000).contains(&self.peers.attempt_timeout_ms), "peers.attempt_timeout_ms: 10 to 60000"),
            ((10..=60_000).contains(&self.peers.timeout_ms), "peers.timeout_ms: 10 to 60000"),
            ((1..=10_000).contains(&self.peers.concurrency), "peers.concurrency: 1 to 10000"),
            ((1..=1_000).contains(&self.peers.breaker_failures), "peers.breaker_failures: 1 to 1000"),
            ((1..=3_600).contains(&self.peers.breaker_open_seconds), "peers.breaker_open_seconds: 1 to 3600"),
            (
                self.limits.tickets_per_party.burst.get() >= 1000,
                "limits.tickets_per_party.burst: at least 1000, the largest request",
            ),
            ((4096..=16 << 20).contains(&self.limits.body_bytes), "limits.body_bytes: 4096 to 16777216"),
            (self.limits.connections > 0, "limits.connections: at least 1"),
            (self.limits.connections_per_address > 0, "limits.connections_per_address: at least 1"),
            ((1..=86_400).contains(&self.limits.idle_seconds), "limits.idle_seconds: 1 to 86400"),
            ((1..=3600).contains(&self.tls.look_every_seconds), "tls.look_every_seconds: 1 to 3600"),
            (self.limits.disk_free_bytes <= 1 << 50, "limits.disk_free_bytes: at most 1125899906842624"),
            (
                self.telemetry.otlp_endpoint.as_ref().is_none_or(|url| is_collector(url)),
                "telemetry.otlp_endpoint: write http://HOST:PORT or https://HOST:PORT",
            ),
            (self.limits.requests_in_flight > 0, "limits.requests_in_flight: at least 1"),
            (self.limits.nonces >= 1000, "limits.nonces: at least 1000"),
            (
                (1..=300).contains(&self.limits.request_timeout_seconds),
                "limits.request_timeout_seconds: 1 to 300",
            ),
        ]
    }
}

/// Whether it is a base URL that spans can be sent to.
fn is_collector(text: &str) -> bool {
    reqwest::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none())
}

/// Whether it is `https://HOST[:PORT]`, with a host that a certificate can name.
fn is_base_url(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let host = match url.host_str() {
        Some(host) => host.trim_matches(['[', ']']),
        None => return false,
    };
    url.scheme() == "https"
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.username().is_empty()
        && rustls::pki_types::ServerName::try_from(host).is_ok()
}
