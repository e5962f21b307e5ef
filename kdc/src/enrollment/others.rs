//! Parties of one service and host, and the alarm where there are several.

use keycell_protocol::{Name, UnixMillis};

use super::draft::{event, revision};
use super::{Applicant, ConflictRecord, Request, SameHost};
use crate::administration::{AdminError, Ledger};
use crate::audit::{Action, Event};
use crate::store::{Kind, Write};

/// The enabled parties of the same service and host, as this KDC knows them. Of very many only some.
pub(super) fn others(ledger: &Ledger, applicant: &Applicant, name: &Name) -> Vec<Name> {
    let prefix = format!("{}.{}::", applicant.service, applicant.host);
    let parties = ledger.directory().enabled_beginning_with(&prefix, LOOKED_AT);
    let others = parties.iter().map(|party| party.name()).filter(|other| *other != name);
    others.cloned().collect()
}

/// What tells an administrator that a host is known by another key too.
pub(super) fn alarm(
    ledger: &Ledger,
    request: &Request,
    others: &[Name],
    now: UnixMillis,
) -> Result<(Write, Event), AdminError> {
    let Request { applicant, name, .. } = request;
    let named: Vec<Name> = others.iter().take(SameHost::MOST).cloned().collect();
    let told: Vec<String> = named.iter().map(Name::to_string).collect();
    let record = ConflictRecord {
        party: name.clone(),
        same_host: Some(SameHost { others: named, address: applicant.address, at: now }),
        copies: None,
        revision: 0,
    };
    // The party is new: what is there is of an earlier one of its name.
    let document = ledger.document(Kind::Conflict, name.local(), revision(now, None), &record)?;
    let event = event(request, Action::ConflictRaise, now).with("others", told);
    Ok((Write::ForceDocument(document), event))
}

/// At so many enabled parties of one service and host: more than come in by themselves.
const LOOKED_AT: usize = 100;
