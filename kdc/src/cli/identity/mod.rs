//! `keycell identity`

mod carry_off;
mod show;

use clap::Subcommand;

use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Identity {
    /// Show by which keys the KDC is known, and where their private halves are
    Show,
    /// Take the private half of the secondary identity out of the database into a file, to be kept elsewhere
    CarryOff(carry_off::CarryOff),
}

impl Identity {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        match self {
            Self::Show => show::run(global, output).await,
            Self::CarryOff(carry_off) => carry_off.run(global, output).await,
        }
    }
}
