//! `keycell trust show`

use std::io;

use super::super::moment::{exact, time};
use super::super::table::{fields, or_dash, printable};
use crate::api::TrustView;
use crate::trust::Direction;

/// Everything that is known of a trust.
pub(super) fn write(out: &mut dyn io::Write, view: &TrustView) -> io::Result<()> {
    let what = match view.direction {
        Direction::Incoming => format!("incoming: parties of {} speak to ours", view.zone),
        Direction::Outgoing => format!("outgoing: our parties speak to those of {}", view.zone),
    };
    let lifetime = view.lifetime_seconds.map_or("the zone's own".to_owned(), |most| exact(most.into()));
    let identities: Vec<_> = view.identities.iter().map(ToString::to_string).collect();
    let urls = (view.direction == Direction::Outgoing).then(|| ("urls", view.urls.join(", ")));
    let first = [
        ("trust", what),
        ("zone", view.zone.to_string()),
        ("state", state(view).to_owned()),
        ("mode", view.mode.to_string()),
        ("sources", view.sources.join(", ")),
        ("destinations", view.destinations.join(", ")),
        ("lifetime", lifetime),
        ("rate", format!("{}/{}", view.rate.per_second, view.rate.burst)),
        ("log tickets", if view.log_tickets { "yes" } else { "no" }.to_owned()),
    ];
    let spoke = match view.direction {
        Direction::Incoming => view.last_answer.map(|at| ("last asked", time(at))),
        Direction::Outgoing => view.last_answer.map(|at| ("last answer", time(at))),
    };
    let request = view.last_request.zip(view.last_outcome.as_deref());
    let request =
        request.map(|(at, outcome)| ("last request", format!("{}, {}", printable(outcome), time(at))));
    let last = [
        ("identities", identities.join(", ")),
        ("fingerprint", view.fingerprint.clone()),
        ("key", key(view)),
        ("created", time(view.created_at)),
        ("changed", time(view.updated_at)),
        ("revision", view.revision.to_string()),
        ("note", view.note.clone()),
    ];
    fields(out, first.into_iter().chain(urls).chain(last).chain(spoke).chain(request))
}

/// Whether tickets are given by it.
pub(super) const fn state(view: &TrustView) -> &'static str {
    if view.enabled { "enabled" } else { "disabled" }
}

/// Its key, and what is to become of that.
pub(super) fn key(view: &TrustView) -> String {
    let mut key = match view.generation {
        Some(generation) => format!("generation {generation}"),
        None => or_dash(None::<String>),
    };
    if let Some(staged) = view.staged {
        key.push_str(&format!(", then {staged}"));
    }
    if view.rotation_asked {
        key.push_str(", to be replaced");
    }
    key
}
