//! `keycell audit query`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::Moment;
use super::super::output::Output;
use super::{AUDIT, MAX_PAGE, write};
use crate::api::AuditPage;

#[derive(Debug, Args)]
pub(in crate::cli) struct Query {
    /// Since then: a time of RFC 3339, or a span ago such as 7d
    #[arg(long, value_name = "WHEN")]
    since: Option<Moment>,
    /// Until then
    #[arg(long, value_name = "WHEN")]
    until: Option<Moment>,
    /// Only what this one did, for instance administrator:alice
    #[arg(long)]
    actor: Option<String>,
    /// Only this, for instance party.create; `party` is all of that kind
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this, for instance a party's full name, or the id of a join token
    #[arg(long)]
    target: Option<String>,
    /// Only what ended so: done, denied or failed
    #[arg(long, value_parser = ["done", "denied", "failed"])]
    outcome: Option<String>,
    /// At most so many records
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// The oldest first
    #[arg(long)]
    oldest: bool,
}

impl Query {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let (since, until) = (self.since.map(Moment::ago), self.until.map(Moment::ago));
        let (order, cursor) = if self.oldest { ("oldest", "after") } else { ("newest", "before") };
        let wanted = self.limit as usize;
        let mut page = AuditPage { records: Vec::new(), next: None };
        while page.records.len() < wanted {
            let more: AuditPage = admin
                .get(AUDIT)
                .query("limit", Some((wanted - page.records.len()).min(MAX_PAGE)))
                .query(cursor, page.next.take())
                .query("order", Some(order))
                .query("since", since.map(|at| at.0))
                .query("until", until.map(|at| at.0))
                .query("actor", self.actor.as_deref())
                .query("action", self.action.as_deref())
                .query("target", self.target.as_deref())
                .query("outcome", self.outcome.as_deref())
                .read()
                .await?;
            page.records.extend(more.records);
            page.next = more.next;
            if page.next.is_none() {
                break;
            }
        }
        Ok(output.print(&page, |out| {
            write(out, &page.records)?;
            match page.next {
                Some(_) => {
                    writeln!(out, "There are more: ask with a larger --limit, or another --since or --until.")
                }
                None => Ok(()),
            }
        })?)
    }
}
