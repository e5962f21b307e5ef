//! `keycell trust offer`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::TrustOffer;
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{span, time};
use super::super::output::Output;
use super::terms::{Terms, given};
use super::{TRUSTS, bundle};
use crate::api::{NewTrustOffer, TrustOffered};
use crate::files;

/// Where the other zone is trusted already, this gives it another key, and changes only what is named. The offer is no
/// secret: only that zone's KDC can open it. What proves that it is yours is the fingerprint: tell it to the other zone's
/// administrator by another way.
#[derive(Debug, Args)]
pub(in crate::cli) struct Offer {
    /// The bundle of the zone whose parties are to speak to yours: `keycell bundle` writes it there
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: PathBuf,
    /// The fingerprint that the other zone's administrator told you by another way: needed where that zone is trusted already,
    /// and its bundle has identities that are not known yet
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    #[command(flatten)]
    terms: Terms,
    /// How long the offer can be accepted: 1m to 7d, or to 1d where the zone has a key already [default: 1d]
    #[arg(long, value_name = "SPAN", value_parser = valid)]
    valid: Option<u32>,
    /// The file to write the offer to; without it, it is printed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    offered: TrustOffered,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

impl Offer {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        if let Some(file) = self.output.as_ref().filter(|file| file.exists()) {
            return Err(format!("{} exists already; choose another with --output", file.display()).into());
        }
        let Terms { sources, destinations, lifetime, rate, mode, log_tickets, note } = self.terms;
        let new = NewTrustOffer {
            bundle: bundle(&self.bundle)?,
            fingerprint: self.fingerprint,
            sources: given(sources),
            destinations: given(destinations),
            lifetime_seconds: lifetime.map(Some),
            rate: rate.map(Some),
            mode,
            log_tickets,
            note,
            valid_seconds: self.valid,
        };
        let offered: TrustOffered = admin.post(format!("{TRUSTS}/offers")).json(&new)?.create().await?;
        if let Some(file) = &self.output {
            files::write_new(file, offered.offer.as_bytes(), 0o644).map_err(|error| {
                format!(
                    "cannot write {}: {error}; the offer is made but lost: make another with the same command",
                    file.display()
                )
            })?;
        }
        let made = Made { offered, file: self.output };
        let TrustOffered { trust, offer, expires_at, fingerprint } = &made.offered;
        let (zone, theirs, until) = (&trust.zone, &trust.fingerprint, time(*expires_at));
        let told = format!(
            "{zone} can accept it until {until}. Tell its administrator, by another way, that yours is the fingerprint\n  \
             {fingerprint}\nand have them tell you theirs: it is to be\n  {theirs}"
        );
        Ok(output.print(&made, |out| match &made.file {
            Some(file) => writeln!(out, "The offer to {zone} is in {}.\n{told}", file.display()),
            None => {
                eprintln!("{told}");
                out.write_all(offer.as_bytes())
            }
        })?)
    }
}

fn valid(text: &str) -> Result<u32, &'static str> {
    span(text)
        .filter(|seconds| (60..=TrustOffer::MAX_LIFETIME).contains(seconds))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or("write a span from 1m to 7d, such as 12h")
}
