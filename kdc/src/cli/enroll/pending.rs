//! `keycell enroll pending`

use std::io;

use clap::Args;
use keycell_protocol::{Fingerprint, ServiceName};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::{or_dash, table};
use super::ENROLLMENTS;
use crate::api::{WaitingPage, WaitingView};
use crate::enrollment::{HostPattern, WaitingState};

#[derive(Debug, Args)]
pub(in crate::cli) struct Pending {
    /// Those of which this was decided
    #[arg(long, value_enum, default_value_t = WaitingState::Waiting)]
    state: WaitingState,
    /// Only those that want to be this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceName>,
    /// Only those whose host matches this pattern, such as 'web*.example.com'
    #[arg(long, value_name = "PATTERN")]
    hosts: Option<HostPattern>,
    /// Begin after this fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    after: Option<Fingerprint>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl Pending {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let wanted = Wanted { state: self.state, service: self.service.as_ref(), hosts: self.hosts.as_ref() };
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let page = wanted.read(self.after, limit, admin).await?;
        Ok(output.print(&page, |out| {
            if page.enrollments.is_empty() && self.after.is_none() {
                return writeln!(out, "No such host is {}.", self.state);
            }
            write(out, &page.enrollments)?;
            page.next.as_ref().map_or(Ok(()), |next| writeln!(out, "There are more: --after {next}"))
        })?)
    }
}

/// Which hosts are wanted.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) state: WaitingState,
    pub(super) service: Option<&'a ServiceName>,
    pub(super) hosts: Option<&'a HostPattern>,
}

impl Wanted<'_> {
    /// At most `limit` of them, page by page.
    pub(super) async fn read(
        self,
        mut after: Option<Fingerprint>,
        limit: usize,
        admin: &Admin,
    ) -> Outcome<WaitingPage> {
        let mut enrollments = Vec::new();
        while enrollments.len() < limit {
            let page: WaitingPage = admin
                .get(ENROLLMENTS)
                .query("limit", Some((limit - enrollments.len()).min(MAX_PAGE)))
                .query("after", after.take())
                .query("state", Some(self.state))
                .query("service", self.service.map(ServiceName::as_str))
                .query("host", self.hosts)
                .read()
                .await?;
            enrollments.extend(page.enrollments);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(WaitingPage { enrollments, next: after })
    }
}

/// Hosts in a table, with all of their fingerprints: who decides compares them.
pub(super) fn write(out: &mut dyn io::Write, hosts: &[WaitingView]) -> io::Result<()> {
    let rows = hosts.iter().map(|host| {
        [
            host.fingerprint.to_string(),
            or_dash(host.service.as_ref()),
            or_dash(host.host.as_ref()),
            or_dash(host.address),
            time(host.first_at),
            or_dash(host.until.map(time)),
            or_dash(host.because),
        ]
    });
    table(out, ["FINGERPRINT", "SERVICE", "HOST", "FROM", "SINCE", "KEPT UNTIL", "BECAUSE"], rows)
}

/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
