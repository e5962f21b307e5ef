//! `keycell ratchet`

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::admin::Admin;
use super::moment::{length, time};
use super::output::Output;
use super::table::fields;
use super::{Global, Outcome};
use crate::api::{RatchetConfirmation, RatchetView};

#[derive(Debug, Subcommand)]
pub(super) enum Ratchet {
    /// Show how far keys are turned, and whether the KDC's clock is believed
    Show,
    /// Accept a clock that is far ahead of what keys were last turned to; it cannot be undone
    Confirm(Confirm),
}

/// A KDC that was off for more than a month does not know whether its clock is right, and turns no key until it is told.
/// Hosts are served meanwhile. If the clock is wrong, put it right instead: keys that are turned too far lock hosts out.
#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// The epoch that the KDC's clock shows, as `keycell ratchet show` prints it
    epoch: u32,
}

impl Ratchet {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        let view: RatchetView = match self {
            Self::Show => admin.get(RATCHET).read().await?,
            Self::Confirm(Confirm { epoch }) => {
                let confirmation = RatchetConfirmation { epoch };
                admin.post(format!("{RATCHET}/confirm")).json(&confirmation)?.long().read().await?
            }
        };
        Ok(output.print(&view, |out| show(out, &view))?)
    }
}

fn show(out: &mut dyn Write, view: &RatchetView) -> io::Result<()> {
    let believed = if view.believed {
        "yes"
    } else {
        "no: look at a calendar, then confirm its epoch with `keycell ratchet confirm`, or put the clock right"
    };
    let turned = match view.turned_to {
        0 => "never".to_owned(),
        epoch => format!("{epoch}, begun {}", time(view.turned_until)),
    };
    fields(
        out,
        [
            ("clock", time(view.server_time)),
            ("epoch", view.epoch.to_string()),
            ("turned to", turned),
            ("key epoch", length(view.period_seconds.into())),
            ("clock believed", believed.to_owned()),
        ],
    )
}

const RATCHET: &str = "/v1/admin/ratchet";
