//! The cell at a glance.

mod trusts;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use keycell_protocol::UnixMillis;

use super::AdminError;
use crate::api::{EnrollmentCounts, OldestKey, PartyCounts, StatusView, TicketCounts, Warning};
use crate::certificates::DUE_DAYS;
use crate::directory;
use crate::disk::Space;
use crate::kdc::Kdc;
use crate::policy::Mode;

pub use trusts::trust_state;

/// The cell as `kdc` sees it, with what [`walk`] found.
///
/// # Errors
/// The database's: where it is away, `/readyz` and `/metrics` still tell.
pub async fn status(kdc: &Kdc, walk: Walk) -> Result<StatusView, AdminError> {
    let now = kdc.now();
    let Walk { parties, oldest_key } = walk;
    let rules = kdc.directory().rules();
    let space = Space::of(&kdc.config().database);
    let seal = kdc.ledger().journal().seal().await?;
    let mut view = StatusView {
        zone: kdc.zone().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        server_time: now,
        started_at: kdc.started_at(),
        parties,
        groups: kdc.directory().groups().len() as u64,
        conflicts: kdc.conflicts().look().await?,
        tickets: TicketCounts {
            issued: kdc.metrics().tickets.get(),
            refused: kdc.metrics().refused(),
            monitored: kdc.metrics().monitored.get(),
            ..kdc.sampler().counts()
        },
        rules: rules.policy.rules().len() as u64,
        rules_monitored: rules.policy.rules().iter().filter(|rule| rule.mode == Mode::Monitor).count() as u64,
        tokens: directory::live(&kdc.directory().tokens(), now) as u64,
        enrollment: Some(enrollment(kdc).await?),
        trusts: kdc.directory().trusts().iter().map(|trust| trust_state(kdc, trust)).collect(),
        oldest_key,
        certificate_expires_at: kdc.certificate().ends_at(),
        database: if kdc.config().database.starts_with("sqlite:") { "sqlite" } else { "postgres" }.to_owned(),
        directory_staleness_ms: kdc.staleness_ms(),
        disk_free_bytes: space.map(|space| space.free),
        disk_total_bytes: space.map(|space| space.total),
        audit_seq: seal.map_or(0, |seal| seal.link.seq),
        warnings: Vec::new(),
    };
    view.warnings = warnings(&view, kdc);
    let backup = kdc.note_backup().await?;
    view.warnings.extend(backup_warning(backup, kdc.zone_record().created_at, now));
    let on_disk = kdc.identities().look().await?;
    view.warnings
        .extend(on_disk.map(|on_disk| Warning { kind: "identity".to_owned(), text: on_disk.to_string() }));
    let trouble = kdc.follower().watermark().and_then(|watermark| watermark.trouble());
    view.warnings.extend(trouble.map(|text| Warning { kind: "revocations".to_owned(), text }));
    Ok(view)
}

async fn enrollment(kdc: &Kdc) -> Result<EnrollmentCounts, AdminError> {
    let setting = &kdc.directory().settings().enrollment;
    let crowd = kdc.waiting().crowd().await?;
    Ok(EnrollmentCounts {
        mode: setting.mode,
        waiting: crowd.waiting,
        waiting_most: setting.pending_most.into(),
        approved: crowd.approved,
        denied: crowd.denied,
        join_tokens: kdc.join_tokens().live() as u64,
    })
}

/// What only a look at every party tells.
#[derive(Debug, Clone)]
pub struct Walk {
    parties: PartyCounts,
    oldest_key: Option<OldestKey>,
}

/// Looks at every party, at most once a second: between, what was found is found again.
pub fn walk(kdc: &Kdc) -> Walk {
    let mut walked = kdc.sampler().walked.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, walk)) = &*walked
        && at.elapsed() < WALK_EVERY
    {
        return walk.clone();
    }
    let (parties, oldest_key) = parties(kdc, kdc.now());
    let walk = Walk { parties, oldest_key };
    *walked = Some((Instant::now(), walk.clone()));
    walk
}

