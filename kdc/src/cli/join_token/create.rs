//! `keycell join-token create`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use ipnet::IpNet;
use keycell_protocol::ServiceName;
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{span, time};
use super::super::output::Output;
use super::super::table::counted;
use super::JOIN_TOKENS;
use crate::api::{CreatedJoinToken, JoinTokenView, NewJoinToken};
use crate::enrollment::HostPattern;
use crate::files;

/// The token is shown this once: hand it to the hosts like a password. Whoever has it can come aboard under any name that
/// it lets in.
#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// The service that it lets in, such as nanoprobe
    #[arg(long, value_name = "SERVICE")]
    service: ServiceName,
    /// The hosts that it lets in, such as 'web*.example.com'; again for more, '*' for any
    #[arg(long, value_name = "PATTERN", required = true)]
    hosts: Vec<HostPattern>,
    /// How many hosts it lets in
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(NewJoinToken::MAX_USES)))]
    uses: u32,
    /// How long it is good for: 60s to 366d
    #[arg(long, value_name = "SPAN", default_value = "2d", value_parser = ttl)]
    ttl: u64,
    /// A network that the hosts come from, such as 192.0.2.0/24; again for more [default: any]
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Vec<IpNet>,
    /// What to remember of it: at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// The file to write it to, mode 0600; without it, it is printed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    info: JoinTokenView,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Zeroizing<String>>,
}

impl Create {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        if let Some(file) = self.output.as_ref().filter(|file| file.exists()) {
            return Err(format!("{} exists already; choose another with --output", file.display()).into());
        }
        let wide = self.hosts.iter().any(|hosts| hosts.as_str() == "*")
            && self.network.is_empty()
            && self.uses > MANY;
        let new = NewJoinToken {
            service: self.service,
            hosts: self.hosts,
            networks: self.network,
            uses: Some(self.uses),
            ttl_seconds: Some(self.ttl),
            note: self.note,
        };
        let CreatedJoinToken { info, token } = admin.post(JOIN_TOKENS).json(&new)?.create().await?;
        if wide {
            eprintln!(
                "keycell: WARN any host from any network comes aboard with this token, {} of them: narrow it with --hosts or \
                 --network where you can",
                info.uses
            );
        }
        let made = match self.output {
            None => Made { info, file: None, token: Some(token) },
            Some(file) => {
                let line = Zeroizing::new(format!("{}\n", *token));
                files::write_new(&file, line.as_bytes(), 0o600).map_err(|error| {
                    let (file, id) = (file.display(), info.id);
                    format!(
                        "cannot write {file}: {error}; the token is made but lost: `keycell join-token revoke {id}`"
                    )
                })?;
                Made { info, file: Some(file), token: None }
            }
        };
        Ok(output.print(&made, |out| match (&made.file, &made.token) {
            (Some(file), _) => writeln!(
                out,
                "A join token for {} of {} is in {}, good until {}: join token {}.",
                counted(made.info.uses.into(), "host", "hosts"),
                made.info.service,
                file.display(),
                time(made.info.expires_at),
                made.info.id
            ),
            (None, token) => {
                writeln!(out, "{}", token.as_ref().map(|token| token.as_str()).unwrap_or_default())
            }
        })?)
    }
}

fn ttl(text: &str) -> Result<u64, &'static str> {
    span(text)
        .filter(|seconds| (60..=NewJoinToken::MAX_TTL).contains(seconds))
        .ok_or("write a span from 60s to 366d, such as 2d")
}

fn network(text: &str) -> Result<IpNet, &'static str> {
    text.parse().map_err(|_| "write a network such as 192.0.2.0/24")
}

/// More than these, and a token for any host from anywhere is worth a word.
const MANY: u32 = 10;
