//! placeholder
mod agent;
mod config;
mod correction;
mod error;
mod keyfile;
mod keys;
mod opened;
mod opener;
mod pending;
mod replies;
mod retry;
mod sealer;
mod stats;
mod streams;
mod tickets;

pub use agent::Agent;
pub use config::AgentConfig;
pub use error::SealError;
pub use keyfile::{AgentKey, KdcAddress, KeyFileError};
pub use keys::Keys;
pub use opened::Opened;
pub use opener::{Opener, OpenerConfig, RestartGuard};
pub use pending::{PendingRequest, TakeError, Taken};
pub use sealer::Sealer;
pub use stats::Stats;

/// The operating system's random generator.
///
/// It panics if the system has no randomness to give, which no program could go on without.
#[must_use]
pub fn system_rng() -> impl rand_core::CryptoRng + Send + 'static {
    rand_core::UnwrapErr(getrandom::SysRng)
}
