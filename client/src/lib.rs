//! What an agent embeds: sealing, opening and answering Keycell messages.
//!
//! An [`Agent`] is one party. It seals messages to others, opens what comes, and answers. It does no input or
//! output and asks nobody the time, so that it fits any event loop and any transport: UDP, a queue, a file. For each
//! destination it needs a ticket from a KDC, about every ten minutes; it says what to send, and takes the answer. To
//! open a message and to answer it takes no KDC at all.
//!
//! ```
//! # use keycell_client::*;
//! # use keycell_protocol::*;
//! # let now = UnixMillis(1_766_059_200_000);
//! # let epoch = RatchetPeriod::DEFAULT.epoch(now.seconds());
//! # let mut rng = system_rng();
//! # let mut key = |name: &str| (name.parse().unwrap(), LongTermKey::generate(Generation::FIRST, epoch, &mut rng));
//! # let (cma, probe): ((Name, LongTermKey), (Name, LongTermKey)) = (key("cma@z"), key("probe.web1@z"));
//! # let (cma_keys, probe_keys) = (cma.1.subkeys(), probe.1.subkeys());
//! # let file = |(name, key)| AgentKey::new(name, key, RatchetPeriod::DEFAULT, KdcAddress::default());
//! # let (cma, probe) = (file(cma), file(probe));
//! # let kdc = |body: &[u8]| {
//! #     let mut rng = system_rng();
//! #     let request = SignedRequest::parse(body).unwrap().verify(&cma_keys.request).unwrap();
//! #     let mut reply = ReplyWriter::new(&request, now);
//! #     let (end, renew) = (now.seconds().plus(900), now.seconds().plus(600));
//! #     reply.grant_party(&request.destinations[0], &probe_keys, end, renew, &mut rng);
//! #     reply.seal(&cma_keys.reply, &mut rng)
//! # };
//! // On two hosts, each with its key file: let (store, cma) = KeyStore::open("/etc/keycell/cma.key")?;
//! let config = AgentConfig::default().first_use();
//! let mut cma = Agent::new(cma, &config, now, system_rng());
//! let mut probe = Agent::new(probe, &config, now, system_rng());
//!
//! let to = "probe.web1@z".parse()?;
//! let message = match cma.seal(now, &to, "discover", b"what are you?") {
//!     Err(SealError::NoTicket { .. }) => {
//!         // POST /v1/tickets, over TLS; the feature `https` does this for you.
//!         let request = cma.wants(now).expect("a ticket is missing");
//!         let answer = kdc(&request.body);
//!         cma.take_reply(now, &request, &answer)?;
//!         cma.seal(now, &to, "discover", b"what are you?")?
//!     }
//!     message => message?,
//! };
//! // The message travels, over whatever there is.
//! let opened = probe.open(now, &message)?;
//! assert_eq!((opened.source.as_str(), &opened.body[..]), ("cma@z", &b"what are you?"[..]));
//! let answer = probe.reply(now, &opened, b"a web server")?;
//! // And back.
//! assert_eq!(cma.open(now, &answer)?.body, b"a web server");
//! assert_eq!(probe.stats().requests, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who wrote it, and one body for many
//!
//! Whoever shares a key can write what it writes: the members of a group are not told apart by it. An author that
//! signs is. [`Agent::with_author_proof`] adds a signature and the KDC's voucher for it, which anyone can check later with the
//! zone's bundle ([`Opened::evidence`]); what goes to a group that requires it gets them by itself. [`Agent::seal_many`]
//! encrypts one body once, however many get it.
//!
//! ```no_run
//! # use keycell_client::*;
//! # use keycell_protocol::*;
//! # fn show(cma: &mut Agent, probe: &mut Agent, now: UnixMillis, signers: &Signers) -> Result<(), Box<dyn std::error::Error>> {
//! let to = "probe.web1@z".parse()?;
//! // Until there is a voucher: SealError::NoVoucher, as with a ticket.
//! let message = cma.with_author_proof().seal(now, &to, "patch", b"install 4.2")?;
//! let opened = probe.open(now, &message)?;
//! let author = opened.author().expect("it was proved");
//! let evidence = opened.evidence().expect("it was proved");
//! // Years later, somewhere else.
//! let said = Evidence::verify(evidence.as_bytes(), signers)?;
//! assert_eq!((said.source, &said.body[..]), (author.name().clone(), &b"install 4.2"[..]));
//!
//! let many = cma.seal_many(now, &[to, "probe.web2@z".parse()?], "patch", &[7; 1_000_000])?;
//! for (name, part) in many.parts {
//!     // Send it to `name`; `many.common` to all. A part that failed can be made later: Agent::seal_part.
//!     let opened = probe.open_many(now, &part?, &many.common)?;
//! #   assert_eq!(opened.body.len(), 1_000_000);
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Rules for whoever drives an agent
//!
//! - `now` is the host's clock, unchanged ([`SystemClock`] reads it): the agent corrects it itself once a KDC told the time.
//! - One [`Agent`] per process. But for its keys it has no state to store and none to restore: a new process draws new
//!   salts, so no nonce is used twice, and refuses what an earlier process may have opened ([`RestartGuard`]).
//! - An agent made with [`Agent::keeping`] turns its keys as the days pass and rotates them when the KDC asks; what
//!   [`Agent::unsaved`] gives then goes into its [`KeyStore`]. One made with [`Agent::new`] leaves them as they are.
//! - Call [`Agent::wants`] after a [`SealError::NoTicket`], and at [`Agent::next_wakeup`]; post what it gives to its
//!   [`path`](PendingRequest::path).
//! - A member of groups looks at [`Agent::open_waiting`] after each answer of a KDC.
//! - What does not open says only [`CannotOpen`]; its
//!   [`cause`](CannotOpen::cause) is for your own log.
//!
//! # Groups
//!
//! Whoever may write to a group seals to its name as to any other. A party hears what comes to its groups if it says so:
//! [`AgentConfig::member_of`], [`AgentConfig::member_of_all`] or [`Agent::join`]. Then [`open`](Agent::open) opens it, and
//! [`Opened::destination`] says to whom it came. [`Agent::wants`] asks for the keys in time, about once in the lifetime of
//! one, so that no message waits for a KDC. Only after a change, a rotation or a removal, a message may come under a key
//! that is not here yet: `open` refuses it as [`Cause::Waiting`] and keeps it, the key is asked for within the time over
//! which the KDC wants the members spread, and [`Agent::open_waiting`] gives the message. What waits is bounded (64
//! messages, 1 MiB) and is not proved to be anybody's yet.
//!
//! All members hold the same keys: that a message came from its source, and not from another member, takes a proof of its
//! author. An answer to a message that came to a group is a new message, under a ticket of the answerer's own. Keys of
//! groups are in memory only.
//!
//! # Hosts that come aboard by themselves
//!
//! A [`HostStore`] is a folder with a key pair of the host's own for each service. With the zone's bundle in it a host
//! [enrolls](Enrollment): it proves its key to the KDC, and both know its long-term key then. An agent that is
//! [`reenrolling`](Agent::reenrolling) does so again when no KDC knows its keys any more, and puts what is to be stored with
//! the rest ([`Unsaved::bundle`]). The feature `https` does all of it.
//!
//! # Memory
//!
//! Every table has a limit in [`AgentConfig`] or [`OpenerConfig`], and nothing else grows. Measured with aws-lc-rs
//! and names of 30 bytes, as growth of the process:
//!
//! | table | limit unless set | bytes per entry |
//! |---|---|---|
//! | senders: key, replay window | 65,536 | 1,200 |
//! | destinations: ticket, key, two timers | 131,072 | 1,300 |
//! | own tickets that replies may come under | 262,144 | 450 |
//! | tickets of others answered under | 65,536 | 1,100 |
//!
//! Of groups there are those that it joined, or at most 100 if it listens to all of its own, with at most 40 keys each;
//! three unless they were rotated just now.
//!
//! A sender that proves who it is takes about 400 bytes more: its voucher, which is checked once.
//!
//! # Features
//!
//! - `aws-lc-rs` (on): the fast back end for messages. Without it everything is pure Rust, and about eight times
//!   slower on short messages.
//! - `https` (off): the module `https`: the transport to the KDCs, renewal, turning and rotation in the background, and agents for async and blocking programs.