/// Counts tickets over time, so that a rate can be told.
#[derive(Debug, Default)]
pub struct Sampler {
    samples: Mutex<VecDeque<Sample>>,
    walked: Mutex<Option<(Instant, Walk)>>,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// When, by a clock that nobody sets.
    pub running_ms: u64,
    /// Tickets given out since the start.
    pub issued: u64,
    /// Refused.
    pub refused: u64,
    /// Given out although a monitored rule would refuse them.
    pub monitored: u64,
}

impl Sampler {
    /// Takes in what the counters say now. Called about once a second.
    pub fn take(&self, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(sample);
        while samples.len() > 2
            && samples.get(1).is_some_and(|next| next.running_ms + OVER_MS <= sample.running_ms)
        {
            samples.pop_front();
        }
    }

    fn counts(&self) -> TicketCounts {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = match (samples.front(), samples.back()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => (Sample::default(), Sample::default()),
        };
        let seconds = (last.running_ms.saturating_sub(first.running_ms) as f64 / 1000.0).max(1.0);
        let rate = |before: u64, after: u64| {
            let rate = after.saturating_sub(before) as f64 / seconds;
            (rate * 100.0).round() / 100.0
        };
        TicketCounts {
            issued: last.issued,
            refused: last.refused,
            monitored: last.monitored,
            per_second: rate(first.issued, last.issued),
            refused_per_second: rate(first.refused, last.refused),
        }
    }
}

fn parties(kdc: &Kdc, now: UnixMillis) -> (PartyCounts, Option<OldestKey>) {
    let mut counts =
        PartyCounts { total: 0, enabled: 0, disabled: 0, seen_last_day: 0, keyless: 0, without_key: 0 };
    let mut oldest: Option<OldestKey> = None;
    let yesterday = now.minus(DAY_MS);
    for party in kdc.directory().all() {
        counts.total += 1;
        if party.enabled() {
            counts.enabled += 1;
        } else {
            counts.disabled += 1;
        }
        counts.seen_last_day += u64::from(party.seen().at().is_some_and(|at| at >= yesterday));
        counts.keyless += u64::from(party.enabled() && party.active().is_none());
        // One whose keys were erased is not damaged.
        counts.without_key += u64::from(party.active().is_some() && !party.has_key());
        if let Some(key) = party.active()
            && oldest.as_ref().is_none_or(|oldest| key.created_at < oldest.created_at)
        {
            oldest = Some(OldestKey { name: party.name().clone(), created_at: key.created_at });
        }
    }
    (counts, oldest)
}

fn warnings(view: &StatusView, kdc: &Kdc) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |kind: &str, text: String| warnings.push(Warning { kind: kind.to_owned(), text });
    if let Some(end) = view.certificate_expires_at {
        let days = end.0.saturating_sub(view.server_time.0) / DAY_MS;
        if end <= view.server_time {
            warn("certificate-expired", format!("the server's certificate has expired: {RENEW}"));
        } else if days < DUE_DAYS {
            let text = format!("the server's certificate ends in {days} days: {RENEW}");
            warn("certificate-expires", text);
        }
    }
    if let Some(refusal) = kdc.certificate().refusal() {
        warn("certificate-refused", format!("the certificate in the files is not served: {refusal}"));
    }
    if let Some(end) = kdc.certificate().root_ends_at() {
        let days = end.0.saturating_sub(view.server_time.0) / DAY_MS;
        if days < ROOT_DAYS {
            let text = format!(
                "the root that signed the server's certificate ends in {days} days: make another, and give it to every host \
                 beside this one"
            );
            warn("root-expires", text);
        }
    }
    if let (Some(free), Some(total)) = (view.disk_free_bytes, view.disk_total_bytes)
        && (free < total / 10 && free < DISK_BYTES || free < kdc.config().limits.disk_free_bytes)
    {
        let text = format!("{} MiB are free where the database is: make room", free >> 20);
        warn("disk", text);
    }
    if view.directory_staleness_ms > STALE_MS {
        warn(
            "stale",
            "the database has not answered for a while: changes may not be in force here".to_owned(),
        );
    }
    if let Some(lacking) = kdc.ledger().keyring().lacking() {
        warn("master-key", lacking.to_string());
    }
    if kdc.rewrapper().refused() {
        warn(
            "clock",
            "the clock is far ahead of what keys were last turned to, so none is turned: put it right, or confirm it with \
             `keycell ratchet confirm`"
                .to_owned(),
        );
    }
    if view.parties.without_key > 0 {
        let text = format!(
            "{} parties have no key that unwraps: see the log for their names, then give them new ones",
            view.parties.without_key
        );
        warn("keys", text);
    }
    let out = kdc.groups_out_of_service();
    if let Some(first) = out.first() {
        let text = format!(
            "{} of the groups are out of service, {first} among them, for their keys or rows do not hold: see the log for their \
             names, and do what docs/operations.md says, KeycellGroupOutOfService",
            out.len()
        );
        warn("groups", text);
    }
    if view.conflicts > 0 {
        let text = format!(
            "{} of the parties have a conflict, a key in two places or a host with another key: see `keycell party conflicts`",
            view.conflicts
        );
        warn("conflicts", text);
    }
    trusts::warnings(&view.trusts, &mut warn);
    if view.rules == 0 {
        warn(
            "policy",
            "the policy has no rule, so nobody may speak: see `keycell policy profiles`".to_owned(),
        );
    }
    if let Some(enrollment) = &view.enrollment {
        // What an operator need not do anything about while there is room.
        if enrollment.waiting.saturating_mul(10) >= enrollment.waiting_most.saturating_mul(9) {
            let text = format!(
                "{} hosts wait for an administrator, of {} that may: decide on them, `keycell enroll pending` has them",
                enrollment.waiting, enrollment.waiting_most
            );
            warn("enrollment", text);
        }
    }
    let dropped = kdc.ticket_log().dropped();
    if dropped > 0 {
        warn(
            "ticket-log",
            format!("{dropped} lines of the ticket log were dropped: the log is too slow for them"),
        );
    }
    warnings
}

