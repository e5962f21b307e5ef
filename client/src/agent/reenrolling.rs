//! Coming aboard again (docs/protocol.md §10): a host whose key no KDC knows any more proves its own and gets another.

use keycell_protocol::{
    AuthorKey, Bundle, EnrolledName, EnrollmentState, Fingerprint, Nonce, Problem, UnixMillis,
};
use rand_core::CryptoRng;

use super::Agent;
use super::looking::Looking;
use crate::enrollment::asking::Asking;
use crate::enrollment::{Boarded, Standing};
use crate::groups::below;
use crate::keyfile::KdcAddress;
use crate::pending::{PendingRequest, TakeError};

/// When a host enrolls again, and how far it is.
pub(crate) struct Reenrolling {
    asking: Asking,
    /// Since a KDC last accepted a request.
    refusals: Option<Refusals>,
    /// Whether it asks, or is about to.
    under_way: bool,
    /// Over how many milliseconds the moment was drawn at which it asks, until then.
    drawn_over: Option<u64>,
    /// The most of them.
    longest: u64,
    /// Since a KDC last accepted a request: each one in vain makes the next one later.
    in_vain: u32,
    pub(super) looking: Looking,
    /// The change of the key file that goes with the bundle.
    pub(super) bundle: Option<u64>,
}

#[derive(Clone, Copy)]
struct Refusals {
    count: u32,
    since: UnixMillis,
    /// The last one that counted.
    last: UnixMillis,
}

impl Reenrolling {
    /// No KDC knew any of the keys, at a moment at which the clocks agreed. Whether it is to be asked once more.
    fn refused(&mut self, now: UnixMillis, within: u32, rng: &mut impl CryptoRng) -> bool {
        let within = self.spread(within);
        if self.under_way {
            self.draw_again(now, within, rng);
            return false;
        }
        let fresh = Refusals { count: 0, since: now, last: now };
        let refusals = self.refusals.get_or_insert(fresh);
        // A clock that was set meanwhile says nothing about how long it has been.
        if now < refusals.last || now.distance(refusals.last) > FORGOTTEN_MS {
            *refusals = fresh;
        }
        refusals.count = refusals.count.saturating_add(1);
        refusals.last = now;
        if refusals.count < LEAST || now.distance(refusals.since) < LEAST_MS {
            return true;
        }
        self.under_way = true;
        self.drawn_over = Some(within);
        self.asking.begin_at(now, now.plus(below(rng, within)));
        false
    }

    /// Whoever forges a refusal may say a long time, and the KDC says its own with the next: the shorter one counts.
    fn draw_again(&mut self, now: UnixMillis, within: u64, rng: &mut impl CryptoRng) {
        if self.drawn_over.is_some_and(|drawn_over| within < drawn_over) {
            self.drawn_over = Some(within);
            let at = now.plus(below(rng, within));
            if at < self.asking.next_wakeup(now) {
                self.asking.begin_at(now, at);
            }
        }
    }

    /// What the KDC gave has the number of a key that this host had before, and is not taken: two keys of one number would be
    /// taken for each other. The next has the number after that.
    fn ask_once_more(&mut self, now: UnixMillis, rng: &mut impl CryptoRng) {
        let within = self.spread(WITHIN);
        self.in_vain = self.in_vain.saturating_add(1);
        self.asking.begin_at(now, now.plus(below(rng, within)));
    }

    /// Over how many milliseconds it draws, where the KDC says so many seconds.
    fn spread(&self, within: u32) -> u64 {
        let within = u64::from(within.max(1)) * 1000;
        (within << self.in_vain.min(10)).min(self.longest.max(1))
    }

    /// A KDC knows a key of this host.
    pub(super) const fn accepted(&mut self) {
        self.refusals = None;
        self.under_way = false;
        self.in_vain = 0;
    }

    pub(super) const fn bundle(&self) -> &Bundle {
        self.asking.bundle()
    }
}

