//! `keycell master-key retire`

use clap::Args;
use serde::Serialize;

use super::super::admin::Admin;
use super::super::output::Output;
use super::super::{Global, Outcome};
use super::{MASTER_KEY, own};
use crate::api::MasterKeyView;

/// The KDC is asked first: a version that a row needs stays. Backups that were made before everything was wrapped anew
/// still need it: keep it with them.
#[derive(Debug, Args)]
pub(in crate::cli) struct Retire {
    /// Which version
    #[arg(value_name = "VERSION")]
    version: u32,
}

#[derive(Serialize)]
struct Retired {
    retired: u32,
    active: u32,
    source: String,
}

impl Retire {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let config = global.config()?;
        let source = &config.master_key;
        // Before anything is opened: another source only the KDC itself can read.
        source.file()?;
        let version = self.version;
        let view: MasterKeyView = Admin::new(global)?.get(MASTER_KEY).read().await?;
        // Nor a later one: the zone may go over to it while this is asked.
        if version >= view.active {
            return Err(format!(
                "version {version} is not older than the active one, {}: `keycell master-key rotate` makes another first",
                view.active
            )
            .into());
        }
        let own = own::rows(&config, &view).await?;
        let own = own.iter().find(|one| one.master_version == version).map_or(0, |one| one.rows);
        let rows =
            view.versions.iter().find(|one| one.version == version).map_or(own, |one| one.rows.max(own));
        if rows > 0 {
            return Err(format!(
                "{rows} rows are still wrapped under version {version}: wait until `keycell master-key status` shows none; \
                 rows that do not open are named in the KDC's log"
            )
            .into());
        }
        if source.load()?.version(view.active).is_none() {
            return Err(format!(
                "{} does not hold version {}, which the KDC works with: is it the master key of this KDC?",
                source.place(),
                view.active
            )
            .into());
        }
        source.remove(version)?;
        let retired = Retired { retired: version, active: view.active, source: source.place() };
        Ok(output.print(&retired, |out| {
            writeln!(out, "Version {version} of the master key is no longer in {}.", retired.source)?;
            writeln!(
                out,
                "Backups made before the rotation still need it: keep it with them. The running KDC forgets it when it is \
                 started again."
            )
        })?)
    }
}
