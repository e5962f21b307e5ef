//! `keycell policy profiles` and `keycell policy install`

use clap::Args;
use serde::{Deserialize, Serialize};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::table::printable;
use super::POLICY;
use super::apply::{apply, line};
use crate::api::{ProfileView, Rules};

#[derive(Debug, Args)]
pub(in crate::cli) struct Install {
    /// The profile, such as assimilation or open
    name: String,
    /// Let nanoprobes speak to each other too
    #[arg(long)]
    heartbeats: bool,
    /// Only print the difference, rule by rule
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize, Deserialize)]
struct Page {
    profiles: Vec<ProfileView>,
}

pub(super) async fn list(admin: &Admin, output: &Output) -> Outcome {
    let page = page(admin).await?;
    Ok(output.print(&page, |out| {
        for profile in &page.profiles {
            writeln!(out, "{}: {}", printable(&profile.name), printable(&profile.summary))?;
            for rule in &profile.rules {
                writeln!(out, "  {}", line(rule))?;
            }
        }
        Ok(())
    })?)
}

impl Install {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let page = page(admin).await?;
        let names: Vec<_> = page.profiles.iter().map(|profile| profile.name.clone()).collect();
        let mut profile =
            page.profiles.into_iter().find(|profile| profile.name == self.name).ok_or_else(|| {
                format!("there is no profile {}; there are {}", self.name, names.join(" and "))
            })?;
        let is_heartbeats = |id: &Option<String>| id.as_deref() == Some(HEARTBEATS);
        if !self.heartbeats {
            profile.rules.retain(|rule| !is_heartbeats(&rule.id));
        } else if !profile.rules.iter().any(|rule| is_heartbeats(&rule.id)) {
            return Err(format!("the profile {} has no rule for heartbeats", self.name).into());
        }
        apply(Rules { rules: profile.rules }, self.dry_run, admin, output).await
    }
}

async fn page(admin: &Admin) -> Outcome<Page> {
    admin.get(format!("{POLICY}/profiles")).read().await
}

/// The rule of a profile that is only for those who ask for it.
const HEARTBEATS: &str = "nanoprobe-to-nanoprobe";
