//! `keycell status`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use keycell_protocol::UnixMillis;

use super::admin::Admin;
use super::moment::{age, time};
use super::output::Output;
use super::table::{counted, fields, or_dash, printable};
use super::{Global, Outcome};
use crate::api::{EnrollmentCounts, StatusView, TrustState};

#[derive(Debug, Args)]
pub(super) struct Status {
    /// Exit with 1 if there is any warning, and print nothing else than warnings: for cron
    #[arg(long)]
    check: bool,
}

impl Status {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome<ExitCode> {
        let view: StatusView = Admin::new(global)?.get("/v1/admin/status").read().await?;
        output.print(&view, |out| {
            if !self.check {
                glance(out, &view)?;
            }
            for warning in &view.warnings {
                writeln!(out, "WARNING {}: {}", printable(&warning.kind), printable(&warning.text))?;
            }
            Ok(())
        })?;
        let failed = self.check && !view.warnings.is_empty();
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn glance(out: &mut dyn Write, view: &StatusView) -> io::Result<()> {
    let now = view.server_time;
    let (parties, tickets) = (&view.parties, &view.tickets);
    let key = view.oldest_key.as_ref().map(|key| format!("{}, {} old", key.name, age(key.created_at, now)));
    let certificate = view.certificate_expires_at.map(|end| {
        let (age, end_text) = (age(end, now), time(end));
        if end > now {
            format!("until {end_text}, {age} left")
        } else {
            format!("ENDED {end_text}, {age} ago")
        }
    });
    let disk = view.disk_free_bytes.map(|free| match view.disk_total_bytes {
        Some(total) => format!("{} free of {}", size(free), size(total)),
        None => format!("{} free", size(free)),
    });
    let up = format!("since {}, {}", time(view.started_at), age(view.started_at, now));
    fields(
        out,
        [
            ("zone", view.zone.clone()),
            ("version", view.version.clone()),
            ("up", up),
            (
                "parties",
                format!(
                    "{}: {} enabled, {} disabled; {} seen in the last day, {} without a key, {} with a damaged one",
                    parties.total,
                    parties.enabled,
                    parties.disabled,
                    parties.seen_last_day,
                    parties.keyless,
                    parties.without_key
                ),
            ),
            ("groups", view.groups.to_string()),
            ("conflicts", view.conflicts.to_string()),
            ("tickets", format!("{:.1}/s, {} since the start", tickets.per_second, tickets.issued)),
            (
                "denials",
                format!(
                    "{:.1}/s, {} since the start; {} more if monitored rules were enforced",
                    tickets.refused_per_second, tickets.refused, tickets.monitored
                ),
            ),
            (
                "policy",
                format!("{}, {} monitored", counted(view.rules, "rule", "rules"), view.rules_monitored),
            ),
            ("tokens", format!("{} live", view.tokens)),
            ("enrollment", or_dash(view.enrollment.as_ref().map(enrollment))),
            ("trusts", trusts(&view.trusts, now)),
            ("oldest key", or_dash(key)),
            ("certificate", or_dash(certificate)),
            ("database", format!("{}, at most {} ms behind", view.database, view.directory_staleness_ms)),
            ("disk", or_dash(disk)),
            ("audit log", counted(view.audit_seq, "record", "records")),
        ],
    )
}

fn trusts(all: &[TrustState], now: UnixMillis) -> String {
    let one = |trust: &TrustState| {
        let stands = match (trust.enabled, trust.breaker.as_deref()) {
            (false, _) => "disabled".to_owned(),
            (true, Some("open" | "half-open")) => "does not answer".to_owned(),
            (true, _) => match trust.last_answer {
                Some(at) => format!("spoke {} ago", age(at, now)),
                None => "not heard of yet".to_owned(),
            },
        };
        let came = match (trust.last_request, trust.last_outcome.as_deref()) {
            (Some(at), Some(outcome)) if outcome != "ok" => {
                format!(", last request {} ago: {}", age(at, now), printable(outcome))
            }
            _ => String::new(),
        };
        format!("{} {}, {stands}{came}", trust.direction, printable(trust.zone.as_str()))
    };
    or_dash((!all.is_empty()).then(|| all.iter().map(one).collect::<Vec<_>>().join("; ")))
}

fn enrollment(counts: &EnrollmentCounts) -> String {
    format!(
        "{}: {} waiting, {} approved, {} denied; {}",
        counts.mode,
        counts.waiting,
        counts.approved,
        counts.denied,
        counted(counts.join_tokens, "live join token", "live join tokens")
    )
}

/// Bytes in a unit that fits, as disks are sold.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        1_000_000_000..1_000_000_000_000 => format!("{} GB", bytes / 1_000_000_000),
        _ => format!("{:.1} TB", bytes as f64 / 1e12),
    }
}
