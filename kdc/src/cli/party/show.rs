//! `keycell party show` and `keycell party keys`

use std::io;

use keycell_protocol::Name;
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::group::OfParty;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::{fields, or_dash, table};
use super::list::state;
use super::path;
use crate::api::{EnrolledView, KeyPage, KeyView, PartyView};
use crate::audit::hex;
use crate::enrollment::Admission;

pub(super) async fn party(name: &Name, admin: &Admin, output: &Output) -> Outcome {
    let party: PartyView = admin.get(path(name)).read().await?;
    let shown = Shown { party, groups: OfParty::ask(name, admin).await? };
    Ok(output.print(&shown, |out| {
        write(out, &shown.party)?;
        shown.groups.write(out)
    })?)
}

/// A party, with the groups that it is a member of.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    party: PartyView,
    groups: OfParty,
}

pub(in crate::cli) async fn keys(name: &Name, admin: &Admin, output: &Output) -> Outcome {
    let page: KeyPage = admin.get(format!("{}/keys", path(name))).read().await?;
    Ok(output.print(&page, |out| write_keys(out, &page.keys))?)
}

/// Everything that is known of a party.
pub(super) fn write(out: &mut dyn io::Write, view: &PartyView) -> io::Result<()> {
    let seen = view.last_seen.map_or_else(|| "never".to_owned(), time);
    let state = match view.usable_until {
        Some(end) => format!("{}; tickets given before end by {}", state(view.enabled), time(end)),
        None => state(view.enabled).to_owned(),
    };
    let rotation =
        if view.rotation_due { "due: it is told when it next asks for tickets" } else { "not due" };
    fields(
        out,
        [
            ("name", view.name.to_string()),
            ("state", state),
            ("last seen", seen),
            ("created", time(view.created_at)),
            ("changed", time(view.updated_at)),
            ("revision", view.revision.to_string()),
            ("log tickets", if view.log_tickets { "yes" } else { "no" }.to_owned()),
            ("key rotation", rotation.to_owned()),
            ("author key", or_dash(view.author_key.map(|key| hex::encode(key.as_bytes())))),
            ("note", view.note.clone()),
        ],
    )?;
    if let Some(enrolled) = &view.enrollment {
        writeln!(out)?;
        write_enrollment(out, enrolled)?;
    }
    writeln!(out)?;
    write_keys(out, &view.keys)
}

fn write_enrollment(out: &mut dyn io::Write, enrolled: &EnrolledView) -> io::Result<()> {
    let admission = match (enrolled.admission, enrolled.join_token) {
        (Admission::Token, Some(token)) => format!("by join token {token}"),
        (Admission::Token, None) => "by a join token".to_owned(),
        (Admission::Approval, _) => "by approval".to_owned(),
        (Admission::Tofu, _) => "as the first that came".to_owned(),
    };
    fields(
        out,
        [
            ("enrolled", format!("{} {admission}", time(enrolled.enrolled_at))),
            ("last enrolled", format!("{} from {}", time(enrolled.renewed_at), enrolled.address)),
            ("service", enrolled.service.to_string()),
            ("host", enrolled.host.to_string()),
            ("fingerprint", enrolled.fingerprint.to_string()),
            ("identity", enrolled.identity.to_string()),
        ],
    )
}

fn write_keys(out: &mut dyn io::Write, keys: &[KeyView]) -> io::Result<()> {
    let rows = keys.iter().map(|key| {
        [
            key.generation.to_string(),
            key.state.clone(),
            key.epoch.to_string(),
            time(key.created_at),
            or_dash(key.ends_at.map(time)),
        ]
    });
    table(out, ["GENERATION", "STATE", "EPOCH", "CREATED", "ENDS"], rows)
}
