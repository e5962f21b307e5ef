//! Models of what Keycell keeps in mind, checked for every order of events that there is within small bounds.
//!
//! A model says what may happen next and what must hold whatever happened. What then happens is left to the real types:
//! none of their rules is written down here a second time, but for what a property says. Each model has weakened twins, in
//! which one rule is missing: the checker must find what that rule is there for, or it would find nothing at all.
//!
//! `docs/formal/states.md` says what is covered, with which bounds, and what is not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "this is a test")]

mod generations;
mod group;
mod identities;
mod memo;
mod ratchet;
mod window;

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

/// Goes through every state of a model. What is always to hold holds in each; what is to be possible was met.
fn holds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, depth {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    for property in checker.model().properties() {
        let found = checker.discovery(property.name).map(|path| path.into_actions());
        assert_eq!(
            found.is_some(),
            !property.expectation.discovery_is_failure(),
            "{name}: {}: {found:#?}",
            property.name
        );
    }
    // No property that is always to hold was discovered, so the checker stopped for want of states and nothing else.
    assert!(checker.is_done());
}

/// Goes through a weakened model until what `property` says is broken, and tells how.
fn breaks<M>(name: &str, property: &'static str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    let path = checker.discovery(property).unwrap_or_else(|| panic!("{name}: {property}: nothing was found"));
    println!(
        "{name}: {property}: broken after {} states by {:?}",
        checker.unique_state_count(),
        path.into_actions()
    );
}
