//! `keycell join-token`

mod create;
mod list;

use std::fmt::Display;
use std::io;

use clap::{Args, Subcommand};
use keycell_protocol::{JoinTokenId, UnixMillis};

use super::admin::Admin;
use super::moment::{age, time};
use super::output::Output;
use super::table::fields;
use super::{Global, Outcome};
use crate::api::{JoinTokenState, JoinTokenView};
use crate::clock::{Clock as _, SystemClock};

#[derive(Debug, Subcommand)]
pub(super) enum JoinToken {
    /// Make a join token: whoever brings it comes aboard, as far as it says
    Create(create::Create),
    /// List the join tokens, the newest first; not the tokens themselves
    List(list::List),
    /// Show one join token; not the token itself
    Show(Which),
    /// Revoke a join token: it lets nobody in any more; whom it let in stays
    Revoke(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The join token's id: the first part of the token, after kcj_
    id: JoinTokenId,
}

impl JoinToken {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::Create(create) => create.run(&admin, output).await,
            Self::List(list) => list.run(&admin, output).await,
            Self::Show(Which { id }) => {
                let view: JoinTokenView = admin.get(path(id)).read().await?;
                Ok(output.print(&view, |out| show(out, &view))?)
            }
            Self::Revoke(Which { id }) => {
                admin.delete(path(id)).done().await?;
                Ok(output.print(&serde_json::json!({ "revoked": id }), |out| {
                    writeln!(
                        out,
                        "Join token {id} is revoked: it lets nobody in any more. Whom it let in stays."
                    )
                })?)
            }
        }
    }
}

fn show(out: &mut dyn io::Write, view: &JoinTokenView) -> io::Result<()> {
    fields(
        out,
        [
            ("id", view.id.to_string()),
            ("state", standing(view, SystemClock.now())),
            ("service", view.service.to_string()),
            ("hosts", joined(&view.hosts)),
            ("networks", networks(view)),
            ("used", format!("{} of {}", view.used, view.uses)),
            ("good until", time(view.expires_at)),
            ("created", time(view.created_at)),
            ("created by", view.created_by.clone()),
            ("revoked", view.revoked_at.map_or_else(|| "no".to_owned(), time)),
            ("note", view.note.clone()),
        ],
    )
}

fn standing(view: &JoinTokenView, now: UnixMillis) -> String {
    match view.state {
        JoinTokenState::Live => format!("live, {} left", age(view.expires_at, now)),
        JoinTokenState::UsedUp => "used up".to_owned(),
        other => other.to_string(),
    }
}

fn networks(view: &JoinTokenView) -> String {
    if view.networks.is_empty() { "any".to_owned() } else { joined(&view.networks) }
}

/// Several in a line.
pub(super) fn joined<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn path(id: JoinTokenId) -> String {
    format!("{JOIN_TOKENS}/{id}")
}

const JOIN_TOKENS: &str = "/v1/admin/join-tokens";
