//! What the process asks of the system.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Turns core dumps off: one would hold every key of the zone.
pub fn no_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
}

/// Raises the limit of open files as far as the system lets it, and says how many connections that leaves room for, of
/// `wanted`.
#[must_use]
pub fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return wanted };
    let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX).max(1);
    if room < wanted {
        tracing::warn!(
            wanted,
            room,
            "fewer connections than configured: raise the limit of open files (LimitNOFILE)"
        );
    }
    wanted.min(room)
}

/// Files that are no connections of agents: the database, the log, the listener.
const OTHER_FILES: u64 = 64;
