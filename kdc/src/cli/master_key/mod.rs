//! `keycell master-key`

mod drill;
mod input;
mod new;
mod own;
mod restore;
mod retire;
mod rotate;
mod split;
mod status;

use clap::Subcommand;

use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum MasterKey {
    /// Show the versions, and how many rows are wrapped under each
    Status,
    /// Make the line of another version, for a credential or an environment variable
    New(new::New),
    /// Go over to a new version: everything in the database is wrapped under it while the KDC serves
    Rotate(rotate::Rotate),
    /// Take a version that nothing in the database needs out of the master key file
    Retire(retire::Retire),
    /// Split the master key into shares for several people: any so many of them make it again
    Split(split::Split),
    /// Make the master key's file from shares
    Restore(restore::Restore),
    /// Prove that shares make the master key of the running cell, and change nothing
    Drill(drill::Drill),
}

impl MasterKey {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Status => status::run(global, output).await,
            Self::New(new) => new.run(global, output),
            Self::Rotate(rotate) => rotate.run(global, output).await,
            Self::Retire(retire) => retire.run(global, output).await,
            Self::Split(split) => split.run(global, output).await,
            Self::Restore(restore) => restore.run(global, output).await,
            Self::Drill(drill) => drill.run(global, output).await,
        }
    }
}

const MASTER_KEY: &str = "/v1/admin/master-key";
