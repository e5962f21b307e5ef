//! The party's own signing key, and the voucher that the KDC gives for it (docs/protocol.md §9).

use core::fmt;

use keycell_protocol::{
    AuthorKey, GivenVoucher, KeysFor, Nonce, ProblemType, UnixMillis, UnixSeconds, Voucher, VoucherRequest,
    Vouchers,
};

use crate::SealError;
use crate::retry::Retry;

/// What a party proves with that it wrote something.
pub(crate) struct Author {
    key: Option<AuthorKey>,
    voucher: Option<Given>,
    /// Whether somebody waits for a voucher.
    wanted: bool,
    /// Whether one is asked for whatever is at hand.
    looks_in: bool,
    refused: Option<Refused>,
    pub(crate) asked: Option<AskedVoucher>,
    pub(crate) retry: Retry,
    /// The change of the key file that brought the key.
    pub(crate) made: u64,
}

struct Given {
    voucher: Voucher,
    renew_after: UnixSeconds,
}

struct Refused {
    problem: ProblemType,
    since: UnixMillis,
    until: UnixMillis,
}

impl Refused {
    /// A clock that was set back since must not make the wait longer.
    fn is_over(&self, now: UnixMillis) -> bool {
        self.until <= now || now < self.since
    }
}

impl Author {
    pub(crate) const fn new(key: Option<AuthorKey>, retry: Retry) -> Self {
        Self {
            key,
            voucher: None,
            wanted: false,
            looks_in: false,
            refused: None,
            asked: None,
            retry,
            made: 0,
        }
    }

    pub(crate) const fn key(&self) -> Option<&AuthorKey> {
        self.key.as_ref()
    }

    /// Takes a key that comes into the key file with change `made`.
    pub(crate) fn set(&mut self, key: AuthorKey, made: u64) {
        self.key = Some(key);
        self.made = made;
    }

    /// What to prove with, or why that cannot be; then a voucher is wanted from now on. `now` is the corrected time.
    pub(crate) fn ready(&mut self, now: UnixMillis) -> Result<(&AuthorKey, &Voucher), SealError> {
        let Some(key) = &self.key else { return Err(SealError::NoAuthorKey) };
        if let Some(given) = &self.voucher
            && given.voucher.covers(now)
        {
            return Ok((key, &given.voucher));
        }
        if let Some(refused) = &self.refused
            && !refused.is_over(now)
        {
            return Err(SealError::VoucherRefused { problem: refused.problem, retry_at: refused.until });
        }
        self.wanted = true;
        Err(SealError::NoVoucher)
    }

    /// Whether to ask for a voucher; `now` is the corrected time.
    pub(crate) fn is_wanting(&self, now: UnixMillis) -> bool {
        self.key.is_some()
            && self.asked.is_none()
            && self.refused.as_ref().is_none_or(|refused| refused.is_over(now))
            && match &self.voucher {
                _ if self.looks_in => true,
                // What was needed once is kept at hand.
                Some(given) => given.renew_after <= now.seconds() || !given.voucher.covers(now),
                None => self.wanted,
            }
    }

    /// When to look again, while nobody waits; by the corrected clock.
    pub(crate) fn next_timer(&self) -> Option<UnixMillis> {
        if self.asked.is_some() {
            return None;
        }
        let renewal = self.voucher.as_ref()?.renew_after.millis();
        Some(self.refused.as_ref().map_or(renewal, |refused| refused.until.max(renewal)))
    }

    /// Asks for a voucher next, also where one is at hand.
    pub(crate) const fn look_in(&mut self) {
        self.looks_in = true;
    }

    pub(crate) fn given(&mut self, given: GivenVoucher) {
        self.voucher = Some(Given { voucher: given.voucher, renew_after: given.renew_after });
        self.refused = None;
        self.wanted = false;
        self.looks_in = false;
    }

    /// The KDC gives none. One that is held goes on until its end.
    pub(crate) fn refused(&mut self, now: UnixMillis, problem: ProblemType) {
        self.refused = Some(Refused { problem, since: now, until: now.plus(REFUSED_MS) });
        self.wanted = false;
        self.looks_in = false;
    }

    /// Another KDC is to vouch for it: what was vouched for or refused before counts no more.
    pub(crate) fn look_again(&mut self) {
        self.wanted |= self.voucher.take().is_some() || self.refused.take().is_some();
    }

    /// Takes what was asked, if this is its answer.
    pub(crate) fn answered(&mut self, nonce: Nonce) -> Option<AskedVoucher> {
        self.asked.take_if(|asked| asked.request.nonce == nonce)
    }

    /// When what was asked counts as lost.
    pub(crate) fn lost_at(&self, timeout_ms: u64) -> Option<UnixMillis> {
        self.asked.as_ref().map(|asked| asked.at.plus(timeout_ms))
    }
}

impl fmt::Debug for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, voucher, wanted, looks_in, refused: _, asked: _, retry: _, made: _ } = self;
        f.debug_struct("Author")
            .field("key", key)
            .field("voucher", &voucher.as_ref().map(|given| &given.voucher))
            .field("wanted", wanted)
            .field("looks_in", looks_in)
            .finish_non_exhaustive()
    }
}

/// What is kept of a request for a voucher until its answer comes.
pub(crate) struct AskedVoucher {
    pub(crate) request: VoucherRequest,
    /// Signed it, and open the answer.
    pub(crate) keys: KeysFor<Vouchers>,
    /// By the host's clock.
    pub(crate) at: UnixMillis,
    /// Among the requests whose answers say whose vouchers hold.
    pub(crate) place: u64,
}

/// Until a refused voucher is asked for again: an administrator has to do something first.
const REFUSED_MS: u64 = 300_000;
