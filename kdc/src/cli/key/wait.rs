//! `keycell key rotate --wait`

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use keycell_protocol::Name;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::party::{PARTIES, path};
use crate::api::{PartyPage, PartyView};

/// Whose keys are waited for.
pub(super) enum Watched {
    Named(Vec<Name>),
    Matching { matching: Option<String>, service: Option<String> },
}

/// Waits until nobody of them is told to rotate any more. Returns how many were waited for.
pub(super) async fn wait(watched: &Watched, asked: u64, admin: &Admin, output: &Output) -> Outcome<u64> {
    let bar = if output.json { ProgressBar::hidden() } else { ProgressBar::new(asked) };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} keys replaced, {elapsed}") {
        bar.set_style(style);
    }
    let mut last = None;
    loop {
        let left = watched.left(admin).await?;
        let total = asked.max(left);
        bar.set_length(total);
        bar.set_position(total - left);
        // No bar without a terminal; then a line whenever something has changed.
        if !output.json && !std::io::stderr().is_terminal() && last != Some(left) {
            eprintln!("{} of {total} keys replaced", total - left);
        }
        if left == 0 {
            bar.finish_and_clear();
            return Ok(total);
        }
        last = Some(left);
        tokio::time::sleep(PAUSE).await;
    }
}

impl Watched {
    /// How many are told to rotate, and have not. A disabled party asks for nothing, and is not waited for.
    async fn left(&self, admin: &Admin) -> Outcome<u64> {
        let mut left = 0;
        match self {
            Self::Named(names) => {
                for name in names {
                    let party: PartyView = admin.get(path(name)).read().await?;
                    left += u64::from(party.enabled && party.rotation_due);
                }
            }
            Self::Matching { matching, service } => {
                let mut after: Option<Name> = None;
                loop {
                    let page: PartyPage = admin
                        .get(PARTIES)
                        .query("limit", Some(PAGE))
                        .query("after", after.take())
                        .query("match", matching.as_deref())
                        .query("service", service.as_deref())
                        .query("state", Some("enabled"))
                        .query("rotation_due", Some(true))
                        .read()
                        .await?;
                    left += page.parties.len() as u64;
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(left)
    }
}

const PAUSE: Duration = Duration::from_secs(2);
const PAGE: usize = 1000;
