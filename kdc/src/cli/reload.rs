//! `keycell reload`

use clap::Args;

use super::admin::Admin;
use super::moment::time;
use super::output::Output;
use super::table::printable;
use super::{Global, Outcome};
use crate::api::Reloaded;

#[derive(Debug, Args)]
pub(super) struct Reload {}

impl Reload {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let done: Reloaded = Admin::new(global)?.post("/v1/admin/reload").read().await?;
        Ok(output.print(&done, |out| {
            let names = |names: &[String]| printable(&names.join(", "));
            match &*done.changed {
                [] => writeln!(out, "The configuration is read again; no setting changed.")?,
                changed => writeln!(out, "Changed: {}.", names(changed))?,
            }
            if done.certificate_changed {
                let until = done.certificate_expires_at.map(|end| format!(", good until {}", time(end)));
                writeln!(out, "New connections see another certificate{}.", until.unwrap_or_default())?;
            }
            if !done.needs_restart.is_empty() {
                writeln!(out, "Only after a restart: {}.", names(&done.needs_restart))?;
            }
            Ok(())
        })?)
    }
}
