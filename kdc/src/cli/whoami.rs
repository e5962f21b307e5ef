//! `keycell whoami`

use clap::Args;

use super::admin::Admin;
use super::moment::time;
use super::output::Output;
use super::table::{fields, or_dash};
use super::{Global, Outcome};
use crate::api::WhoAmI;

#[derive(Debug, Args)]
pub(super) struct Whoami {}

impl Whoami {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let view = ask(&Admin::new(global)?).await?;
        Ok(output.print(&view, |out| {
            fields(
                out,
                [
                    ("actor", view.actor.clone()),
                    ("role", view.role.to_string()),
                    ("good until", time(view.expires_at)),
                    ("token", or_dash(view.token.as_ref())),
                ],
            )
        })?)
    }
}

/// Who the token says that this is.
pub(super) async fn ask(admin: &Admin) -> Outcome<WhoAmI> {
    admin.get("/v1/admin/whoami").read().await
}
