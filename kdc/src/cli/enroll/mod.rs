//! `keycell enroll`

mod approve;
mod deny;
mod pending;
mod settings;
mod show;

use clap::Subcommand;
use keycell_protocol::Fingerprint;

use super::admin::Admin;
use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Enroll {
    /// List the hosts that wait for an administrator, were approved and have not come back yet, or were denied
    Pending(pending::Pending),
    /// Show one of them, and who else has its name
    Show(show::Show),
    /// Let hosts in that wait; they come again by themselves
    Approve(approve::Approve),
    /// Never let a host in, whatever it brings; also one that did not come yet
    Deny(deny::Deny),
    /// Forget what was decided on a host: when it comes again, it is a stranger
    Forget(deny::Forget),
    /// Show who may come aboard, or change it; what is not named stays, and every KDC of the zone follows within seconds
    Settings(settings::Settings),
}

impl Enroll {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::Pending(pending) => pending.run(&admin, output).await,
            Self::Show(show) => show.run(&admin, output).await,
            Self::Approve(approve) => approve.run(&admin, output).await,
            Self::Deny(deny) => deny.run(&admin, output).await,
            Self::Forget(forget) => forget.run(&admin, output).await,
            Self::Settings(settings) => settings.run(&admin, output).await,
        }
    }
}

fn path(fingerprint: Fingerprint) -> String {
    format!("{ENROLLMENTS}/{fingerprint}")
}

const ENROLLMENTS: &str = "/v1/admin/enrollments";