/// A new zone has a day's time for its first backup.
fn backup_warning(last: Option<UnixMillis>, zone_created_at: UnixMillis, now: UnixMillis) -> Option<Warning> {
    let text = match last.map(|last| now.0.saturating_sub(last.0) / DAY_MS) {
        None if now.0.saturating_sub(zone_created_at.0) < DAY_MS => return None,
        None => "there is no backup of the database: `keycell backup FILE` makes one".to_owned(),
        Some(days) if days >= BACKUP_DAYS => {
            format!("the last backup is {days} days old: `keycell backup FILE` makes one")
        }
        Some(_) => return None,
    };
    Some(Warning { kind: "backup".to_owned(), text })
}

const WALK_EVERY: Duration = Duration::from_secs(1);
const DAY_MS: u64 = 86_400_000;
/// A root takes long to get to every host.
const ROOT_DAYS: u64 = 365;
const RENEW: &str = "replace its files, or run `keycell certificate renew` where the cell's own root signs";
const DISK_BYTES: u64 = 5 << 30;
const BACKUP_DAYS: u64 = 7;
const STALE_MS: u64 = 5_000;
/// Rates are over the last minute.
const OVER_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_backup_and_none_are_warned_of() {
        let now = UnixMillis(100 * DAY_MS);
        let made = now.minus(50 * DAY_MS);
        let text = |last| backup_warning(last, made, now).map(|warning| warning.text).unwrap_or_default();
        assert!(text(None).starts_with("there is no backup"));
        assert!(text(Some(now.minus(7 * DAY_MS))).starts_with("the last backup is 7 days old"));
        assert_eq!(text(Some(now.minus(7 * DAY_MS - 1))), "");
        // A clock that was set back is no reason to worry.
        assert_eq!(text(Some(now.plus(DAY_MS))), "");
        assert_eq!(backup_warning(None, now.minus(DAY_MS - 1), now), None);
        assert!(backup_warning(None, now.minus(DAY_MS), now).is_some());
    }

    #[test]
    fn rates_are_over_the_last_minute() {
        let sampler = Sampler::default();
        for second in 0..=200 {
            let fast = if second > 140 { (second - 140) * 60 } else { 0 };
            sampler.take(Sample { running_ms: second * 1000, issued: fast, refused: second, monitored: 0 });
        }
        let counts = sampler.counts();
        assert_eq!((counts.issued, counts.per_second, counts.refused_per_second), (3600, 60.0, 1.0));
        assert!(sampler.samples.lock().unwrap().len() <= 62);
    }
}
