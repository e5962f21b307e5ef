//! `keycell master-key`

mod new;
mod retire;
mod rotate;
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
}

impl MasterKey {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Status => status::run(global, output).await,
            Self::New(new) => new.run(global, output),
            Self::Rotate(rotate) => rotate.run(global, output).await,
            Self::Retire(retire) => retire.run(global, output).await,
        }
    }
}

const MASTER_KEY: &str = "/v1/admin/master-key";
