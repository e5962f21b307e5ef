//! The room that is left where the database is.

use std::path::Path;

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free to this process.
    pub free: u64,
    /// In all.
    pub total: u64,
}

impl Space {
    /// Of the file system that a database is on, if it is a file here.
    #[must_use]
    pub fn of(database: &str) -> Option<Self> {
        let path = Path::new(database.strip_prefix("sqlite:")?);
        let stat = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}
