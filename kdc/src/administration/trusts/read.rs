//! A trust as an administrator wants it: read, compared, and told to the log.

use keycell_protocol::{Bundle, BundleFingerprint, BundleFingerprintError, UnixMillis, Zone};

use crate::administration::AdminError;
use crate::api::TrustPatch;
use crate::audit::Event;
use crate::limit::Rate;
use crate::policy::{Mode, Note, NoteError, Pattern};
use crate::trust::{DEFAULT_RATE, Direction, LIFETIME, MAX_PATTERNS, TrustRecord};

/// Reads a trust that is to be made with the zone of `bundle`. Where that zone's KDCs are is for the caller to say.
pub(super) fn first(
    direction: Direction,
    bundle: &Bundle,
    terms: &TrustPatch,
    own: &Zone,
    now: UnixMillis,
) -> Result<TrustRecord, AdminError> {
    let missing = |field: &'static str, whose: &Zone| {
        AdminError::invalid(field, format!("say which names of {whose}, such as *@{whose} for all of them"))
    };
    let record = TrustRecord {
        direction,
        zone: bundle.zone.clone(),
        enabled: true,
        mode: Mode::Enforce,
        sources: Vec::new(),
        destinations: Vec::new(),
        lifetime_seconds: None,
        rate: DEFAULT_RATE,
        log_tickets: false,
        note: String::new(),
        identities: bundle.identities.clone(),
        peer: None,
        offered: None,
        created_at: now,
        updated_at: now,
        revision: 0,
    };
    let Ends { sources, destinations } = Ends::of(&record, own);
    if terms.sources.is_none() {
        return Err(missing("sources", sources));
    }
    if terms.destinations.is_none() {
        return Err(missing("destinations", destinations));
    }
    patched(&record, terms, own)
}

/// A trust with a patch over it.
pub(super) fn patched(
    before: &TrustRecord,
    patch: &TrustPatch,
    own: &Zone,
) -> Result<TrustRecord, AdminError> {
    let mut record = before.clone();
    let Ends { sources, destinations } = Ends::of(before, own);
    if let Some(enabled) = patch.enabled {
        record.enabled = enabled;
    }
    if let Some(mode) = patch.mode {
        record.mode = mode;
    }
    if let Some(texts) = &patch.sources {
        record.sources = patterns(texts, "sources", sources)?;
    }
    if let Some(texts) = &patch.destinations {
        record.destinations = patterns(texts, "destinations", destinations)?;
    }
    if let Some(seconds) = patch.lifetime_seconds {
        record.lifetime_seconds = seconds.map(lifetime).transpose()?;
    }
    if let Some(given) = patch.rate {
        record.rate = given.map_or(Ok(DEFAULT_RATE), rate)?;
    }
    if let Some(log_tickets) = patch.log_tickets {
        record.log_tickets = log_tickets;
    }
    if let Some(text) = &patch.note {
        let note: Note =
            text.parse().map_err(|error: NoteError| AdminError::invalid("note", error.to_string()))?;
        note.as_str().clone_into(&mut record.note);
    }
    if let Some(bundle) = &patch.bundle {
        known(before, bundle, patch.fingerprint.as_deref())?;
        record.meet(bundle);
    }
    Ok(record)
}

/// Refuses a bundle that does not follow the one that is known. Anybody can make up one that does: what it brings that is new
/// counts by the fingerprint that an administrator was told.
fn known(before: &TrustRecord, bundle: &Bundle, told: Option<&str>) -> Result<(), AdminError> {
    let invalid = |text: String| AdminError::invalid("bundle", text);
    if bundle.zone != before.zone {
        return Err(invalid(format!("it is of {}, and the trust is with {}", bundle.zone, before.zone)));
    }
    before.known_as().accepts(bundle).map_err(|error| {
        invalid(format!("{error}; if {} was made anew, delete the trust and make it again", before.zone))
    })?;
    let is_known = bundle.identities.iter().all(|identity| before.identities.contains(identity));
    if !compared_with(bundle, told)? && !is_known {
        return Err(AdminError::invalid(
            "fingerprint",
            ask(bundle, "there are unknown identities in the bundle"),
        ));
    }
    match before.direction {
        Direction::Incoming => Ok(()),
        Direction::Outgoing => reachable(bundle).map_err(invalid),
    }
}

/// Whether an administrator brought the fingerprint of the bundle by another way; another one refuses it.
pub(super) fn compared_with(bundle: &Bundle, told: Option<&str>) -> Result<bool, AdminError> {
    let Some(told) = fingerprint(told)? else { return Ok(false) };
    if told != bundle.fingerprint() {
        return Err(AdminError::invalid(
            "fingerprint",
            ask(bundle, "another fingerprint was given than that of the bundle"),
        ));
    }
    Ok(true)
}

