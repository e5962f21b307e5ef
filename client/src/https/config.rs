//! The settings of an agent that talks to KDCs.

use core::time::Duration;

use crate::AgentConfig;

/// Settings of an agent that talks to KDCs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Limits and times of the agent itself.
    pub agent: AgentConfig,
    /// How long one KDC may take for one answer. 5 seconds unless set.
    pub attempt_timeout: Duration,
    /// How long a call waits for a ticket, all tries together. 20 seconds unless set.
    pub total_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: AgentConfig::default(),
            attempt_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(20),
        }
    }
}
