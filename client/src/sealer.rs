//! Writing the messages of one ticket.

use core::fmt;

use keycell_protocol::{
    AuthorKey, AuthorProof, Extras, Grant, Header, MAX_MESSAGE, Mode, Name, Salt, Sek, StreamKey, Ticket,
    TicketId, Topic, Under, UnixMillis, UnixSeconds, Voucher,
};
use rand_core::CryptoRng;

use crate::SealError;

/// Writes messages under one ticket and one fresh salt, and numbers them.
///
/// Not `Clone`, and never stored: salt and number make up the nonce, and two sealers with the same would use one
/// nonce twice (docs/protocol.md §8).
pub struct Sealer {
    source: Name,
    destination: Name,
    expiration: UnixSeconds,
    under: Carried,
    key: StreamKey,
    next: u64,
}

impl Sealer {
    /// Writes messages from `source` under a ticket that the KDC granted to it.
    pub fn new(source: Name, grant: &Grant, rng: &mut impl CryptoRng) -> Self {
        Self {
            source,
            destination: grant.destination.clone(),
            expiration: grant.expiration,
            under: Carried::Ticket(grant.ticket),
            key: StreamKey::new(grant.sek.clone(), Salt::generate(rng)),
            next: 0,
        }
    }

    /// Writes replies under the ticket of somebody else: `sek` is `SEK(source→destination)` of that ticket.
    pub fn for_replies(
        source: Name,
        destination: Name,
        expiration: UnixSeconds,
        ticket: TicketId,
        sek: Sek,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self {
            source,
            destination,
            expiration,
            under: Carried::Id(ticket),
            key: StreamKey::new(sek, Salt::generate(rng)),
            next: 0,
        }
    }

    /// When the ticket ends, and with it this sealer.
    #[must_use]
    pub const fn expiration(&self) -> UnixSeconds {
        self.expiration
    }

    /// Writes a message with the next number.
    ///
    /// # Errors
    /// [`SealError::TooLong`] and [`SealError::Exhausted`]. Whether the ticket is over is for the caller to ask, who
    /// knows what to do about it.
    pub fn seal(
        &mut self,
        now: UnixMillis,
        mode: Mode,
        topic: Topic<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.write(now, &Draft { mode, topic, body, author: None, detached: false })
    }

    /// Writes a message with the next number and a proof that the holder of `key` and `voucher` wrote it.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_with_author_proof(
        &mut self,
        now: UnixMillis,
        mode: Mode,
        topic: Topic<'_>,
        author: (&AuthorKey, &Voucher),
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.write(now, &Draft { mode, topic, body, author: Some(author), detached: false })
    }

    pub(crate) fn write(&mut self, now: UnixMillis, draft: &Draft<'_>) -> Result<Vec<u8>, SealError> {
        let &Draft { mode, topic, body, author, detached } = draft;
        let header = Header {
            mode,
            extras: Extras { author_proof: author.is_some(), detached },
            expiration: self.expiration,
            sent_at: now,
            sequence: self.next,
            source: &self.source,
            destination: &self.destination,
            topic,
            under: match &self.under {
                Carried::Ticket(ticket) => Under::Ticket(ticket.as_bytes()),
                Carried::Id(id) => Under::Id(*id),
            },
        };
        let proof = author.map_or(0, |(_, voucher)| AuthorProof::overhead(voucher.as_bytes().len()));
        let around = header.size() + proof + mode.overhead();
        if body.len() > MAX_MESSAGE.saturating_sub(around) {
            return Err(SealError::TooLong);
        }
        // The last number is never sent: no replay window takes it.
        let next = match self.next {
            u64::MAX => return Err(SealError::Exhausted),
            next => next + 1,
        };
        let message = match author {
            Some(author) => self.key.write_authored(&header, author, body),
            None => self.key.write(&header, body),
        };
        self.next = next;
        Ok(message)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, expiration, under: _, key, next } = self;
        f.debug_struct("Sealer")
            .field("source", source)
            .field("destination", destination)
            .field("expiration", expiration)
            .field("key", key)
            .field("next", next)
            .finish_non_exhaustive()
    }
}

/// What is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) mode: Mode,
    pub(crate) topic: Topic<'a>,
    pub(crate) body: &'a [u8],
    /// Who proves to be the author.
    pub(crate) author: Option<(&'a AuthorKey, &'a Voucher)>,
    /// Whether the body is a part for one that travels apart.
    pub(crate) detached: bool,
}

enum Carried {
    Ticket(Ticket),
    Id(TicketId),
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use keycell_protocol::{Envelope, Rkey};
    use rand_core::SeedableRng as _;

    fn sealer() -> Sealer {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (a, b): (Name, Name) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
        let sek = Rkey::generate(&mut rng).sek(&a, &b, UnixSeconds(900));
        Sealer::for_replies(a, b, UnixSeconds(900), TicketId::from_bytes([1; 16]), sek, &mut rng)
    }

    #[test]
    fn numbers_count_up_and_end() {
        let mut sealer = sealer();
        let topic = Topic::try_from("t").unwrap();
        let seal = |sealer: &mut Sealer, body: &[u8]| sealer.seal(UnixMillis(5), Mode::Sealed, topic, body);
        for expected in 0..3 {
            let message = seal(&mut sealer, b"x").unwrap();
            assert_eq!(Envelope::parse(&message).unwrap().sequence, expected);
        }
        let longest = MAX_MESSAGE - seal(&mut sealer, b"").unwrap().len();
        assert_eq!(seal(&mut sealer, &vec![0; longest]).unwrap().len(), MAX_MESSAGE);
        assert_eq!(seal(&mut sealer, &vec![0; longest + 1]), Err(SealError::TooLong));
        assert_eq!(sealer.next, 5, "what was not written took no number");
        sealer.next = u64::MAX - 1;
        assert!(seal(&mut sealer, b"last").is_ok());
        assert_eq!(seal(&mut sealer, b"one too many"), Err(SealError::Exhausted));
    }
}
