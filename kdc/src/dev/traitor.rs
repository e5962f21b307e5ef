//! A member of a group that turned: it holds every key of the group, and writes messages byte by byte with them.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use keycell_client::protocol::{
    AuthorKey, AuthorProof, Envelope, Extras, GroupKey, GroupKeys, GroupKeysRequest, GroupOutcome, Header,
    HeldKey, Instance, Mode, Name, Nonce, ProblemType, Rkey, Salt, SealedGroupKeys, SealedVoucher,
    SignedGroupRequest, SignedVoucherRequest, SignerKey, StreamKey, Ticket, Topic, Under, UnixSeconds,
    Voucher, VoucherRequest, Vouchers,
};
use keycell_client::system_rng;

use super::Failure;
use super::fleet::facts::Kind;
use super::fleet::wire::{Command, DISCOVER, body};
use super::forger::Forger;
use crate::clock::{Clock as _, SystemClock};

/// Holds the key of a member, and what the member was given.
pub(super) struct Traitor {
    forger: Forger,
    group: Name,
    keys: Vec<HeldKey>,
}

/// A message to the group that it took apart.
pub(super) struct Taken<'a> {
    envelope: Envelope<'a>,
    rkey: Rkey,
    plaintext: Vec<u8>,
}

impl Traitor {
    /// Asks for the group's keys, as any member may.
    ///
    /// # Errors
    /// The KDC gives none.
    pub(super) async fn join(forger: Forger, group: Name) -> Result<Self, Failure> {
        let mut traitor = Self { forger, group, keys: Vec::new() };
        match traitor.ask().await? {
            Ok(keys) => traitor.keys = keys,
            Err(problem) => return Err(format!("the KDC gives a member no keys: {problem:?}").into()),
        }
        Ok(traitor)
    }

    /// Whose name it is in.
    pub(super) const fn me(&self) -> &Name {
        self.forger.me()
    }

    /// How many keys of the group it holds.
    pub(super) const fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Asks for the group's keys once more: those that there are now, or why it gets none.
    ///
    /// # Errors
    /// The KDC does not answer.
    pub(super) async fn ask(&self) -> Result<Result<Vec<HeldKey>, Option<ProblemType>>, Failure> {
        let keys = self.forger.keys_for::<GroupKeys>()?;
        let request = GroupKeysRequest {
            source: self.me().clone(),
            groups: vec![self.group.clone()],
            timestamp: SystemClock.now(),
            nonce: Nonce::generate(&mut system_rng()),
            instance: Instance::generate(&mut system_rng()),
        };
        let signed = SignedGroupRequest::sign(&request, &keys)?.to_json();
        let answer = self.forger.ask("/v1/group-keys", signed).await?;
        let reply = SealedGroupKeys::parse(&answer)?.open(&keys, &request)?;
        match reply.groups.into_iter().next() {
            Some(GroupOutcome::Granted(held)) => Ok(Ok(held.keys)),
            Some(GroupOutcome::Refused { problem, .. }) => Ok(Err(problem)),
            None => Err("the KDC says nothing of the group".into()),
        }
    }

    /// Its host's signing key, and the KDC's word for it: in its own name, for it gets no other.
    ///
    /// # Errors
    /// It has none, or the KDC gives no voucher.
    pub(super) async fn voucher(&self) -> Result<(AuthorKey, Voucher), Failure> {
        let keys = self.forger.keys_for::<Vouchers>()?;
        let author = self.forger.author()?;
        let (nonce, instance) = (Nonce::generate(&mut system_rng()), Instance::generate(&mut system_rng()));
        let request = VoucherRequest::new(self.me().clone(), &author, SystemClock.now(), nonce, instance);
        let signed = SignedVoucherRequest::sign(&request, &keys).to_json();
        let answer = self.forger.ask("/v1/vouchers", signed).await?;
        Ok((author, SealedVoucher::parse(&answer)?.open(&keys, &request)?.voucher))
    }

    /// A voucher for `name` and a key of its own, by a KDC of its own.
    ///
    /// # Errors
    /// There is no randomness to be had.
    pub(super) fn false_voucher(&self, name: &Name) -> Result<(AuthorKey, Voucher), Failure> {
        let signer = Ed25519KeyPair::generate()?;
        let public = SignerKey::new(signer.public_key().as_ref().try_into()?);
        let sign = |bytes: &[u8]| {
            let mut signature = [0; 64];
            signature.copy_from_slice(signer.sign(bytes).as_ref());
            signature
        };
        let author = AuthorKey::generate(&mut system_rng());
        let now = SystemClock.now();
        let good = (now.minus(60_000).seconds(), now.plus(3_600_000).seconds());
        Ok((author.clone(), Voucher::issue(name, author.public(), good, &public, sign)))
    }

