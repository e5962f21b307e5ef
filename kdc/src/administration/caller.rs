//! Who asks for a change, and from where.

use std::net::IpAddr;

use keycell_protocol::UnixMillis;

use crate::audit::{Action, Actor, Event};
use crate::token::Role;

/// An administrator whose token holds, or the console.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// What it may do.
    pub role: Role,
    /// The id of its token.
    pub token: Option<String>,
    /// Until when that is good.
    pub expires_at: UnixMillis,
    /// The request's name in the log.
    pub request: Option<String>,
    /// Where it came from.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// Whoever runs a command on the cell's own files: they could read the master key, so they may do everything.
    #[must_use]
    pub fn console() -> Self {
        Self {
            actor: Actor::Console(user()),
            role: Role::Admin,
            token: None,
            expires_at: UnixMillis(u64::MAX),
            request: None,
            address: None,
        }
    }

    /// The KDC itself, where it does what an administrator set that it is to do.
    #[must_use]
    pub(crate) const fn kdc() -> Self {
        Self {
            actor: Actor::Kdc,
            role: Role::Admin,
            token: None,
            expires_at: UnixMillis(u64::MAX),
            request: None,
            address: None,
        }
    }

    /// The event that this caller did something.
    #[must_use]
    pub fn event(&self, at: UnixMillis, action: Action, target: impl Into<String>) -> Event {
        let mut event = Event::new(at, self.actor.clone(), action, target);
        event.request.clone_from(&self.request);
        event.address = self.address;
        match &self.token {
            Some(token) => event.with("token", token.as_str()),
            None => event,
        }
    }
}

/// The user's number: it needs no lookup that can hang.
fn user() -> String {
    let name = std::env::var("USER").ok().filter(|name| !name.is_empty() && name.len() <= 64);
    let uid = rustix::process::getuid().as_raw();
    match name.filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    }
}
