//! `keycell certificate`

use clap::Subcommand;
use serde::Serialize;

use super::Outcome;
use super::moment::time;
use super::output::Output;
use crate::certificates::{self, Renewed, When};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use keycell_protocol::UnixMillis;

#[derive(Debug, Subcommand)]
pub(super) enum Certificate {
    /// Make a new server certificate, signed by the cell's own root, on the cell's files; a KDC that runs takes it in by
    /// itself
    Renew,
}

#[derive(Debug, Serialize)]
struct Done {
    certificate: String,
    expires_at: UnixMillis,
}

impl Certificate {
    pub(super) fn run(self, config: &Config, output: &Output) -> Outcome {
        let Self::Renew = self;
        let Renewed::Done { ends_at } = certificates::renew(config, SystemClock.now(), When::Now)? else {
            return Err(format!(
                "{} is not signed by the cell's own root, or the root's key is not at {}: replace the certificate by \
                 whatever made it",
                config.tls.certificate.display(),
                config.tls.roots.with_extension("key").display()
            )
            .into());
        };
        let done = Done { certificate: config.tls.certificate.display().to_string(), expires_at: ends_at };
        Ok(output.print(&done, |out| {
            let seconds = config.tls.look_every_seconds;
            writeln!(out, "{} is new, good until {}.", done.certificate, time(ends_at))?;
            writeln!(out, "A KDC that runs takes it in within {seconds} seconds; `keycell reload` makes it do so at once.")
        })?)
    }
}
