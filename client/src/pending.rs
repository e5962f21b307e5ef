//! Requests on their way to a KDC.

use keycell_protocol::{
    Generation, GroupKeys, GroupKeysRequest, KeysFor, Name, Nonce, ProblemType, ReplyError, ReplyKey,
    RotationKeys, RotationRequest, SuccessionError, TicketRequest, UnixMillis, Zone,
};

/// A request to send to a KDC: `POST` of this body to its [`path`](Self::path), as `application/json`.
///
/// The same body may be sent to one KDC after another until one answers.
#[derive(Debug)]
pub struct PendingRequest {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// How many tickets it asks for; none, if it is about this party's own keys or the keys of its groups.
    pub destinations: usize,
    pub(crate) kind: Kind,
    /// The zone of the destinations, if it is another.
    pub(crate) abroad: Option<Zone>,
    pub(crate) nonce: Nonce,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tickets,
    Groups,
    Rotation,
    Voucher,
    Enrollment,
}

impl PendingRequest {
    /// The zone of the destinations, if it is another: its KDC is asked by this zone's, whose answer may take a few seconds, and
    /// nothing else need wait for it.
    #[must_use]
    pub const fn abroad(&self) -> Option<&Zone> {
        self.abroad.as_ref()
    }

    /// Where to post it to, below the base URL of a KDC.
    #[must_use]
    pub const fn path(&self) -> &'static str {
        match self.kind {
            Kind::Tickets => "/v1/tickets",
            Kind::Groups => "/v1/group-keys",
            Kind::Rotation => "/v1/keys/rotate",
            Kind::Voucher => "/v1/vouchers",
            Kind::Enrollment => "/v1/enroll",
        }
    }

    /// The longest answer that makes sense, in bytes: whoever reads it stops there.
    #[must_use]
    pub const fn max_reply(&self) -> usize {
        // Of groups: 100 with 40 keys each at most, which is less than this allows for each request. For tickets: a record is 211 bytes, an entry of the metadata at most 350, both in base64 (and the metadata once more).
        // Of enrollment: a bundle, in base64.
        let most = if matches!(self.kind, Kind::Enrollment) { 2 << 20 } else { 1 << 20 };
        most + self.destinations * 1024
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// How many tickets were granted, or how many groups' keys: none, if the request was about this party's own keys.
    pub granted: usize,
    /// Who cannot be written to, or which group not listened to, and why; `None` for a reason that is not known here.
    pub refused: Vec<(Name, Option<ProblemType>)>,
    /// For whom the KDC of another zone has no answer at the moment: they are asked for again without anybody's doing.
    pub unavailable: Vec<(Name, ProblemType)>,
}

impl Taken {
    pub(crate) const NOTHING: Self = Self { granted: 0, refused: Vec::new(), unavailable: Vec::new() };
}

/// Why a KDC's answer is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// The request counts as lost, or was answered before.
    #[error("the answer comes too late, or twice")]
    NotPending,
    /// The answer does not hold.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// The bundle in it must not take the place of the one that this host has.
    #[error(
        "the bundle that the KDC answered with is not taken: {0}; compare it with that of `keycell bundle` on the KDC"
    )]
    Bundle(#[from] SuccessionError),
}

/// What is kept of a request for tickets until its answer comes.
pub(crate) struct Asked {
    pub(crate) request: TicketRequest,
    /// The zone of its destinations, if it is another.
    pub(crate) abroad: Option<Zone>,
    /// Of the key that signed it.
    pub(crate) generation: Generation,
    /// Opens the answer, whatever the epoch is by then.
    pub(crate) reply_key: ReplyKey,
    /// By the host's clock.
    pub(crate) at: UnixMillis,
}

/// What is kept of a request for the keys of groups until its answer comes.
pub(crate) struct AskedGroups {
    pub(crate) request: GroupKeysRequest,
    /// Signed it, and open the answer.
    pub(crate) keys: KeysFor<GroupKeys>,
    /// By the host's clock.
    pub(crate) at: UnixMillis,
    /// Among the requests whose answers say whose vouchers hold.
    pub(crate) place: u64,
}

/// What is kept of a request about this party's own key until its answer comes.
pub(crate) struct AskedRotation {
    pub(crate) request: RotationRequest,
    /// Signed it, and open the answer.
    pub(crate) keys: RotationKeys,
    /// By the host's clock.
    pub(crate) at: UnixMillis,
}
