//! How the process itself is.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// What is measured of the process. Times are in seconds since 1970.
pub struct Running {
    /// When it was started.
    pub start_time: Gauge,
    /// Whether it says that it is ready: 1 or 0.
    pub ready: Gauge,
    /// How often it was told to read its configuration again, by what came of it.
    pub reloads: Family<Reloaded, Counter>,
    /// When it last took its configuration in.
    pub last_reload: Gauge,
    /// When the certificate ends that it serves.
    pub certificate_expires: Gauge,
    /// How often files were found that are no certificate with its key.
    pub certificates_refused: Counter,
    /// Bytes that are free where the database is; absent where that is elsewhere.
    pub disk_free: Family<Vec<(String, String)>, Gauge>,
}

/// The label of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reloaded {
    /// `done` or `refused`.
    pub outcome: &'static str,
}

impl Reloaded {
    /// It was taken in.
    pub const DONE: Self = Self { outcome: "done" };
    /// There was a mistake in it, and nothing was changed.
    pub const REFUSED: Self = Self { outcome: "refused" };
}

impl Running {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let running = Self {
            start_time: Gauge::default(),
            ready: Gauge::default(),
            reloads: Family::default(),
            last_reload: Gauge::default(),
            certificate_expires: Gauge::default(),
            certificates_refused: Counter::default(),
            disk_free: Family::default(),
        };
        // Both are there from the start, so that the first mistake is an increase.
        for outcome in [Reloaded::DONE, Reloaded::REFUSED] {
            drop(running.reloads.get_or_create(&outcome));
        }
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The release that runs", build);
        registry.register("start_time_seconds", "When the KDC was started", running.start_time.clone());
        registry.register("ready", "Whether the KDC says that it is ready", running.ready.clone());
        registry.register("reloads", "Configurations read again, by outcome", running.reloads.clone());
        registry.register(
            "config_last_reload_timestamp_seconds",
            "When the configuration was last taken in",
            running.last_reload.clone(),
        );
        registry.register(
            "certificate_expires_timestamp_seconds",
            "When the server's certificate ends",
            running.certificate_expires.clone(),
        );
        registry.register(
            "certificates_refused",
            "Certificates found in the files that cannot be served",
            running.certificates_refused.clone(),
        );
        registry.register("disk_free_bytes", "Bytes free where the database is", running.disk_free.clone());
        running
    }
}
