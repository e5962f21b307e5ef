//! Backups, and what is remembered of revocations.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// The gauges of backups and revocations.
#[derive(Debug, Clone, Default)]
pub struct RecoveryMetrics {
    /// When the database was last backed up, in Unix seconds; 0 when it never was.
    pub last_backup: Gauge,
    /// The record of the audit log at which this KDC last wrote down a revocation.
    pub watermark: Gauge,
}

impl RecoveryMetrics {
    /// Gauges that are zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_with_unit(
            "last_backup_timestamp",
            "When the database was last backed up, in Unix time; 0 when it never was",
            Unit::Seconds,
            metrics.last_backup.clone(),
        );
        registry.register(
            "revocation_watermark",
            "The record of the audit log at which this KDC last wrote down a revocation",
            metrics.watermark.clone(),
        );
        metrics
    }
}