impl Agent {
    /// Enrolls again by itself when the KDCs of its zone know none of its keys any more, as after a recovery: proved by its own
    /// key, under its own name, and with nobody touching the host.
    ///
    /// That takes three refusals over half a minute at least, by KDCs whose clock agrees with this host's, and then a random
    /// wait over the time that the KDC names, so that a fleet does not come at once; never over a longer one than
    /// [`reenroll_within_ms`](crate::AgentConfig::reenroll_within_ms), and over a shorter one as soon as a KDC names that. What
    /// it is given is to be stored as ever ([`unsaved`](Self::unsaved)), the bundle too.
    ///
    /// An agent that has asked a KDC nothing for a while asks for its voucher, so that it is refused in time:
    /// [`look_in_ms`](crate::AgentConfig::look_in_ms).
    ///
    /// Nothing changes for an agent that does not [keep](Self::keeping) its keys, or whose key file is not of a host that
    /// enrolled in the zone of the bundle: see [`reenrolls`](Self::reenrolls).
    #[must_use]
    pub fn reenrolling(mut self, bundle: Bundle) -> Self {
        self.reenrolling = self.reenrollment(bundle).map(Box::new);
        self
    }

    fn reenrollment(&self, bundle: Bundle) -> Option<Reenrolling> {
        let name = EnrolledName::of(&self.me)?;
        let key: &AuthorKey = self.author.key()?;
        let is_own = Fingerprint::of(&key.public()) == name.fingerprint;
        if self.kept.is_none() || !is_own || bundle.zone.as_str() != self.me.zone() {
            return None;
        }
        let asking = Asking::new(bundle, name, key.clone(), None, self.instance)?;
        Some(Reenrolling {
            asking,
            refusals: None,
            under_way: false,
            drawn_over: None,
            longest: self.reenroll_within_ms,
            in_vain: 0,
            looking: Looking::new(self.look_in_ms),
            bundle: None,
        })
    }

    /// Whether it enrolls again by itself.
    #[must_use]
    pub const fn reenrolls(&self) -> bool {
        self.reenrolling.is_some()
    }

    /// How it stands with enrolling again; `None` while there is no reason to.
    #[must_use]
    pub fn reenrollment_standing(&self) -> Option<Standing> {
        let reenrolling = self.reenrolling.as_ref().filter(|reenrolling| reenrolling.under_way)?;
        Some(reenrolling.asking.standing())
    }

    /// No KDC knows any of the keys. Whether it is to be asked once more before that is believed.
    ///
    /// Only while this host's clock, corrected by nothing but sealed answers, is right by the KDC's: with a wrong one the keys
    /// of another day may be asked with.
    pub(super) fn unknown_to_kdcs(&mut self, now: UnixMillis, problem: &Problem) -> bool {
        let Some(reenrolling) = &mut self.reenrolling else { return false };
        let clock = self.correction.apply(now);
        if problem.server_time.is_none_or(|server_time| server_time.distance(clock) > SKEW_MS) {
            return false;
        }
        reenrolling.refused(now, problem.reenroll_within.unwrap_or(WITHIN), &mut self.rng)
    }

    /// As [`wants`](Self::wants), to enroll again only.
    pub(crate) fn wants_enrollment(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        let reenrolling = self.reenrolling.as_mut().filter(|reenrolling| reenrolling.under_way)?;
        let request = reenrolling.asking.wants(now, &mut self.rng)?;
        reenrolling.drawn_over = None;
        Some(request)
    }

    pub(super) fn take_enrollment(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        body: &[u8],
    ) -> Result<(), TakeError> {
        let reenrolling = self.reenrolling.as_mut().ok_or(TakeError::NotPending)?;
        if let Some(boarded) = reenrolling.asking.take_reply(now, nonce, body, &mut self.rng)? {
            // It has another living key of this host, and has not heard of those after that: it was restored from a backup.
            if boarded.state == EnrollmentState::Staged && boarded.key.generation() <= self.keys.active() {
                reenrolling.ask_once_more(now, &mut self.rng);
            } else {
                self.board(now, boarded);
            }
        }
        Ok(())
    }

