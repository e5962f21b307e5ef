//! How a KDC process tells what becomes of it: to systemd, to load balancers, to Prometheus.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

#[path = "running/traces.rs"]
mod traces;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use rustix::process::{Signal, kill_process};
use tokio::net::UnixDatagram;

/// What systemd would hear.
struct Systemd(UnixDatagram);

impl Systemd {
    fn at(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    /// The next thing that begins with `wanted`; everything before it must be a sign of life.
    async fn hears(&self, wanted: &str) -> String {
        loop {
            let mut told = [0; 4096];
            let length = tokio::time::timeout(Duration::from_secs(60), self.0.recv(&mut told));
            let length = length.await.unwrap_or_else(|_| panic!("waited in vain: {wanted}")).unwrap();
            let told = String::from_utf8(told[..length].to_vec()).unwrap();
            if told.starts_with(wanted) {
                return told;
            }
            assert_eq!(told, "WATCHDOG=1\n", "while waiting for {wanted}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_of_everything() {
    let cluster = Arc::new(Postgres::start());
    let cell = Cell::postgres(&cluster);
    let socket = cell.folder().join("notify");
    let systemd = Systemd::at(&socket);
    let mut kdc =
        cell.serve_with(&[("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "2000000")]);
    assert_eq!(systemd.hears("READY=1").await, "READY=1\nSTATUS=serving test.internal\n");
    // It listened before it said so.
    assert_eq!(kdc.http().get("/livez").await.status, 200);
    for _ in 0..2 {
        systemd.hears("WATCHDOG=1").await;
    }
    for wrong in ["", "colour = 1"] {
        cell.configure(wrong);
        kill_process(kdc.pid(), Signal::HUP).unwrap();
        let reloading = systemd.hears("RELOADING=1").await;
        let stamp = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim();
        assert!(stamp.parse::<u64>().unwrap() > 0);
        // Also after a mistake: it goes on as before.
        systemd.hears("READY=1").await;
    }
    kdc.logs("the configuration is not taken").await;

    // A database that is away is no reason to be started again.
    cluster.crash();
    until("it is not ready", async || (kdc.http().get("/readyz").await.status == 503).then_some(())).await;
    for _ in 0..3 {
        systemd.hears("WATCHDOG=1").await;
    }
    cluster.restart();
    until("it is ready", async || (kdc.http().get("/readyz").await.status == 200).then_some(())).await;
    kill_process(kdc.pid(), Signal::TERM).unwrap();
    systemd.hears("STOPPING=1").await;
    assert_eq!(kdc.wait(), Some(0));
}

async fn metrics(http: &Http) -> String {
    http.get("/metrics").await.text()
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_turns_readiness_red_and_tickets_go_on() {
    let cell = Cell::sqlite();
    // More than any disk has: to the KDC it is nearly full.
    cell.configure("limits = { disk_free_bytes = 1125899906842624 }");
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let red = http.get("/readyz").await;
    assert_eq!(red.status, 503);
    let detail = red.problem().detail.unwrap();
    assert!(detail.contains("limits.disk_free_bytes"), "{detail}");
    assert!(metrics(&http).await.contains("\nkeycell_ready 0\n"), "{}", metrics(&http).await);
    let status = admin.get("/v1/admin/status").await.json();
    assert!(status["warnings"].as_array().unwrap().iter().any(|one| one["kind"] == "disk"), "{status}");
    // Nothing is refused: there is room still.
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);

    cell.configure("limits = { disk_free_bytes = 1 }");
    cell.run(&["reload"]).succeeded();
    assert_eq!(http.get("/readyz").await.status, 200);
    until("the gauge follows", async || metrics(&http).await.contains("\nkeycell_ready 1\n").then_some(()))
        .await;
}

#[tokio::test]
async fn what_is_measured_of_the_process() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let page = metrics(&kdc.http()).await;
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    };
    assert!(
        page.contains(&format!("keycell_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))),
        "{page}"
    );
    let status = cell.admin(&kdc).get("/v1/admin/status").await.json();
    let seconds = |name: &str| status[name].as_u64().unwrap() / 1000;
    assert_eq!(value("keycell_start_time_seconds") as u64, seconds("started_at"));
    assert_eq!(value("keycell_config_last_reload_timestamp_seconds") as u64, seconds("started_at"));
    assert_eq!(
        value("keycell_certificate_expires_timestamp_seconds") as u64,
        seconds("certificate_expires_at")
    );
    assert_eq!(value("keycell_ready"), 1.0);
    assert!(value("keycell_disk_free_bytes{}") > 0.0);
    for outcome in ["done", "refused"] {
        assert_eq!(value(&format!("keycell_reloads_total{{outcome=\"{outcome}\"}}")), 0.0);
    }

    // Where the database is elsewhere, nothing is known of its disk.
    let cluster = Postgres::shared();
    let elsewhere = Cell::postgres(&cluster);
    let kdc = elsewhere.serve();
    assert!(!metrics(&kdc.http()).await.contains("\nkeycell_disk_free_bytes"));
}
