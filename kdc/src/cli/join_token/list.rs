//! `keycell join-token list`

use clap::Args;
use keycell_protocol::ServiceName;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::table;
use super::{JOIN_TOKENS, joined, networks, standing};
use crate::api::{JoinTokenPage, JoinTokenState};
use crate::clock::{Clock as _, SystemClock};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<JoinTokenState>,
    /// Only those for this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceName>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl List {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let wanted = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut page = JoinTokenPage { join_tokens: Vec::new(), next: None };
        while page.join_tokens.len() < wanted {
            let more: JoinTokenPage = admin
                .get(JOIN_TOKENS)
                .query("limit", Some((wanted - page.join_tokens.len()).min(MAX_PAGE)))
                .query("after", page.next.take())
                .query("state", self.state)
                .query("service", self.service.as_ref().map(ServiceName::as_str))
                .read()
                .await?;
            page.join_tokens.extend(more.join_tokens);
            page.next = more.next;
            if page.next.is_none() {
                break;
            }
        }
        let now = SystemClock.now();
        Ok(output.print(&page, |out| {
            if page.join_tokens.is_empty() && self.state.is_none() && self.service.is_none() {
                return writeln!(out, "There is no join token; `keycell join-token create` makes one.");
            }
            let rows = page.join_tokens.iter().map(|token| {
                [
                    token.id.to_string(),
                    standing(token, now),
                    token.service.to_string(),
                    joined(&token.hosts),
                    networks(token),
                    format!("{} of {}", token.used, token.uses),
                    time(token.expires_at),
                    token.note.clone(),
                ]
            });
            table(out, ["ID", "STATE", "SERVICE", "HOSTS", "NETWORKS", "USED", "GOOD UNTIL", "NOTE"], rows)
        })?)
    }
}

/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
