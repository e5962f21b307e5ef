//! The Keycell key-distribution service: a library, so that tests run the real thing, and the binary `keycell`.
//!
//! A request for tickets goes through [`http`], [`kdc`], [`issuance`] and back; it reads the [`directory`] in memory
//! and nothing else. An administrator's change goes through [`http`], [`administration`], [`store`] and from there into the
//! directory of every KDC of the zone. `docs/architecture.md` has the picture.

pub mod administration;
pub mod api;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod cell;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
mod dev;
pub mod directory;
pub mod disk;
pub mod enrollment;
mod fields;
pub mod files;
pub mod groups;
mod guests;
pub mod http;
pub mod identities;
pub mod issuance;
pub mod kdc;
pub mod keyring;
pub mod lifetimes;
pub mod limit;
#[cfg(test)]
mod mangle;
pub mod metrics;
mod named;
pub mod oidc;
pub mod peers;
pub mod policy;
pub mod process;
pub mod random;
pub mod recovery;
pub mod rewrap;
pub mod serve;
pub mod settings;
pub mod store;
pub mod systemd;
pub mod telemetry;
pub mod ticket_log;
pub mod tls;
pub mod token;
pub mod traces;
pub mod trust;
pub mod watermark;
