//! Which parties an administrator is shown.

use keycell_protocol::{JoinTokenId, UnixMillis};

use crate::api::PartyState;
use crate::directory::Party;
use crate::enrollment::HostPattern;
use crate::policy::Pattern;

/// Which parties are looked for.
#[derive(Debug, Default)]
pub struct Filter {
    /// The local part up to the first dot.
    pub service: Option<String>,
    /// A glob on the full name.
    pub matching: Option<Pattern>,
    /// Whether they may speak.
    pub state: Option<PartyState>,
    /// Seen, or enrolled, at or after this moment.
    pub seen_since: Option<UnixMillis>,
    /// Neither seen nor enrolled at or after this moment; also those that never were.
    pub seen_before: Option<UnixMillis>,
    /// Of a host that this pattern matches, as it said when it came aboard.
    pub host: Option<HostPattern>,
    /// Whether they came aboard by themselves.
    pub enrolled: Option<bool>,
    /// The join token that they came aboard by.
    pub join_token: Option<JoinTokenId>,
}

impl Filter {
    /// Whether `party` is one of them.
    #[must_use]
    pub fn wants(&self, party: &Party) -> bool {
        let name = party.name();
        let service = || name.local().split('.').next().unwrap_or_default();
        let enrollment = party.record().enrollment.as_deref();
        // Who has just come aboard has asked for nothing yet, and is there all the same.
        let seen = party.seen().at().max(enrollment.map(|of| of.renewed_at));
        self.enrolled.is_none_or(|wanted| wanted == enrollment.is_some())
            && self.join_token.is_none_or(|id| enrollment.is_some_and(|of| of.token == Some(id)))
            && self.host.as_ref().is_none_or(|host| enrollment.is_some_and(|of| host.matches(&of.host)))
            && self.service.as_deref().is_none_or(|wanted| wanted == service())
            && self.state.is_none_or(|state| (state == PartyState::Enabled) == party.enabled())
            && self.seen_since.is_none_or(|since| seen.is_some_and(|at| at >= since))
            && self.seen_before.is_none_or(|before| seen.is_none_or(|at| at < before))
            && self.matching.as_ref().is_none_or(|pattern| pattern.matches(name))
    }
}
