//! The settings of an agent.

use keycell_protocol::{Name, UnixMillis};

use crate::{MemberOf, OpenerConfig, RestartGuard};

/// Limits and times of an [`Agent`](crate::Agent).
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// What it opens.
    pub opener: OpenerConfig,
    /// To which groups it listens. To none unless set.
    pub groups: MemberOf,
    /// For how many destinations it holds tickets. 131,072 unless set.
    pub max_destinations: usize,
    /// Under how many tickets of others it answers at a time. 65,536 unless set.
    pub max_replies: usize,
    /// For how many milliseconds a refused destination is not asked for again. 30,000 unless set.
    pub refusal_ms: u64,
    /// After how many milliseconds a request counts as lost. 60,000 unless set.
    pub request_timeout_ms: u64,
    /// The bound of the random wait after a first failure, in milliseconds; it doubles each time. 250 unless set.
    pub backoff_ms: u64,
    /// The longest wait between two tries, in milliseconds. 60,000 unless set.
    pub max_backoff_ms: u64,
    /// Over how many milliseconds at the most it spreads the moment at which it enrolls again, whatever a KDC says.
    /// 3,600,000 unless set: the longest that a forged refusal keeps a host away.
    pub reenroll_within_ms: u64,
    /// How many milliseconds after its last request, on average, the agent of a host that enrolled asks for its voucher, so that
    /// also one that only answers hears when no KDC knows its key any more, as after a recovery. 3,600,000 unless set, and never
    /// less than 60,000: 100,000 hosts that ask for nothing else are 28 requests a second.
    pub look_in_ms: u64,
    /// By how many milliseconds the host's clock is known to be behind. 0 unless set; a KDC's time replaces it.
    pub clock_correction_ms: i64,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            opener: OpenerConfig::default(),
            groups: MemberOf::Nothing,
            max_destinations: 131_072,
            max_replies: 65_536,
            refusal_ms: 30_000,
            request_timeout_ms: 60_000,
            backoff_ms: 250,
            max_backoff_ms: 60_000,
            reenroll_within_ms: 3_600_000,
            look_in_ms: 3_600_000,
            clock_correction_ms: 0,
        }
    }
}

impl AgentConfig {
    /// Listens to these groups ([`MemberOf::Groups`]).
    #[must_use]
    pub fn member_of(mut self, groups: impl IntoIterator<Item = Name>) -> Self {
        self.groups = MemberOf::Groups(groups.into_iter().collect());
        self
    }

    /// Listens to all groups that the party is a member of ([`MemberOf::All`]).
    #[must_use]
    pub fn member_of_all(mut self) -> Self {
        self.groups = MemberOf::All;
        self
    }

    /// For the first process that ever uses the key: nothing can be a replay from an earlier one, so it hears from its
    /// first moment on ([`RestartGuard::FirstUse`]).
    #[must_use]
    pub const fn first_use(mut self) -> Self {
        self.opener.restart_guard = RestartGuard::FirstUse;
        self
    }

    /// For a process that knows when the last one before it ended ([`RestartGuard::Until`]).
    #[must_use]
    pub const fn earlier_process_ended(mut self, at: UnixMillis) -> Self {
        self.opener.restart_guard = RestartGuard::Until(at);
        self
    }
}
