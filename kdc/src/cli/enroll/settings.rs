//! `keycell enroll settings`

use std::io::{self, Write};

use clap::Args;
use ipnet::IpNet;
use keycell_protocol::ServiceName;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::join_token::joined;
use super::super::moment::{DAY, exact, span};
use super::super::output::Output;
use super::super::party::Expected;
use super::super::table::fields;
use crate::api::{EnrollmentPatch, EnrollmentView};
use crate::enrollment::{ClonesRule, ConflictsRule, EnrollmentMode, HostPattern};

#[derive(Debug, Args)]
pub(in crate::cli) struct Settings {
    /// Who gets in: nobody new (closed), who has a join token (token), also whom an administrator approves (approve), also
    /// whoever comes first (tofu)
    #[arg(long, value_enum)]
    mode: Option<EnrollmentMode>,
    /// A service that gets in without a join token in the mode tofu, nanoprobe unless set otherwise; again for more
    #[arg(long, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// The hosts that do, such as 'web*.example.com', any unless set otherwise; again for more, '*' for any
    #[arg(long, value_name = "PATTERN")]
    hosts: Vec<HostPattern>,
    /// A network that hosts may enroll from, such as 192.0.2.0/24; again for more, `any` for any
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Vec<Network>,
    /// What becomes of a host that is known by another key: it gets in as another party with an alarm, or waits (hold)
    #[arg(long, value_enum)]
    conflicts: Option<ConflictsRule>,
    /// What becomes of a party whose key is used at two addresses: an alarm, or it is disabled too
    #[arg(long, value_enum)]
    clones: Option<ClonesRule>,
    /// Over what time hosts spread that find their keys refused: 1s to 24h
    #[arg(long, value_name = "SPAN", value_parser = within)]
    reenroll_within: Option<u32>,
    /// How many hosts may wait for an administrator: 1 to 100000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pending_most: Option<u32>,
    /// After how long one that waits is forgotten, in whole days: 1d to 365d
    #[arg(long, value_name = "SPAN", value_parser = days)]
    pending_for: Option<u32>,
    /// How many parties there may be that came in by the mode tofu: 1 to 10000000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tofu_most: Option<u32>,
    #[command(flatten)]
    expected: Expected,
}

/// A network, or `None` for any.
#[derive(Debug, Clone, Copy)]
struct Network(Option<IpNet>);

impl Settings {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let revision = self.expected.if_revision;
        let view: EnrollmentView = match self.patch()? {
            Some(patch) => admin.patch(ENROLLMENT).if_revision(revision).json(&patch)?.read().await?,
            None if revision.is_some() => return Err("--if-revision goes with a setting to change".into()),
            None => admin.get(ENROLLMENT).read().await?,
        };
        Ok(output.print(&view, |out| show(out, &view))?)
    }

    /// What is to be changed, if anything.
    fn patch(self) -> Outcome<Option<EnrollmentPatch>> {
        let networks: Vec<_> = self.network.iter().filter_map(|network| network.0).collect();
        if !networks.is_empty() && networks.len() < self.network.len() {
            return Err("--network any goes with no other network".into());
        }
        let changes = self.mode.is_some()
            || !self.services.is_empty()
            || !self.hosts.is_empty()
            || !self.network.is_empty()
            || self.conflicts.is_some()
            || self.clones.is_some()
            || self.reenroll_within.is_some()
            || self.pending_most.is_some()
            || self.pending_for.is_some()
            || self.tofu_most.is_some();
        Ok(changes.then(|| EnrollmentPatch {
            mode: self.mode.map(Some),
            services: given(self.services),
            hosts: given(self.hosts),
            networks: (!self.network.is_empty()).then_some(Some(networks)),
            conflicts: self.conflicts.map(Some),
            clones: self.clones.map(Some),
            reenroll_within_seconds: self.reenroll_within.map(Some),
            pending_most: self.pending_most.map(Some),
            pending_days: self.pending_for.map(Some),
            tofu_most: self.tofu_most.map(Some),
        }))
    }
}

fn given<T>(items: Vec<T>) -> Option<Option<Vec<T>>> {
    (!items.is_empty()).then_some(Some(items))
}

fn show(out: &mut dyn Write, view: &EnrollmentView) -> io::Result<()> {
    let mode = match view.mode {
        EnrollmentMode::Closed => "closed: nobody new gets in",
        EnrollmentMode::Token => "token: who has a join token gets in",
        EnrollmentMode::Approve => "approve: who has no join token waits for an administrator",
        EnrollmentMode::Tofu => "tofu: whoever comes first gets in, also without a join token",
    };
    let conflicts = match view.conflicts {
        ConflictsRule::Alarm => "alarm: a known host with another key gets in as another party",
        ConflictsRule::Hold => "hold: a known host with another key waits for an administrator",
    };
    let clones = match view.clones {
        ClonesRule::Alarm => "alarm: a key in two places stays in force",
        ClonesRule::Disable => "disable: a key at two addresses is put out of force",
    };
    fields(
        out,
        [
            ("mode", mode.to_owned()),
            ("services", joined(&view.services)),
            ("hosts", joined(&view.hosts)),
            ("networks", if view.networks.is_empty() { "any".to_owned() } else { joined(&view.networks) }),
            ("conflicts", conflicts.to_owned()),
            ("clones", clones.to_owned()),
            ("re-enroll within", exact(view.reenroll_within_seconds.into())),
            ("may wait", format!("{} hosts, for {}d", view.pending_most, view.pending_days)),
            ("in by tofu", format!("{} hosts at the most", view.tofu_most)),
            ("revision", view.revision.to_string()),
        ],
    )
}

fn network(text: &str) -> Result<Network, &'static str> {
    if text == "any" {
        return Ok(Network(None));
    }
    text.parse()
        .map(|network| Network(Some(network)))
        .map_err(|_| "write a network such as 192.0.2.0/24, or any")
}

fn within(text: &str) -> Result<u32, &'static str> {
    span(text)
        .filter(|seconds| *seconds <= DAY)
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or("write a span from 1s to 24h, such as 10m")
}

fn days(text: &str) -> Result<u32, &'static str> {
    span(text)
        .filter(|seconds| seconds.is_multiple_of(DAY) && *seconds <= 365 * DAY)
        .and_then(|seconds| u32::try_from(seconds / DAY).ok())
        .ok_or("write whole days from 1d to 365d, such as 7d")
}

const ENROLLMENT: &str = "/v1/admin/enrollment";
