//! `keycell enroll deny` and `keycell enroll forget`

use clap::Args;
use keycell_protocol::Fingerprint;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::party::Expected;
use super::path;
use crate::api::WaitingView;

#[derive(Debug, Args)]
pub(in crate::cli) struct Deny {
    /// The fingerprint of its key, all 32 digits
    fingerprint: Fingerprint,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Forget {
    /// The fingerprint of its key, all 32 digits
    fingerprint: Fingerprint,
    #[command(flatten)]
    expected: Expected,
}

impl Deny {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let deny = admin.post(format!("{}/deny", path(self.fingerprint)));
        let view: WaitingView = deny.if_revision(self.expected.if_revision).read().await?;
        Ok(output.print(&view, |out| match &view.name {
            Some(name) => writeln!(out, "{name} is denied: it does not come aboard, whatever it brings."),
            None => writeln!(out, "{} is denied: no host comes aboard with this key.", view.fingerprint),
        })?)
    }
}

impl Forget {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let fingerprint = self.fingerprint;
        admin.delete(path(fingerprint)).if_revision(self.expected.if_revision).done().await?;
        Ok(output.print(&serde_json::json!({ "forgotten": fingerprint }), |out| {
            writeln!(out, "{fingerprint} is forgotten: when it comes again, it is a stranger.")
        })?)
    }
}
