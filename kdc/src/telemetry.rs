//! The log: to standard error, for people or as JSON. Never a secret in it: no type that holds one prints it.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts the log; `KEYCELL_LOG` goes before the configured level. A second call changes nothing.
///
/// # Errors
/// The level cannot be read.
pub fn start(log: &Log) -> Result<(), LevelError> {
    let filter = check(log)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only when a log was started before, as in a test with several KDCs.
    let _ = match log.format {
        LogFormat::Text => {
            subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Reads the level that [`start`] would log at.
///
/// # Errors
/// It is none.
pub fn check(log: &Log) -> Result<EnvFilter, LevelError> {
    let level = std::env::var("KEYCELL_LOG").unwrap_or_else(|_| log.level.clone());
    EnvFilter::try_new(&level).map_err(|_| LevelError(level))
}

/// A level that is none.
#[derive(Debug, thiserror::Error)]
#[error("log level {0:?}: write error, warn, info, debug or trace, or MODULE=LEVEL, joined by commas")]
pub struct LevelError(String);
