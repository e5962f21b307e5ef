//! `keycell identity`

mod export;
mod list;
mod recover;
mod show;
mod verify;

use clap::Subcommand;

use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Identity {
    /// List the identities: what each is for, and where its private half is
    List,
    /// Show by which keys the KDC is known
    Show,
    /// Move the private half of the secondary identity out of the database into an encrypted file, to be kept elsewhere
    ExportSecondary(export::Export),
    /// Open the file of an exported identity, and say whose it is
    Verify(verify::Verify),
    /// Go over to the secondary identity, when the primary was lost or stolen; stop every KDC of the zone first
    Recover(recover::Recover),
}

impl Identity {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::List => list::run(global, output).await,
            Self::Show => show::run(global, output).await,
            Self::ExportSecondary(export) => export.run(global, output).await,
            Self::Verify(verify) => verify.run(output),
            Self::Recover(recover) => recover.run(global, output).await,
        }
    }
}
