//! `keycell enroll`

mod settings;

use clap::Subcommand;

use super::admin::Admin;
use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Enroll {
    /// Show who may come aboard, or change it; what is not named stays, and every KDC of the zone follows within seconds
    Settings(settings::Settings),
}

impl Enroll {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::Settings(settings) => settings.run(&admin, output).await,
        }
    }
}
