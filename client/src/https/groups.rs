//! Listening to groups.

use keycell_protocol::{CannotOpen, Name};

use super::Agent;
use crate::{Membership, Opened};

impl Agent {
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
    }

    /// The groups that this party listens to, and how it stands with each.
    #[must_use]
    pub fn groups(&self) -> Vec<(Name, Membership)> {
        self.shared.lock().groups(self.shared.clock.now())
    }
}