    pub(super) fn take_enrollment_problem(&mut self, now: UnixMillis, nonce: Nonce, problem: &Problem) {
        if let Some(reenrolling) = &mut self.reenrolling {
            reenrolling.asking.take_problem(now, nonce, problem, &mut self.rng);
        }
    }

    pub(super) fn give_up_enrollment(&mut self, now: UnixMillis, nonce: Nonce) {
        if let Some(reenrolling) = &mut self.reenrolling {
            reenrolling.asking.give_up(now, nonce, &mut self.rng);
        }
    }

    /// When to call [`wants_enrollment`](Self::wants_enrollment) next.
    pub(super) fn next_enrollment_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let reenrolling = self.reenrolling.as_ref().filter(|reenrolling| reenrolling.under_way)?;
        Some(reenrolling.asking.next_wakeup(now))
    }

    /// Takes another key for its own.
    ///
    /// No KDC knew those from before, most likely because it has erased them: they go on opening messages for as long as there
    /// are tickets under them, so that whoever has one does not notice, and no KDC is asked or believed under them any more
    /// (docs/decisions/0037-how-a-host-enrolls-again.md). That is so beside a staged one too: then an answer to an earlier
    /// request was lost, or the KDC was restored.
    fn board(&mut self, now: UnixMillis, boarded: Boarded) {
        let Boarded { name: _, key, state, ratchet_period: _, bundle } = boarded;
        let end = self.end_of_tickets(self.correction.apply(now).seconds());
        let signers: Vec<_> = bundle.identities.iter().map(|identity| identity.signing_key).collect();
        let place = self.order.next();
        self.learn_signers(place, &signers, bundle.trusted_signers());
        let staged = state == EnrollmentState::Staged;
        if staged {
            self.keys.board_staged(key, end);
        } else {
            self.keys.board(key, end);
        }
        self.forget_asked();
        self.tickets.ask_anew(self.correction.apply(now));
        if let Some(kept) = &mut self.kept {
            kept.kdc = KdcAddress { urls: bundle.urls, tls_roots: bundle.tls_roots };
            if staged {
                kept.staged();
                kept.hurry_commit();
            } else {
                kept.done();
            }
            if let Some(reenrolling) = &mut self.reenrolling {
                reenrolling.bundle = kept.unsaved();
                reenrolling.refusals = None;
                reenrolling.under_way = false;
                reenrolling.in_vain = reenrolling.in_vain.saturating_add(1);
            }
        }
        self.stats.reenrollments += 1;
        // What was refused was refused to the key before, and what was vouched for by an identity that may be gone.
        let corrected = self.correction.apply(now);
        self.tickets.retry_refused(corrected);
        self.groups.look_again(corrected);
        self.author.look_again();
        self.tickets.lanes.hurry();
        self.groups.retry.hurry();
        self.author.retry.hurry();
    }

    /// What was asked with a key that is erased is answered by no KDC: whatever comes now is a thief's.
    fn forget_asked(&mut self) {
        self.pending.clear();
        self.groups.asked = None;
        self.author.asked = None;
        if let Some(kept) = &mut self.kept {
            kept.asked = None;
        }
    }
}

/// How often, and over how many milliseconds, it is refused before it enrolls again.
const LEAST: u32 = 3;
const LEAST_MS: u64 = 30_000;
/// Milliseconds without a refusal after which the ones before count no more.
const FORGOTTEN_MS: u64 = 3_600_000;
/// How far the clocks may be apart: what the KDC allows a request.
const SKEW_MS: u64 = 60_000;
/// Seconds over which hosts spread out, where the KDC does not say.
const WITHIN: u32 = 60;
