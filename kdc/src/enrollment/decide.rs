//! What becomes of a request to enroll: a pure function of what is known (docs/protocol.md §10).

use std::net::IpAddr;
use std::time::Duration;

use keycell_protocol::{
    AuthorPublicKey, EnrolledName, Fingerprint, HostName, IdentityName, JoinToken, JoinTokenId, Name,
    ServiceName, UnixMillis, Zone,
};

use super::{
    Admission, ConflictsRule, EnrollmentMode, EnrollmentRecord, EnrollmentSetting, JoinTokenRecord,
    TokenRefusal, WaitingFor, WaitingRecord, WaitingState,
};
use crate::store::{KeyState, PartyRecord};

/// A host that wants to come aboard, and has proved to hold its key.
#[derive(Debug)]
pub struct Applicant {
    /// The service that it is to be.
    pub service: ServiceName,
    /// The host that it says to be.
    pub host: HostName,
    /// Its key.
    pub public_key: AuthorPublicKey,
    /// What it was given to be let in.
    pub token: Option<JoinToken>,
    /// The identity of the KDC that it asked.
    pub identity: IdentityName,
    /// When it asked, by its own clock.
    pub timestamp: UnixMillis,
    /// The SHA-256 of its request, in hexadecimal.
    pub request: String,
    /// Where it is.
    pub address: IpAddr,
}

impl Applicant {
    /// The id of what is kept of it while it waits.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.public_key)
    }

    /// The name that it has or gets.
    #[must_use]
    pub fn name(&self, zone: &Zone) -> Name {
        let (service, host) = (self.service.clone(), self.host.clone());
        EnrolledName { service, host, fingerprint: self.fingerprint() }.name(zone)
    }
}

/// What is known when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What administrators set.
    pub setting: &'a EnrollmentSetting,
    /// The party of the host's name, as the database has it.
    pub party: Option<&'a PartyRecord>,
    /// Whether Keycell wrote it.
    pub sealed: bool,
    /// Whether this KDC has heard that the party is disabled.
    pub disabled: bool,
    /// What was decided on the host's key.
    pub waiting: Option<&'a WaitingRecord>,
    /// The join token of the id that the host brings.
    pub token: Option<&'a JoinTokenRecord>,
    /// Whether there is an enabled party of the same service and host with another key.
    pub contested: bool,
    /// Whether there are as many of those as come in by themselves.
    pub is_full: bool,
    /// How many parties came in by trust on first use.
    pub by_tofu: usize,
    /// Who else waits.
    pub crowd: Crowd,
    /// The time.
    pub now: UnixMillis,
    /// By how much clocks may differ, in milliseconds.
    pub skew_ms: u64,
}

/// How many wait for an administrator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crowd {
    /// Of all.
    pub all: u32,
    /// Of those that came from the network that this one comes from.
    pub network: u32,
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It comes aboard.
    Admit(Admit),
    /// It is aboard, and gets another key.
    Renew,
    /// It asked just this before, and gets the same answer.
    Again,
    /// It waits for an administrator from now on.
    Wait {
        /// Why.
        because: WaitingFor,
        /// The revision of what is kept of its key from before, which does not count any more.
        replaces: Option<u64>,
    },
    /// It has waited since then.
    Waits(UnixMillis),
    /// The request is older than one that was answered.
    Replayed,
    /// It got another key a moment ago, and gets the next one after this time.
    TooSoon(Duration),
    /// It does not come aboard.
    Refuse(Refusal),
}

/// By what a host comes aboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admit {
    /// By what.
    pub admission: Admission,
    /// The join token of which it is one use.
    pub token: Option<JoinTokenId>,
    /// The revision of what is kept of its key, and goes now.
    pub document: Option<u64>,
    /// Whether an alarm is raised, for its host is known by another key.
    pub alarm: bool,
}

