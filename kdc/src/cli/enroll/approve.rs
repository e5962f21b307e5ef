//! `keycell enroll approve`

use clap::{ArgGroup, Args};
use keycell_protocol::{Fingerprint, ServiceName};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::bulk::Bulk;
use super::super::moment::time;
use super::super::output::Output;
use super::super::party::Expected;
use super::super::table::counted;
use super::path;
use super::pending::{Wanted, write};
use crate::api::WaitingView;
use crate::enrollment::{HostPattern, WaitingState};

/// Compare the fingerprint with the one that the host itself shows: whoever is on the way could have asked in its name.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["fingerprints", "all"]))]
pub(in crate::cli) struct Approve {
    /// The fingerprints of their keys, all 32 digits
    #[arg(value_name = "FINGERPRINT")]
    fingerprints: Vec<Fingerprint>,
    /// All that wait, as far as --service and --hosts say; asks first
    #[arg(long)]
    all: bool,
    /// Only those that want to be this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceName>,
    /// Only those whose host matches this pattern, such as 'web*.example.com'
    #[arg(long, value_name = "PATTERN")]
    hosts: Option<HostPattern>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Serialize)]
struct Approved {
    approved: Vec<WaitingView>,
}

impl Approve {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let revision = self.expected.if_revision;
        if !self.all && (self.service.is_some() || self.hosts.is_some() || self.yes) {
            return Err("--service, --hosts and --yes go with --all".into());
        }
        if revision.is_some() && self.fingerprints.len() != 1 {
            return Err("--if-revision goes with one fingerprint".into());
        }
        let chosen: Vec<_> = if self.all {
            self.ask(admin, output).await?
        } else {
            self.fingerprints.iter().map(|fingerprint| (*fingerprint, revision)).collect()
        };
        let approved = approve(&chosen, admin).await?;
        Ok(output.print(&approved, |out| {
            for host in &approved.approved {
                let name =
                    host.name.as_ref().map_or_else(|| host.fingerprint.to_string(), ToString::to_string);
                let until = host.until.map_or_else(String::new, |until| format!(", until {}", time(until)));
                writeln!(out, "{name} is approved: it is let in when it comes again{until}.")?;
            }
            Ok(())
        })?)
    }

    /// All that wait, as they are shown: at these revisions, so that nobody else is approved than was looked at.
    async fn ask(&self, admin: &Admin, output: &Output) -> Outcome<Vec<(Fingerprint, Option<u64>)>> {
        let wanted = Wanted {
            state: WaitingState::Waiting,
            service: self.service.as_ref(),
            hosts: self.hosts.as_ref(),
        };
        let found = wanted.read(None, usize::MAX, admin).await?.enrollments;
        if !self.yes && !found.is_empty() {
            let count = counted(found.len() as u64, "host", "hosts");
            let bulk = Bulk { verb: "Approve", done: "approved", count, look: "keycell enroll pending" };
            bulk.ask(|out| write(out, &found))?;
        }
        if found.is_empty() && !output.json {
            eprintln!("keycell: no such host waits");
        }
        Ok(found.into_iter().map(|host| (host.fingerprint, Some(host.revision))).collect())
    }
}

/// Approves them one after the other; a batch at a time is told of. What was approved before something went wrong stays so,
/// and doing it again goes on from there.
async fn approve(chosen: &[(Fingerprint, Option<u64>)], admin: &Admin) -> Outcome<Approved> {
    let mut approved = Vec::new();
    for (fingerprint, revision) in chosen {
        let call = admin.post(format!("{}/approve", path(*fingerprint)));
        match call.if_revision(*revision).read().await {
            Ok(view) => approved.push(view),
            Err(error) if chosen.len() > 1 => {
                let done = approved.len();
                return Err(
                    format!("{done} of {} are approved, then {fingerprint}: {error}", chosen.len()).into()
                );
            }
            Err(error) => return Err(error),
        }
        if approved.len() % BATCH == 0 {
            eprintln!("{} of {} hosts approved", approved.len(), chosen.len());
        }
    }
    Ok(Approved { approved })
}

const BATCH: usize = 100;
