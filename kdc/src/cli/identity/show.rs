//! `keycell identity show`

use super::super::admin::Admin;
use super::super::output::Output;
use super::super::table::table;
use super::super::{Global, Outcome};
use crate::api::{IdentitiesView, IdentityState};
use crate::audit::hex;

pub(super) async fn run(global: &Global, output: &Output) -> Outcome {
    let mut view: IdentitiesView = Admin::new(global)?.get("/v1/admin/identities").read().await?;
    view.identities.retain(|identity| identity.state != IdentityState::Retired);
    Ok(output.print(&view, |out| {
        let rows = view.identities.iter().map(|identity| {
            // The primary's is the one that signs the audit log.
            let key = hex::encode(identity.signing_key.as_bytes());
            [identity.name.to_string(), identity.signer.clone(), key]
        });
        table(out, ["IDENTITY", "SIGNER", "SIGNING KEY"], rows)
    })?)
}
