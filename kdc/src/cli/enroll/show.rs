//! `keycell enroll show`

use std::io;

use clap::Args;
use keycell_protocol::Fingerprint;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::join_token::joined;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::{fields, or_dash};
use super::path;
use crate::api::WaitingView;
use crate::audit::hex;
use crate::enrollment::{WaitingFor, WaitingState};

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The fingerprint of its key, all 32 digits
    fingerprint: Fingerprint,
}

impl Show {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let view: WaitingView = admin.get(path(self.fingerprint)).read().await?;
        Ok(output.print(&view, |out| write(out, &view))?)
    }
}

fn write(out: &mut dyn io::Write, view: &WaitingView) -> io::Result<()> {
    let state = match (view.state, view.because) {
        (WaitingState::Waiting, Some(WaitingFor::Conflict)) => {
            "waiting: its host is known by another key".to_owned()
        }
        (WaitingState::Waiting, _) => "waiting for approval".to_owned(),
        (WaitingState::Approved, _) => "approved: it is let in when it comes again".to_owned(),
        (WaitingState::Denied, _) => "denied, whatever it brings".to_owned(),
    };
    let decided = view.decided_at.map(|at| match &view.decided_by {
        Some(by) => format!("{} by {by}", time(at)),
        None => time(at),
    });
    fields(
        out,
        [
            ("fingerprint", view.fingerprint.to_string()),
            ("state", state),
            ("service", or_dash(view.service.as_ref())),
            ("host", or_dash(view.host.as_ref())),
            ("name", or_dash(view.name.as_ref())),
            ("public key", or_dash(view.public_key.map(|key| hex::encode(key.as_bytes())))),
            ("join token", or_dash(view.join_token)),
            ("from", or_dash(view.address)),
            ("since", time(view.first_at)),
            ("decided", or_dash(decided)),
            ("kept until", view.until.map_or_else(|| "for good".to_owned(), time)),
            (
                "others",
                if view.others.is_empty() { "none of its name".to_owned() } else { joined(&view.others) },
            ),
            ("note", view.note.clone()),
            ("revision", view.revision.to_string()),
        ],
    )
}
