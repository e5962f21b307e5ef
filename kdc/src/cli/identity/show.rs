//! `keycell identity show`

use super::super::admin::Admin;
use super::super::output::Output;
use super::super::table::table;
use super::super::{Global, Outcome};
use crate::api::{IdentitiesView, PrivateHalf};
use crate::audit::hex;

pub(super) async fn run(global: &Global, output: &Output) -> Outcome {
    let view: IdentitiesView = Admin::new(global)?.get("/v1/admin/identities").read().await?;
    Ok(output.print(&view, |out| {
        let rows = view.identities.iter().map(|identity| {
            let place = match identity.private_half {
                PrivateHalf::InDatabase => "in the database",
                PrivateHalf::CarriedOff => "carried off",
            };
            // The primary's is the one that signs the audit log.
            let key = hex::encode(identity.signing_key.as_bytes());
            [identity.name.to_string(), place.to_owned(), identity.signer.clone(), key]
        });
        table(out, ["IDENTITY", "PRIVATE HALF", "SIGNER", "SIGNING KEY"], rows)
    })?)
}
