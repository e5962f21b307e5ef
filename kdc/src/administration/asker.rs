//! From where a party asks for a change to what is its own.

use std::net::IpAddr;

use keycell_protocol::{Name, UnixMillis};

use crate::audit::{Action, Actor, Event};

/// A party's request, as the audit log names it.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// Its name in the log.
    pub request: Option<String>,
    /// Where it came from.
    pub address: Option<IpAddr>,
}

impl Asker {
    /// The event that `party` did something to itself.
    pub(super) fn event(&self, party: &Name, at: UnixMillis, action: Action) -> Event {
        let mut event = Event::new(at, Actor::of(party), action, party.as_str());
        event.request.clone_from(&self.request);
        event.address = self.address;
        event
    }
}
