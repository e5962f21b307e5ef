//! How administrators ask: at a revision, again, and for some of the parties.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "admin_requests/conditions.rs"]
mod conditions;
#[path = "admin_requests/filters.rs"]
mod filters;
#[path = "admin_requests/retries.rs"]
mod retries;