/// A fingerprint as it was told, if it was.
pub(super) fn fingerprint(told: Option<&str>) -> Result<Option<BundleFingerprint>, AdminError> {
    let invalid = |error: BundleFingerprintError| AdminError::invalid("fingerprint", error.to_string());
    told.map(str::parse).transpose().map_err(invalid)
}

/// What to do about a bundle that nothing proves.
fn ask(bundle: &Bundle, why: &str) -> String {
    format!(
        "{why}; its fingerprint is {}: ask the administrator of {} for theirs by another way, and give it",
        bundle.fingerprint(),
        bundle.zone
    )
}

/// Refuses a bundle by which no KDC can be reached.
pub(super) fn reachable(bundle: &Bundle) -> Result<(), String> {
    keycell_client::https::tls_config(&bundle.tls_roots)
        .map(drop)
        .map_err(|error| format!("\"tls_roots\" of the bundle of {} cannot be used: {error}", bundle.zone))
}

/// Whose names its two lists are about.
struct Ends<'a> {
    sources: &'a Zone,
    destinations: &'a Zone,
}

impl<'a> Ends<'a> {
    const fn of(record: &'a TrustRecord, own: &'a Zone) -> Self {
        match record.direction {
            Direction::Incoming => Self { sources: &record.zone, destinations: own },
            Direction::Outgoing => Self { sources: own, destinations: &record.zone },
        }
    }
}

/// Patterns on names of one zone, each once.
fn patterns(texts: &[String], list: &str, zone: &Zone) -> Result<Vec<Pattern>, AdminError> {
    if texts.is_empty() || texts.len() > MAX_PATTERNS {
        return Err(AdminError::invalid(list, format!("1 to {MAX_PATTERNS} patterns")));
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for (number, text) in texts.iter().enumerate() {
        let field = || format!("{list}[{number}]");
        let pattern =
            Pattern::in_zone(text, zone).map_err(|error| AdminError::invalid(field(), error.to_string()))?;
        if pattern.as_str().rsplit_once('@').map(|(_, of)| of) != Some(zone.as_str()) {
            let text = format!("{list} are of {zone}: write the pattern without an @, or with @{zone}");
            return Err(AdminError::invalid(field(), text));
        }
        if !patterns.contains(&pattern) {
            patterns.push(pattern);
        }
    }
    Ok(patterns)
}

fn lifetime(seconds: u32) -> Result<u32, AdminError> {
    if LIFETIME.contains(&seconds) {
        return Ok(seconds);
    }
    Err(AdminError::invalid("lifetime_seconds", format!("{} to {}", LIFETIME.start(), LIFETIME.end())))
}

fn rate(rate: Rate) -> Result<Rate, AdminError> {
    if rate.burst.get() >= MIN_BURST {
        return Ok(rate);
    }
    let text = format!("at least {MIN_BURST}, for so many tickets may be asked for at once");
    Err(AdminError::invalid("rate.burst", text))
}

/// The trust in the record, whole.
pub(super) fn described(event: Event, record: &TrustRecord) -> Event {
    event
        .with("enabled", record.enabled)
        .with("mode", record.mode.as_str())
        .with("sources", texts(&record.sources))
        .with("destinations", texts(&record.destinations))
        .with("lifetime_seconds", record.lifetime_seconds)
        .with("rate", told(record.rate))
        .with("log_tickets", record.log_tickets)
        .with("note", record.note.as_str())
        .with("fingerprint", record.known_as().fingerprint().to_string())
}

/// What is another than before, in the record; as it was if nothing is. Whether the trust is enabled has a record of its own.
pub(super) fn compared(mut event: Event, before: &TrustRecord, after: &TrustRecord) -> Event {
    let mut differs = |name: &str, before: serde_json::Value, after: serde_json::Value| {
        if before != after {
            event = event.clone().with(name, after).with(&format!("{name}_before"), before);
        }
    };
    let urls = |record: &TrustRecord| record.peer.as_ref().map(|peer| peer.urls.clone());
    differs("mode", before.mode.as_str().into(), after.mode.as_str().into());
    differs("sources", texts(&before.sources).into(), texts(&after.sources).into());
    differs("destinations", texts(&before.destinations).into(), texts(&after.destinations).into());
    differs("lifetime_seconds", before.lifetime_seconds.into(), after.lifetime_seconds.into());
    differs("rate", told(before.rate).into(), told(after.rate).into());
    differs("log_tickets", before.log_tickets.into(), after.log_tickets.into());
    differs("note", before.note.as_str().into(), after.note.as_str().into());
    differs("urls", urls(before).into(), urls(after).into());
    let fingerprint = |record: &TrustRecord| record.known_as().fingerprint().to_string();
    differs("fingerprint", fingerprint(before).into(), fingerprint(after).into());
    event
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

fn told(rate: Rate) -> String {
    format!("{}/{}", rate.per_second, rate.burst)
}

/// As many as one request may ask for.
const MIN_BURST: u32 = 1000;
