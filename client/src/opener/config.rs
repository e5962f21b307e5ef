//! The settings of an opener.

use keycell_protocol::UnixMillis;

/// What an [`Opener`](super::Opener) accepts, and how much it remembers.
#[derive(Debug, Clone)]
pub struct OpenerConfig {
    /// The longest life of a ticket in seconds: an expiry further from now, and from a clock that may be ahead, is
    /// refused. One day unless set.
    pub max_lifetime: u64,
    /// By how many milliseconds a sender's clock may be ahead of this one. 5,000 unless set.
    pub max_ahead_ms: u64,
    /// How old a message may be, in milliseconds; unless set, as old as its ticket.
    pub max_age_ms: Option<u64>,
    /// How many senders are remembered at once, about 1,200 bytes each; at most half of them for what they say to groups, and
    /// at most a quarter for what they say there without a proof of the author. 65,536 unless set, and 3 at least: one of
    /// each.
    pub max_streams: usize,
    /// How many of them may have one name, so that no single sender takes all the room; counted apart for what is said to the
    /// party alone, for what is said to groups with a proof of the author, whichever they are, and for each group without one,
    /// since there any member can write in another's name. So `max_streams` / 4 / this many parties that act together, 64
    /// unless set, can leave no room for other authors who speak to groups. 256 unless set.
    pub max_streams_per_source: usize,
    /// How many of the party's own tickets it takes replies under. 262,144 unless set.
    pub max_own_tickets: usize,
    /// What protects from messages that an earlier process may have opened.
    pub restart_guard: RestartGuard,
    /// Whether nothing opens, be it for whom it may, without a proof of its author. Not unless set: only what is for a
    /// group that requires it.
    pub require_author_proof: bool,
}

impl Default for OpenerConfig {
    fn default() -> Self {
        Self {
            max_lifetime: 86_400,
            max_ahead_ms: 5_000,
            max_age_ms: None,
            max_streams: 65_536,
            max_streams_per_source: 256,
            max_own_tickets: 262_144,
            restart_guard: RestartGuard::Start,
            require_author_proof: false,
        }
    }
}

/// What protects from messages that an earlier process of this party may have opened.
///
/// Which messages were opened is remembered in memory only. An earlier process that ended at `t` may have opened
/// messages that say they were sent up to `t + max_ahead_ms`; so a message opens only if it was sent after that. The
/// price of having no file: after a start, an agent is deaf to what is sent in the first `max_ahead_ms` (5 seconds
/// unless set), unless it knows better than [`Start`](Self::Start).
///
/// The guard moves with the clock correction. It relies on the clock not being set back between the two processes; a
/// correction that the earlier one had learned and this one has not learned yet would be that, so a host whose clock
/// is known to be behind passes it on
/// ([`AgentConfig::clock_correction_ms`](crate::AgentConfig::clock_correction_ms)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartGuard {
    /// An earlier process may have run until this one started.
    #[default]
    Start,
    /// An earlier process may have run until then, by this host's clock.
    Until(UnixMillis),
    /// This is the first process that ever uses the key.
    FirstUse,
    /// No protection from replays of what another process opened: for reading stored messages.
    Off,
}
