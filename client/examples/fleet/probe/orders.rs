//! What a nanoprobe is told while it runs.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use keycell_client::protocol::Name;

use super::Courier;

/// What a running nanoprobe is told by its own host.
#[derive(Default)]
pub(crate) struct Orders {
    /// Stop.
    pub(crate) stop: AtomicBool,
    join: Mutex<Option<(Name, Courier)>>,
}

impl Orders {
    /// Hear what is said to this group as well.
    pub(crate) fn join(&self, group: Name, courier: Courier) {
        *self.join.lock().unwrap_or_else(PoisonError::into_inner) = Some((group, courier));
    }

    pub(super) fn joining(&self) -> Option<(Name, Courier)> {
        self.join.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
