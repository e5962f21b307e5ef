//! What an agent that keeps its key file up remembers of it.

use core::fmt;

use keycell_protocol::{Bundle, Nonce, Step, UnixMillis};

use crate::keyfile::{AgentKey, KdcAddress};
use crate::pending::AskedRotation;
use crate::retry::Retry;

/// Which changes of the keys are in the file, and where a rotation stands.
pub(crate) struct Kept {
    /// Goes into the file unchanged.
    pub(crate) kdc: KdcAddress,
    /// Changes of the keys since the file was read, and how many of them are in it.
    changes: u64,
    saved: u64,
    /// The change that brought the staged key.
    staged: u64,
    /// Whether the KDC, or the host, wants another key.
    pub(crate) kdc_wants: bool,
    pub(crate) host_wants: bool,
    /// What to try with a staged key at hand.
    next: Step,
    pub(crate) retry: Retry,
    pub(crate) asked: Option<AskedRotation>,
}

impl Kept {
    pub(crate) const fn new(kdc: KdcAddress) -> Self {
        Self {
            kdc,
            changes: 0,
            saved: 0,
            staged: 0,
            kdc_wants: false,
            host_wants: false,
            next: Step::Commit,
            retry: Retry::new(BACKOFF_MS, MAX_BACKOFF_MS),
            asked: None,
        }
    }

    /// The keys are no longer what is in the file.
    pub(crate) const fn changed(&mut self) {
        self.changes += 1;
    }

    /// The same, and which change it is.
    pub(crate) const fn changed_to(&mut self) -> u64 {
        self.changed();
        self.changes
    }

    /// Whether that change is in the file.
    pub(crate) const fn has_saved(&self, change: u64) -> bool {
        self.saved >= change
    }

    /// There is a staged key, which is not in the file.
    pub(crate) const fn staged(&mut self) {
        self.changed();
        self.staged = self.changes;
        self.next = Step::Commit;
    }

    /// The last change, unless it is in the file.
    pub(crate) fn unsaved(&self) -> Option<u64> {
        (self.changes > self.saved).then_some(self.changes)
    }

    pub(crate) fn saved(&mut self, change: u64) {
        self.saved = self.saved.max(change).min(self.changes);
    }

    /// What to ask for, and whether a staged key is held.
    ///
    /// A staged key is committed only once it is in the file: the KDC drops the one before soon after.
    pub(crate) const fn step(&self, has_staged: bool) -> Option<Step> {
        if has_staged {
            if self.saved >= self.staged { Some(self.next) } else { None }
        } else if self.kdc_wants || self.host_wants {
            Some(Step::Stage)
        } else {
            None
        }
    }

    /// The KDC did not do what a rotation asked for: the other step may be the one that it is ready for.
    ///
    /// A staged key is never dropped for that. It may be the active one by now, if the answer to a commit was lost, and
    /// this KDC the one that has not heard of it yet. Only a sealed answer puts another in its place.
    pub(crate) const fn other_step(&mut self, step: Step) {
        self.next = match step {
            Step::Stage => Step::Commit,
            Step::Commit => Step::Stage,
        };
    }

    /// No KDC accepts the active key: the staged one may be active by now.
    pub(crate) const fn hurry_commit(&mut self) {
        self.next = Step::Commit;
        self.retry.hurry();
    }

    /// The rotation is done.
    pub(crate) const fn done(&mut self) {
        self.kdc_wants = false;
        self.host_wants = false;
        self.next = Step::Commit;
        self.changed();
    }

    /// Takes what was asked, if this is its answer.
    pub(crate) fn answered(&mut self, nonce: Nonce) -> Option<AskedRotation> {
        self.asked.take_if(|asked| asked.request.nonce == nonce)
    }

    /// When what was asked counts as lost.
    pub(crate) fn lost_at(&self, timeout_ms: u64) -> Option<UnixMillis> {
        self.asked.as_ref().map(|asked| asked.at.plus(timeout_ms))
    }
}

/// Keys that are to be in the key file and are not yet.
///
/// Not `Clone`: each copy of a key in memory is one more to lose.
pub struct Unsaved {
    /// What the file is to say.
    pub key: AgentKey,
    /// The bundle that the KDC sent, for a host that enrolled again: it is stored first.
    pub bundle: Option<Bundle>,
    pub(crate) change: u64,
}

impl fmt::Debug for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, bundle, change } = self;
        f.debug_struct("Unsaved").field("key", key).field("bundle", bundle).field("change", change).finish()
    }
}

/// Nothing waits for a rotation, and it costs the KDC more than a ticket.
const BACKOFF_MS: u64 = 5_000;
const MAX_BACKOFF_MS: u64 = 3_600_000;
