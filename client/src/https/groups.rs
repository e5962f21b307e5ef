//! Listening to groups.

use keycell_protocol::{CannotOpen, Cause, Envelope, Name};
use tokio::time::Instant;

use super::{Agent, OpenError};
use crate::{Membership, Opened};

impl Agent {
    /// As [`open`](Self::open), and fetches the key of the message's group first if it is not here: for a program that opens
    /// what was stored, and has nothing else to do. It listens to the group already, and the message is not kept.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn fetch_and_open(&self, bytes: &[u8]) -> Result<Opened, OpenError> {
        let deadline = self.deadline();
        // Before the first try, so that no answer that comes right after it is missed.
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let left = deadline.saturating_duration_since(Instant::now());
            let (opened, asks) = self.shared.act(|agent, now| {
                let opened = agent.open_or_look_for_key(now, bytes);
                let end = now.plus(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
                (opened, agent.asks_for_groups_by(now, end))
            });
            let error = match opened {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let Some(group) = self.group_of(bytes) else { return Err(error.into()) };
            let membership = self.groups().into_iter().find(|(name, _)| *name == group);
            if let Some((_, Membership::Refused { problem })) = membership {
                return Err(OpenError::Refused { group, problem });
            }
            if !matches!(error.cause(), Cause::Waiting { .. }) {
                return Err(error.into());
            }
            self.shared.wake.notify_one();
            if !asks || self.wait(&mut changed, deadline).await.is_err() {
                return Err(self.no_keys(group));
            }
        }
    }

    /// The messages to groups that [`open`](Self::open) kept and that open by now, or never will.
    #[must_use]
    pub fn open_waiting(&self) -> Vec<Result<Opened, CannotOpen>> {
        self.shared.act(crate::Agent::open_waiting)
    }

    /// Waits until there are some, and gives them: for a task of its own, in a loop.
    pub async fn waited(&self) -> Vec<Result<Opened, CannotOpen>> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let opened = self.open_waiting();
            if !opened.is_empty() {
                return opened;
            }
            // It changes with every answer. The sender lives as long as this handle does.
            let _ = changed.changed().await;
        }
    }

    /// Listens to a group from now on. After a refusal that asks once more.
    pub fn join(&self, group: &Name) {
        self.shared.act(|agent, now| agent.join(now, group));
    }

    /// Listens to a group no longer, and forgets its keys.
    pub fn leave(&self, group: &Name) {
        self.shared.lock().leave(group);
        self.shared.group_failures().forget(group);
    }

    /// The groups that this party listens to, and how it stands with each.
    #[must_use]
    pub fn groups(&self) -> Vec<(Name, Membership)> {
        self.shared.lock().groups(self.shared.clock.now())
    }

    /// The group that a message claims to be for.
    fn group_of(&self, bytes: &[u8]) -> Option<Name> {
        let destination = Name::try_from(Envelope::parse(bytes).ok()?.destination).ok()?;
        (destination != *self.name()).then_some(destination)
    }

    fn no_keys(&self, group: Name) -> OpenError {
        let last = self.shared.group_failures().of(&group);
        let none = || "it names a later key than the KDC gave last; try again later".to_owned();
        OpenError::NoKey { group, last: last.unwrap_or_else(none) }
    }
}
