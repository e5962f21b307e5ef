//! What an agent counts.

use std::collections::BTreeMap;

/// Counters of one agent, since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages sealed or signed under tickets of its own.
    pub sealed: u64,
    /// Answers under the tickets of others.
    pub replied: u64,
    /// Messages and replies opened.
    pub opened: u64,
    /// Messages refused, by the [code](keycell_protocol::Cause::code) of the cause.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests made to a KDC: its lookups.
    pub requests: u64,
    /// Requests for the keys of groups.
    pub group_requests: u64,
    /// Those of them that a message caused, because it came under a key that was not held.
    pub group_refetches: u64,
    /// Messages to groups that had to wait for a key.
    pub waited: u64,
    /// Those of them that were given up: there was no room, or no such key.
    pub waited_in_vain: u64,
    /// Those that wait now.
    pub waiting: u64,
    /// Tickets granted.
    pub tickets: u64,
    /// Tickets refused.
    pub refusals: u64,
    /// Requests that failed and were to be made again.
    pub failures: u64,
    /// Times its keys were stored.
    pub key_saves: u64,
    /// Times they could not be.
    pub key_save_failures: u64,
    /// Rotations of its key.
    pub rotations: u64,
    /// Times it enrolled again.
    pub reenrollments: u64,
    /// Vouchers given for its author key.
    pub vouchers: u64,
    /// Destinations in its table now.
    pub destinations: u64,
    /// Senders in its table now.
    pub streams: u64,
}