    /// Opens a message to the group with the keys it holds; `None` when none of them fits.
    ///
    /// # Errors
    /// It is no message.
    pub(super) fn open<'a>(&self, message: &'a [u8]) -> Result<Option<Taken<'a>>, Failure> {
        let envelope = Envelope::parse(message).map_err(|cause| cause.to_string())?;
        let Under::Ticket(ticket) = envelope.under else { return Err("a group has no replies".into()) };
        let ticket = Ticket::parse(ticket)?;
        let (source, destination) = (Name::try_from(envelope.source)?, Name::try_from(envelope.destination)?);
        for held in &self.keys {
            let Ok(rkey) = ticket.open(&held.key.ticket_key()) else { continue };
            let sek = rkey.sek(&source, &destination, envelope.expiration);
            if let Ok(plaintext) = StreamKey::new(sek, Salt::of(&envelope)).read(&envelope) {
                return Ok(Some(Taken { envelope, rkey, plaintext }));
            }
        }
        Ok(None)
    }

    /// A ticket for the group that it makes itself, and when that ends.
    fn ticket(&self) -> Result<(Rkey, Ticket, UnixSeconds), Failure> {
        let now = SystemClock.now().seconds();
        let held = self.keys.iter().find(|held| held.begins <= now && held.ends > now.plus(30));
        let HeldKey { key, ends, .. } = held.ok_or("none of the group's keys is good now")?;
        let rkey = Rkey::generate(&mut system_rng());
        let ticket = seal(&rkey, key);
        Ok((rkey, ticket, (*ends).min(now.plus(60))))
    }

    /// Another command in the name of who wrote `taken`, under that one's own ticket and next number, with no proof.
    ///
    /// # Errors
    /// None that happens: the topic is one.
    pub(super) fn without_proof(&self, taken: &Taken<'_>) -> Result<Vec<u8>, Failure> {
        let Taken { envelope, rkey, .. } = taken;
        let source = Name::try_from(envelope.source)?;
        let sek = rkey.sek(&source, &self.group, envelope.expiration);
        let key = StreamKey::new(sek, Salt::of(envelope));
        let header = self.header(&source, Extras::NONE, envelope.under, envelope.expiration)?;
        Ok(key.write(&Header { sequence: envelope.sequence + 1, ..header }, &command()))
    }

    /// Another command in the name of who wrote `taken`, with the proof that stands before that one's body.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn with_its_proof(&self, taken: &Taken<'_>) -> Result<Vec<u8>, Failure> {
        let Taken { envelope, rkey, plaintext } = taken;
        let (proof, _) = AuthorProof::split(plaintext).map_err(|cause| cause.to_string())?;
        let source = Name::try_from(envelope.source)?;
        let sek = rkey.sek(&source, &self.group, envelope.expiration);
        let key = StreamKey::new(sek, Salt::of(envelope));
        let header = self.header(&source, PROOF, envelope.under, envelope.expiration)?;
        let forged = before(proof.voucher, proof.signature, &command());
        Ok(key.write(&Header { sequence: envelope.sequence + 1, ..header }, &forged))
    }

    /// The same words and the same proof, under a ticket of its own making: said again, later.
    ///
    /// # Errors
    /// It holds no key that is good now.
    pub(super) fn said_again(&self, taken: &Taken<'_>) -> Result<Vec<u8>, Failure> {
        let source = Name::try_from(taken.envelope.source)?;
        let (rkey, ticket, end) = self.ticket()?;
        let key = StreamKey::new(rkey.sek(&source, &self.group, end), Salt::generate(&mut system_rng()));
        let header = self.header(&source, PROOF, Under::Ticket(ticket.as_bytes()), end)?;
        Ok(key.write(&header, &taken.plaintext))
    }

    /// A command in the name of `source` under a ticket of its own making, with a proof by this key and voucher.
    ///
    /// # Errors
    /// It holds no key that is good now.
    pub(super) fn signed_as(
        &self,
        source: &Name,
        (author, voucher): &(AuthorKey, Voucher),
    ) -> Result<Vec<u8>, Failure> {
        let (rkey, ticket, end) = self.ticket()?;
        let key = StreamKey::new(rkey.sek(source, &self.group, end), Salt::generate(&mut system_rng()));
        let header = self.header(source, PROOF, Under::Ticket(ticket.as_bytes()), end)?;
        Ok(key.write_authored(&header, (author, voucher), &command()))
    }

    fn header<'a>(
        &'a self,
        source: &'a Name,
        extras: Extras,
        under: Under<'a>,
        expiration: UnixSeconds,
    ) -> Result<Header<'a>, Failure> {
        Ok(Header {
            mode: Mode::Sealed,
            extras,
            expiration,
            sent_at: SystemClock.now(),
            sequence: 0,
            source,
            destination: &self.group,
            topic: Topic::try_from(DISCOVER)?,
            under,
        })
    }
}

fn seal(rkey: &Rkey, key: &GroupKey) -> Ticket {
    Ticket::seal_for_group(rkey, key.generation(), &key.ticket_key(), &mut system_rng())
}

/// A body with a proof before it (docs/protocol.md §9).
fn before(voucher: &[u8], signature: &[u8; 64], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(voucher.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length, voucher, signature, body].concat()
}

fn command() -> Vec<u8> {
    body(&Command { want: Kind::Os })
}

const PROOF: Extras = Extras { author_proof: true, detached: false };
