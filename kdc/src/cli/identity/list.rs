//! `keycell identity list`

use super::super::admin::Admin;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::table;
use super::super::{Global, Outcome};
use crate::api::{IdentitiesView, IdentityState, IdentityView, PrivateHalf};

pub(super) async fn run(global: &Global, output: &Output) -> Outcome {
    let view: IdentitiesView = Admin::new(global)?.get("/v1/admin/identities").read().await?;
    Ok(output.print(&view, |out| {
        let rows = view.identities.iter().map(|identity| {
            [identity.name.to_string(), state(identity), identity.signer.clone(), place(identity).to_owned()]
        });
        table(out, ["IDENTITY", "STATE", "SIGNER", "PRIVATE HALF"], rows)
    })?)
}

fn state(identity: &IdentityView) -> String {
    match (identity.state, identity.retired_at) {
        (IdentityState::Primary, _) => "primary".to_owned(),
        (IdentityState::Secondary, _) => "secondary".to_owned(),
        (IdentityState::Retired, None) => "retired".to_owned(),
        (IdentityState::Retired, Some(at)) => format!("retired on {}", time(at)),
    }
}

const fn place(identity: &IdentityView) -> &'static str {
    match identity.private_half {
        PrivateHalf::InDatabase => "in the database",
        PrivateHalf::Exported => "exported",
        PrivateHalf::Deleted => "deleted",
    }
}
