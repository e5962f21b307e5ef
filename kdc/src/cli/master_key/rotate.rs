//! `keycell master-key rotate`

use std::time::Duration;

use clap::Args;

use super::super::admin::Admin;
use super::super::import::progress::Progress;
use super::super::output::Output;
use super::super::{Global, Outcome};
use super::{MASTER_KEY, own};
use crate::api::MasterKeyView;
use crate::keyring::MasterKeySource;

/// Run it on the KDC's machine, as the KDC's user. It adds a line to the master key file, has the running KDC go over to
/// it, and shows how far it is until everything is wrapped under it. Interrupted, it goes on where it was. A credential or
/// an environment variable is given the line of `keycell master-key new` first, on every KDC, which is then started again.
#[derive(Debug, Args)]
pub(in crate::cli) struct Rotate {
    /// This KDC is the only one of its zone, although the database is PostgreSQL
    #[arg(long)]
    alone: bool,
}

impl Rotate {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let config = global.config()?;
        let admin = Admin::new(global)?;
        let mut view: MasterKeyView = admin.get(MASTER_KEY).read().await?;
        let source = &config.master_key;
        // Another source only the KDC itself can read.
        let held = view.versions.iter().filter(|one| one.held).map(|one| one.version);
        let there = match source {
            MasterKeySource::File(_) => source.load()?.highest(),
            _ => held.max().unwrap_or(view.active),
        };
        let shared = !config.database.starts_with("sqlite:") && !self.alone;
        // What was begun is finished before anything else is begun.
        if there > view.active || view.rewrapped {
            if there <= view.active && matches!(source, MasterKeySource::File(_)) {
                if shared {
                    return Err(format!(
                        "several KDCs may share this database: make a line with `keycell master-key new`, add it to the \
                         master key of every one of them ({} here), then repeat; or say --alone",
                        source.place()
                    )
                    .into());
                }
                own::rows(&config, &view).await?;
                source.append(Some(view.active), &mut crate::random::system())?;
            }
            view = admin.post(format!("{MASTER_KEY}/rotate")).read().await?;
        }
        let view = watch(&admin, view, output).await.map_err(|error| {
            format!("{error}; the KDC goes on by itself: look with `keycell master-key status`")
        })?;
        Ok(output.print(&view, |out| {
            writeln!(out, "Version {} of the master key wraps everything in the database.", view.active)?;
            if view.damaged > 0 {
                let damaged = view.damaged;
                writeln!(
                    out,
                    "{damaged} rows do not open and stay as they are: see the KDC's log for their names."
                )?;
            }
            for old in view.versions.iter().filter(|one| one.rows == 0 && one.held) {
                let version = old.version;
                write!(
                    out,
                    "Version {version} is needed by backups that were made before now; here it is not: "
                )?;
                match source {
                    MasterKeySource::File(_) => {
                        writeln!(out, "`keycell master-key retire {version}` takes it away.")?;
                    }
                    _ => writeln!(out, "take its line out of {}, and start the KDC again.", source.place())?,
                }
            }
            Ok(())
        })?)
    }
}

/// Shows how far it is, until it is done.
async fn watch(admin: &Admin, mut view: MasterKeyView, output: &Output) -> Outcome<MasterKeyView> {
    let total = view.remaining;
    let mut progress = Progress::new(output, "rows", Some(total));
    while !view.rewrapped {
        tokio::time::sleep(LOOK_EVERY).await;
        view = admin.get(MASTER_KEY).read().await?;
        progress.at(total.saturating_sub(view.remaining));
    }
    progress.finish();
    Ok(view)
}

const LOOK_EVERY: Duration = Duration::from_millis(250);