mod agent;
mod author;
mod clock;
mod config;
mod contents;
mod correction;
mod enrollment;
mod error;
mod groups;
mod hosts;
#[cfg(feature = "https")]
pub mod https;
mod kept;
mod keyfile;
mod keys;
mod keystore;
mod many;
mod opened;
mod opener;
mod pending;
mod proofs;
mod replies;
mod retry;
mod sealer;
mod stats;
mod streams;
mod tickets;

pub use agent::{Agent, WithAuthorProof};
pub use clock::{Clock, SystemClock};
pub use config::AgentConfig;
pub use enrollment::{Boarded, Enrollment, Standing};
pub use error::SealError;
pub use groups::{MemberOf, Membership};
pub use hosts::{HostStore, HostStoreError, StoredHost, this_host};
pub use kept::Unsaved;
pub use keycell_protocol as protocol;
pub use keycell_protocol::{
    AuthorKey, AuthorPublicKey, CannotOpen, Cause, Evidence, Mode, Name, SignerKey, SuccessionError,
    UnixMillis, UnixSeconds, Voucher, Zone,
};
pub use keyfile::{AgentKey, KdcAddress, KeyFileError, RetiringKey};
pub use keys::Keys;
pub use keystore::KeyStore;
pub use many::{Content, Many};
pub use opened::Opened;
pub use opener::{Opener, OpenerConfig, RestartGuard};
pub use pending::{PendingRequest, TakeError, Taken};
pub use sealer::Sealer;
pub use stats::Stats;

/// The operating system's random generator.
///
/// It panics if the system has no randomness to give, which no program could go on without.
#[must_use]
pub fn system_rng() -> impl rand_core::CryptoRng + Send + 'static {
    rand_core::UnwrapErr(getrandom::SysRng)
}
