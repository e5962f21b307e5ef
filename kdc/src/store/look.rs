//! What can be asked of the audit log.

use keycell_protocol::UnixMillis;

/// Which records of the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only after this number.
    pub after: Option<u64>,
    /// Only before this number.
    pub before: Option<u64>,
    /// Only from this moment on.
    pub since: Option<UnixMillis>,
    /// Only before this moment.
    pub until: Option<UnixMillis>,
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only of this action, or of every action that begins with this text and a dot.
    pub action: Option<String>,
    /// Only of this target.
    pub target: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// The newest first.
    pub newest_first: bool,
    /// At most so many.
    pub limit: u32,
}

impl AuditQuery {
    /// Whether a record can be what it asks for: none holds a NUL, which PostgreSQL would not even look for.
    pub(super) fn is_possible(&self) -> bool {
        let texts = [&self.actor, &self.action, &self.target, &self.outcome];
        !texts.into_iter().flatten().any(|text| text.contains('\0'))
    }
}
