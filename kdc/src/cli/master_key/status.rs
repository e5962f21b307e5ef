//! `keycell master-key status`

use super::super::admin::Admin;
use super::super::output::Output;
use super::super::table::{printable, table};
use super::super::{Global, Outcome};
use super::MASTER_KEY;
use crate::api::MasterKeyView;

pub(super) async fn run(global: &Global, output: &Output) -> Outcome {
    let view: MasterKeyView = Admin::new(global)?.get(MASTER_KEY).read().await?;
    Ok(output.print(&view, |out| {
        let rows = view.versions.iter().map(|one| {
            let state = match (one.version == view.active, one.held) {
                (true, _) => "active",
                (false, true) => "held",
                (false, false) => "missing",
            };
            [one.version.to_string(), state.to_owned(), one.rows.to_string()]
        });
        table(out, ["VERSION", "STATE", "ROWS"], rows)?;
        writeln!(out, "The KDC reads it from {}.", printable(&view.source))?;
        match (view.remaining, view.damaged) {
            (0, _) => Ok(()),
            (remaining, 0) => writeln!(out, "{remaining} rows are being wrapped under version {}.", view.active),
            (remaining, damaged) => writeln!(
                out,
                "{remaining} rows are not under version {}; {damaged} of them do not open: see the KDC's log.",
                view.active
            ),
        }
    })?)
}
