//! What came of reading a configuration again.

use keycell_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

/// What changed on the KDC that answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reloaded {
    /// The settings that are others from now on.
    pub changed: Vec<String>,
    /// Those that will be when the KDC is started again.
    pub needs_restart: Vec<String>,
    /// Whether it shows another certificate from now on.
    pub certificate_changed: bool,
    /// When its certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_at: Option<UnixMillis>,
}
