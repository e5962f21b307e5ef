//! `keycell policy`

mod apply;
mod document;
mod profiles;
mod rules;
mod show;
mod test;

use clap::{Args, Subcommand};

use super::admin::Admin;
use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// List the rules; their order does not matter: deny wins, and what no rule allows is denied
    List,
    /// Show one rule
    Show(Which),
    /// Add a rule
    Add(rules::Add),
    /// Change a rule; what is not named stays
    Update(rules::Update),
    /// Delete a rule
    Delete(rules::Delete),
    /// Say whether one party may speak to another, and which rule decides
    Test(test::Test),
    /// Print the whole policy as a document for `apply`
    Export(document::Export),
    /// Make a document the whole policy; rules that are not in it are deleted
    Apply(apply::Apply),
    /// List the profiles: policies to begin with
    Profiles,
    /// Make a profile the whole policy; rules that are not in it are deleted
    Install(profiles::Install),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The rule's id
    id: String,
}

impl Policy {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        if let Self::Apply(apply) = &self {
            // A document that cannot be read is known without a KDC.
            return apply.run(|| Admin::new(global), output).await;
        }
        let admin = Admin::new(global)?;
        match self {
            Self::List => show::list(&admin, output).await,
            Self::Show(which) => show::rule(&which.id, &admin, output).await,
            Self::Add(add) => add.run(&admin, output).await,
            Self::Update(update) => update.run(&admin, output).await,
            Self::Delete(delete) => delete.run(&admin, output).await,
            Self::Test(test) => test.run(&admin, output).await,
            Self::Export(export) => export.run(&admin, output).await,
            Self::Apply(_) => Ok(()),
            Self::Profiles => profiles::list(&admin, output).await,
            Self::Install(install) => install.run(&admin, output).await,
        }
    }
}

fn rule(id: &str) -> String {
    format!("{RULES}/{}", super::admin::segment(id))
}

const POLICY: &str = "/v1/admin/policy";
const RULES: &str = "/v1/admin/policy/rules";
