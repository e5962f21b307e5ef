//! The rules about time (docs/protocol.md §8.2).

use keycell_protocol::{Cause, Envelope, Under, UnixMillis, UnixSeconds};

/// The rules about time.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) max_lifetime: u64,
    pub(super) max_ahead_ms: u64,
    pub(super) max_age_ms: Option<u64>,
    /// Until when an earlier process may have opened messages, by the corrected clock.
    pub(super) guard: Option<UnixMillis>,
    /// The same by the host's clock.
    pub(super) host_guard: Option<UnixMillis>,
    /// Whether a KDC has told the time since.
    pub(super) settled: bool,
}

impl Rules {
    /// Not over, and not longer than tickets live.
    pub(super) fn lifetime(
        &self,
        envelope: &Envelope<'_>,
        now: UnixMillis,
        swept: UnixSeconds,
    ) -> Result<(), Cause> {
        let now = now.seconds();
        if envelope.expiration <= now || envelope.expiration <= swept {
            Err(Cause::Expired)
        } else if envelope.expiration > now.plus(self.max_lifetime.saturating_add(self.max_ahead_ms / 1000)) {
            Err(Cause::ExpiresTooLate)
        } else {
            Ok(())
        }
    }

    /// Sent neither in the future, nor when an earlier process may have been there, nor too long ago.
    pub(super) fn sent(&self, envelope: &Envelope<'_>, now: UnixMillis) -> Result<(), Cause> {
        let sent = envelope.sent_at;
        if sent > now.plus(self.max_ahead_ms) {
            return Err(Cause::FromTheFuture { ahead_ms: sent.distance(now) });
        }
        // A reply comes under a ticket that was granted to this process: no earlier one can have opened it.
        if let (Some(guard), Under::Ticket(_)) = (self.guard, &envelope.under)
            && sent <= guard.plus(self.max_ahead_ms)
        {
            return Err(Cause::BeforeStart);
        }
        match self.max_age_ms {
            Some(max) if sent.plus(max) < now => Err(Cause::TooOld { age_ms: now.distance(sent) }),
            _ => Ok(()),
        }
    }

    /// A voucher is good or not by when a message says it was sent. That is not before its ticket can have been made: else
    /// who has an old voucher, and its key, would go back to its days.
    pub(super) fn vouched(&self, envelope: &Envelope<'_>) -> Result<(), Cause> {
        let made = envelope.expiration.millis().minus(self.max_lifetime.saturating_mul(1000));
        let too_early = envelope.extras.author_proof && envelope.sent_at.plus(MAX_BEHIND_MS) < made;
        if too_early { Err(Cause::AuthorExpired) } else { Ok(()) }
    }
}

/// By how far a sender's clock may be behind that of the KDC that made its ticket: further, and it gets none.
const MAX_BEHIND_MS: u64 = 60_000;
