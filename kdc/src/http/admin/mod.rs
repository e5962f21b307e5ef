//! `/v1/admin/`: what administrators do. One file for each kind of thing.

mod answer;
pub(super) mod audit;
pub(super) mod body;
pub(super) mod conflicts;
pub(super) mod enrollment;
pub(super) mod enrollments;
pub(super) mod groups;
pub(super) mod identities;
pub(super) mod import;
pub(super) mod join_tokens;
pub(super) mod keys;
pub(super) mod master_key;
mod order;
pub(super) mod parties;
pub(super) mod policy;
pub(super) mod reload;
pub(super) mod status;
pub(super) mod tokens;
pub(super) mod trusts;
pub(super) mod zone;
