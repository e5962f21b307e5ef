//! `keycell trust list`

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::table::table;
use super::TRUSTS;
use super::show::{key, state};
use crate::api::TrustList;

pub(super) async fn trusts(admin: &Admin, output: &Output) -> Outcome {
    let list: TrustList = admin.get(TRUSTS).read().await?;
    Ok(output.print(&list, |out| {
        if list.trusts.is_empty() {
            return writeln!(
                out,
                "This zone trusts no other; `keycell trust offer` and `keycell trust accept` begin one."
            );
        }
        let rows = list.trusts.iter().map(|view| {
            [
                view.direction.to_string(),
                view.zone.to_string(),
                state(view).to_owned(),
                view.mode.to_string(),
                view.sources.join(", "),
                view.destinations.join(", "),
                key(view),
                view.note.clone(),
            ]
        });
        table(out, ["DIRECTION", "ZONE", "STATE", "MODE", "SOURCES", "DESTINATIONS", "KEY", "NOTE"], rows)
    })?)
}