/// Why a host does not come aboard: for the log and the counters. The host is told only that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is where nobody enrolls from.
    #[error("its network is not among those that hosts enroll from")]
    Network,
    /// Nobody gets in.
    #[error("enrollment is closed")]
    Closed,
    /// It has no join token, and the zone wants one.
    #[error("it brings no join token, and the zone wants one")]
    NoToken,
    /// Its join token does not let it in.
    #[error("its join token does not let it in: {0}")]
    Token(TokenRefusal),
    /// Its service or host is not let in without a join token.
    #[error("its service or host is not among those that are let in without a join token")]
    Unlisted,
    /// An administrator said no.
    #[error("its key was denied")]
    Denied,
    /// It is aboard, and disabled.
    #[error("the party is disabled")]
    Disabled,
    /// Somebody else than Keycell wrote what the party of its name is.
    #[error(
        "the row of the party is damaged: restore a backup, or delete the party with --forget and let the host in anew"
    )]
    Damaged,
    /// An administrator made the party of its name.
    #[error("an administrator made the party of this name")]
    ByHand,
    /// Its key waits under another name.
    #[error("its key waits as another service or host")]
    OtherName,
    /// Too many came in by trust on first use.
    #[error("too many hosts came in by trust on first use (tofu_most)")]
    TofuMost,
    /// Too many keys say to be its host, and it brings no token.
    #[error("too many keys are known of its service and host: delete the parties that are no more")]
    Contested,
    /// Too many wait.
    #[error("too many hosts wait for an administrator (pending_most)")]
    Crowded,
    /// Too many of its network wait.
    #[error("too many hosts of its network wait for an administrator (a tenth of pending_most)")]
    NetworkCrowded,
}

impl Refusal {
    /// Its name in the counters and the audit log.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Closed => "closed",
            Self::NoToken => "no-token",
            Self::Token(refusal) => refusal.reason(),
            Self::Unlisted => "unlisted",
            Self::Denied => "denied",
            Self::Disabled => "disabled",
            Self::Damaged => "damaged",
            Self::ByHand => "by-hand",
            Self::OtherName => "other-name",
            Self::TofuMost => "tofu-most",
            Self::Contested => "contested",
            Self::Crowded | Self::NetworkCrowded => "crowded",
        }
    }

    /// Every name that [`reason`](Self::reason) gives.
    pub const REASONS: [&'static str; 20] = [
        "network",
        "closed",
        "no-token",
        "token-unknown",
        "token-secret",
        "token-revoked",
        "token-expired",
        "token-service",
        "token-host",
        "token-network",
        "token-used-up",
        "unlisted",
        "denied",
        "disabled",
        "damaged",
        "by-hand",
        "other-name",
        "tofu-most",
        "contested",
        "crowded",
    ];
}

/// Decides on a host of the zone's.
#[must_use]
pub fn decide(applicant: &Applicant, name: &Name, known: Known<'_>) -> Verdict {
    let lasting = known.waiting.filter(|waiting| waiting.lasts(known.now));
    // First: whatever it brings, and whoever it was.
    if lasting.is_some_and(|waiting| waiting.state == WaitingState::Denied) {
        return Verdict::Refuse(Refusal::Denied);
    }
    match known.party {
        Some(party) => return_of(applicant, name, party, known),
        None => stranger(applicant, lasting, known),
    }
}

/// A host that is known proves itself by its key: neither mode nor token matters any more.
fn return_of(applicant: &Applicant, name: &Name, party: &PartyRecord, known: Known<'_>) -> Verdict {
    let enrolled = party.enrollment.as_deref();
    let Some(enrolled) =
        enrolled.filter(|record| record.is_of(name) && record.public_key == applicant.public_key)
    else {
        return Verdict::Refuse(Refusal::ByHand);
    };
    if known.disabled || !party.enabled {
        return Verdict::Refuse(Refusal::Disabled);
    }
    if !known.sealed {
        // Whoever wrote this may have let it in, or taken back that it was disabled.
        return Verdict::Refuse(Refusal::Damaged);
    }
    if applicant.request == enrolled.request {
        Verdict::Again
    } else if applicant.timestamp <= enrolled.timestamp && !is_ahead(enrolled.timestamp, known) {
        Verdict::Replayed
    } else {
        too_soon(party, enrolled, known.now).map_or(Verdict::Renew, Verdict::TooSoon)
    }
}

/// How long a host that has a key, and got another one a moment ago, waits for the next, so that neither a loop nor who stole
/// its seed keeps the database writing. The first one after it came aboard does not wait: the file of its key may not have
/// been written.
fn too_soon(party: &PartyRecord, enrolled: &EnrollmentRecord, now: UnixMillis) -> Option<Duration> {
    let has_key = party.keys.iter().any(|key| matches!(key.state, KeyState::Active | KeyState::Staged));
    let came_again = enrolled.renewed_at != enrolled.enrolled_at;
    // Also of a moment that was ahead: by less than this, or it keeps nobody waiting.
    let since = enrolled.renewed_at.distance(now);
    (has_key && came_again && since < RENEW_MS).then(|| Duration::from_millis(RENEW_MS - since))
}

/// Whether a moment was taken from a clock that was ahead: no host would ask in it now, and it keeps none from coming back.
fn is_ahead(at: UnixMillis, known: Known<'_>) -> bool {
    at > known.now.plus(known.skew_ms)
}

