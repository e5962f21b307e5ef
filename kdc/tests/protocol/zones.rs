//! Zones that trust each other, and what the KDC that is asked gives and refuses.

mod asked;
mod asking;
mod border;
mod bundles;
mod halves;
mod offers;
mod recovered;
mod renewed;
mod told;
pub(crate) mod trust;
