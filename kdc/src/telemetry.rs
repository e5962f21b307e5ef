//! The log: to standard error, for people or as JSON. Never a secret in it: no type that holds one prints it.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Starts the log. A second call changes nothing.
///
/// # Errors
/// The level cannot be read.
pub fn start(log: &Log) -> Result<(), LevelError> {
    let (filter, level) = reload::Layer::new(check(log)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails only when a log was started before, as in a test with several KDCs.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = LEVEL.set(level);
    }
    Ok(())
}

/// Reads the level that [`start`] would log at.
///
/// # Errors
/// It is none.
pub fn check(log: &Log) -> Result<EnvFilter, LevelError> {
    EnvFilter::try_new(&log.level).map_err(|_| LevelError(log.level.clone()))
}

/// Goes over to another level, if there is a log.
pub fn set_level(filter: EnvFilter) {
    if let Some(level) = LEVEL.get()
        && let Err(error) = level.reload(filter)
    {
        tracing::error!(%error, "the level of the log cannot be changed");
    }
}

/// The level of the log: a process has one.
static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// A level that is none.
#[derive(Debug, thiserror::Error)]
#[error("log level {0:?}: write error, warn, info, debug or trace, or MODULE=LEVEL, joined by commas")]
pub struct LevelError(String);
