//! Answering under other parties' tickets.

use core::fmt;
use std::collections::HashMap;

use keycell_protocol::{Name, Ticket, UnixMillis, UnixSeconds};
use rand_core::CryptoRng;

use crate::SealError;
use crate::keys::Keys;
use crate::sealer::{Draft, Sealer};

/// One sealer for each ticket that was answered under, until the ticket's end. Bounded.
pub(crate) struct Replies {
    sealers: HashMap<Ticket, Box<Sealer>>,
    max: usize,
    earliest: UnixSeconds,
}

/// What is answered: whose ticket, and until when it lasts.
pub(crate) struct Answered<'a> {
    pub(crate) me: &'a Name,
    pub(crate) source: &'a Name,
    pub(crate) expiration: UnixSeconds,
    pub(crate) ticket: Ticket,
}

impl Replies {
    pub(crate) fn new(max: usize) -> Self {
        Self { sealers: HashMap::new(), max, earliest: UnixSeconds(u64::MAX) }
    }

    pub(crate) fn seal(
        &mut self,
        keys: &mut Keys,
        rng: &mut impl CryptoRng,
        now: UnixMillis,
        answered: &Answered<'_>,
        draft: &Draft<'_>,
    ) -> Result<Vec<u8>, SealError> {
        if answered.expiration.millis() <= now {
            return Err(SealError::ReplyTooLate { since: answered.expiration });
        }
        if let Some(sealer) = self.sealers.get_mut(&answered.ticket) {
            return sealer.write(now, draft);
        }
        if self.sealers.len() >= self.max {
            self.sweep(now.seconds());
        }
        if self.sealers.len() >= self.max {
            return Err(SealError::TooManyDestinations);
        }
        let mut sealer = Box::new(answered.sealer(keys, rng, now)?);
        let message = sealer.write(now, draft);
        self.earliest = self.earliest.min(answered.expiration);
        self.sealers.insert(answered.ticket, sealer);
        message
    }

    /// Forgets the sealers whose tickets are over.
    pub(crate) fn sweep(&mut self, now: UnixSeconds) {
        if now >= self.earliest {
            self.sealers.retain(|_, sealer| sealer.expiration() > now);
            self.earliest = self
                .sealers
                .values()
                .map(|sealer| sealer.expiration())
                .min()
                .unwrap_or(UnixSeconds(u64::MAX));
        }
    }
}

impl Answered<'_> {
    /// The ticket is opened once more, for the key of the way back: only those who answer pay for it.
    fn sealer(
        &self,
        keys: &mut Keys,
        rng: &mut impl CryptoRng,
        now: UnixMillis,
    ) -> Result<Sealer, SealError> {
        let subkeys = keys
            .named(now, self.ticket.generation(), self.ticket.epoch())
            .map_err(|_| SealError::ReplyKeyGone)?;
        let rkey = self.ticket.open(&subkeys.ticket).map_err(|_| SealError::ReplyKeyGone)?;
        let sek = rkey.sek(self.me, self.source, self.expiration);
        let (me, source) = (self.me.clone(), self.source.clone());
        Ok(Sealer::for_replies(me, source, self.expiration, self.ticket.id(), sek, rng))
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("sealers", &self.sealers.len()).finish_non_exhaustive()
    }
}
