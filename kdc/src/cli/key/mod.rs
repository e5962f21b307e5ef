//! `keycell key`

mod hand_out;
mod rotate;
mod wait;

use clap::Subcommand;

use super::admin::Admin;
use super::output::Output;
use super::party::{Which, show};
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Show the keys of a party, without the keys
    List(Which),
    /// Have parties replace their keys, or hand out a new one
    Rotate(rotate::Rotate),
}

impl Key {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::List(which) => show::keys(&admin.name(&which.name).await?, &admin, output).await,
            Self::Rotate(rotate) => rotate.run(&admin, output).await,
        }
    }
}
