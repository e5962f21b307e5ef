//! The audit log of a running cell: what is written to it, and what is found when somebody has tampered with it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "audit_log/asked.rs"]
mod asked;
#[path = "audit_log/crash.rs"]
mod crash;
#[path = "audit_log/noticed.rs"]
mod noticed;
#[path = "audit_log/tampered.rs"]
mod tampered;
#[path = "audit_log/written.rs"]
mod written;
