//! `/v1/admin/`: what administrators do. One file for each kind of thing.

pub(super) mod body;
pub(super) mod parties;
