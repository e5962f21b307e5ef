//! `keycell trust`

mod accept;
mod delete;
mod list;
mod offer;
mod rotate;
mod show;
mod terms;
mod update;

use std::path::Path;

use clap::{Args, Subcommand};
use keycell_protocol::{Bundle, Zone};

use super::admin::Admin;
use super::output::Output;
use super::{Global, Outcome};
use crate::api::TrustView;
use crate::trust::Direction;

#[derive(Debug, Subcommand)]
pub(super) enum Trust {
    /// Offer another zone to give its parties tickets for parties of this one; or give it another key
    Offer(offer::Offer),
    /// Accept the offer of another zone: parties of this one get tickets for its parties
    Accept(accept::Accept),
    /// List the trusts, the incoming ones first
    List,
    /// Show one trust
    Show(Which),
    /// Change a trust; what is not named stays
    Update(update::Update),
    /// Give tickets by a trust again
    Enable(update::Switch),
    /// Give no tickets by a trust any more; those that are out end by themselves
    Disable(update::Switch),
    /// Have the key of a trust replaced; the KDCs do it by themselves
    Rotate(rotate::Rotate),
    /// Delete a trust and its keys
    Delete(delete::Delete),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// `incoming`: the other zone's parties speak to ours; `outgoing`: ours speak to those of the other zone
    #[arg(value_name = "DIRECTION")]
    direction: Direction,
    /// The other zone
    zone: Zone,
}

impl Trust {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::Offer(offer) => offer.run(&admin, output).await,
            Self::Accept(accept) => accept.run(&admin, output).await,
            Self::List => list::trusts(&admin, output).await,
            Self::Show(which) => {
                let view: TrustView = admin.get(which.path()).read().await?;
                Ok(output.print(&view, |out| show::write(out, &view))?)
            }
            Self::Update(update) => update.run(&admin, output).await,
            Self::Enable(switch) => switch.run(true, &admin, output).await,
            Self::Disable(switch) => switch.run(false, &admin, output).await,
            Self::Rotate(rotate) => rotate.run(&admin, output).await,
            Self::Delete(delete) => delete.run(&admin, output).await,
        }
    }
}

impl Which {
    fn path(&self) -> String {
        format!("{TRUSTS}/{}/{}", self.direction, self.zone)
    }
}

/// Reads a bundle as strictly as those do who install it.
fn bundle(file: &Path) -> Outcome<Bundle> {
    let json =
        std::fs::read(file).map_err(|error| format!("cannot read the bundle {}: {error}", file.display()))?;
    Ok(Bundle::from_json(&json).map_err(|error| format!("{}: {error}", file.display()))?)
}

const TRUSTS: &str = "/v1/admin/trusts";