fn stranger(applicant: &Applicant, lasting: Option<&WaitingRecord>, known: Known<'_>) -> Verdict {
    let Known { setting, now, .. } = known;
    if setting.mode == EnrollmentMode::Closed {
        return Verdict::Refuse(Refusal::Closed);
    }
    let admit = |admission, alarm| {
        let token = applicant.token.as_ref().filter(|_| admission == Admission::Token).map(JoinToken::id);
        let document = known.waiting.map(|waiting| waiting.revision);
        Verdict::Admit(Admit { admission, token, document, alarm })
    };
    let by_token = applicant.token.as_ref().map(|token| {
        let record = known.token.ok_or(TokenRefusal::Unknown)?;
        record.admits(token, &applicant.service, &applicant.host, applicant.address, now)
    });
    if let Some(waiting) = lasting.filter(|waiting| waiting.state == WaitingState::Approved) {
        if !is_as(waiting, applicant) {
            return Verdict::Refuse(Refusal::OtherName);
        }
        // The administrator who let it in saw whether it was contested. What has become of its token meanwhile does not
        // matter; while it is good, this is a use of it.
        let admission = if by_token == Some(Ok(())) { Admission::Token } else { Admission::Approval };
        return admit(admission, known.contested && waiting.because != Some(WaitingFor::Conflict));
    }
    let admission = match (by_token, setting.mode) {
        (Some(Ok(())), _) => Admission::Token,
        // Never to be decided by an administrator: who guesses tokens fills no list.
        (Some(Err(refusal)), _) => return Verdict::Refuse(Refusal::Token(refusal)),
        (None, EnrollmentMode::Closed | EnrollmentMode::Token) => {
            return Verdict::Refuse(Refusal::NoToken);
        }
        (None, EnrollmentMode::Approve) => {
            return wait(applicant, WaitingFor::Approval, lasting, known);
        }
        (None, EnrollmentMode::Tofu) if is_listed(setting, applicant) => Admission::Tofu,
        (None, EnrollmentMode::Tofu) => return Verdict::Refuse(Refusal::Unlisted),
    };
    if known.contested && setting.conflicts == ConflictsRule::Hold {
        return wait(applicant, WaitingFor::Conflict, lasting, known);
    }
    // There is an end to those whom no administrator looks at. Who was given a token is not shut out by whoever took the places.
    if known.is_full {
        return match admission {
            Admission::Token => wait(applicant, WaitingFor::Conflict, lasting, known),
            _ => Verdict::Refuse(Refusal::Contested),
        };
    }
    if admission == Admission::Tofu && known.by_tofu >= setting.tofu_most as usize {
        return Verdict::Refuse(Refusal::TofuMost);
    }
    admit(admission, known.contested)
}

fn wait(
    applicant: &Applicant,
    because: WaitingFor,
    lasting: Option<&WaitingRecord>,
    known: Known<'_>,
) -> Verdict {
    if let Some(waiting) = lasting {
        // One name for each key: an administrator approves what is to be seen.
        return match is_as(waiting, applicant) {
            true => Verdict::Waits(waiting.first_at),
            false => Verdict::Refuse(Refusal::OtherName),
        };
    }
    let most = known.setting.pending_most;
    if known.crowd.all >= most {
        Verdict::Refuse(Refusal::Crowded)
    } else if known.crowd.network >= most.div_ceil(10) {
        Verdict::Refuse(Refusal::NetworkCrowded)
    } else {
        Verdict::Wait { because, replaces: known.waiting.map(|waiting| waiting.revision) }
    }
}

/// Whether what is kept of the key is of this service and host.
fn is_as(waiting: &WaitingRecord, applicant: &Applicant) -> bool {
    waiting.service.as_ref() == Some(&applicant.service) && waiting.host.as_ref() == Some(&applicant.host)
}

fn is_listed(setting: &EnrollmentSetting, applicant: &Applicant) -> bool {
    setting.services.contains(&applicant.service)
        && setting.hosts.iter().any(|pattern| pattern.matches(&applicant.host))
}

/// After how many seconds a host that has waited since `since` is to ask again: a minute at first, then twice as long each
/// time, an hour at the most.
#[must_use]
pub fn retry_after(since: UnixMillis, now: UnixMillis) -> u32 {
    let waited = now.0.saturating_sub(since.0) / 1000;
    // Asked after 60, 120, 240 seconds and so on, it has waited as long as it is to wait next, less a minute.
    u32::try_from(waited.saturating_add(60)).unwrap_or(u32::MAX).min(3600)
}

/// The time between two keys that a host gets by enrolling again.
const RENEW_MS: u64 = 10_000;

#[cfg(test)]
mod tests;
