//! A group as an administrator wants it: read, compared, and told to the log.

use std::collections::BTreeSet;

use keycell_protocol::{Name, UnixMillis, Zone};

use super::Change;
use crate::administration::AdminError;
use crate::api::{GroupPatch, NewGroup};
use crate::audit::Event;
use crate::groups::{GroupRecord, LIFETIME, MAX_PATTERNS};
use crate::policy::{Note, Pattern};

/// Reads a group that is to be made; it has no chain yet.
pub(super) fn group(new: &NewGroup, zone: &Zone, now: UnixMillis) -> Result<GroupRecord, AdminError> {
    let name = name(&new.name, zone)?;
    let members = match &new.members {
        Some(members) => patterns(members, zone)?,
        None => patterns(&[format!("{}.*", name.local())], zone)?,
    };
    Ok(GroupRecord {
        members,
        excluded: BTreeSet::new(),
        lifetime_seconds: lifetime(new.lifetime_seconds.unwrap_or(DEFAULT_LIFETIME))?,
        author_proof: new.author_proof,
        note: note(&new.note)?,
        created_at: now,
        updated_at: now,
        revision: 1,
        chains: Vec::new(),
        name,
    })
}

/// A group with a patch over it, if that changes anything. A pattern that is there no more may have made members of
/// parties that nobody can list any more, so all keys come to an end; a pattern that is added takes nothing from anybody.
pub(super) fn patched(
    before: &GroupRecord,
    patch: &GroupPatch,
    zone: &Zone,
    mut event: Event,
) -> Result<Option<Change>, AdminError> {
    let mut record = before.clone();
    let mut ends_keys = false;
    if let Some(members) = &patch.members {
        record.members = patterns(members, zone)?;
        if record.members != before.members {
            ends_keys |= before.members.iter().any(|pattern| !record.members.contains(pattern));
            event =
                event.with("members", texts(&record.members)).with("members_before", texts(&before.members));
        }
    }
    if let Some(seconds) = patch.lifetime_seconds {
        record.lifetime_seconds = lifetime(seconds)?;
        if seconds != before.lifetime_seconds {
            ends_keys = true;
            event = event.with("lifetime_seconds", seconds);
            event = event.with("lifetime_seconds_before", before.lifetime_seconds);
        }
    }
    if let Some(author_proof) = patch.author_proof.filter(|author_proof| *author_proof != before.author_proof)
    {
        record.author_proof = author_proof;
        event = event.with("author_proof", author_proof);
    }
    if let Some(text) = &patch.note {
        record.note = note(text)?;
        if record.note != before.note {
            event = event.with("note", text.as_str()).with("note_before", before.note.as_str());
        }
    }
    Ok((record != *before).then_some(Change { record, event, ends_keys }))
}

/// The group in the record, whole but for whom it excludes: each of those has a record of its own.
pub(super) fn described(event: Event, record: &GroupRecord) -> Event {
    let event = event
        .with("members", texts(&record.members))
        .with("lifetime_seconds", record.lifetime_seconds)
        .with("author_proof", record.author_proof)
        .with("note", record.note.as_str());
    match record.chain() {
        Some(chain) => event
            .with("chain", chain.version)
            .with("generation", chain.generation(record.updated_at.seconds()).0),
        None => event,
    }
}

fn name(name: &Name, zone: &Zone) -> Result<Name, AdminError> {
    let invalid = |text: &str| Err(AdminError::invalid("name", text));
    if name.zone() != zone.as_str() {
        return invalid("it belongs to another zone");
    }
    if !name.may_be_group() {
        return invalid(
            "a group's name has no dot: parties have one, as in nanoprobe.host1, and the group is nanoprobe",
        );
    }
    if name.is_administrative() {
        return invalid("a name that begins with # is Keycell's own; choose another");
    }
    Ok(name.clone())
}

/// Patterns on names of this zone, each once.
fn patterns(texts: &[String], zone: &Zone) -> Result<Vec<Pattern>, AdminError> {
    if texts.is_empty() || texts.len() > MAX_PATTERNS {
        return Err(AdminError::invalid("members", format!("1 to {MAX_PATTERNS} patterns")));
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for (number, text) in texts.iter().enumerate() {
        let field = || format!("members[{number}]");
        let pattern =
            Pattern::in_zone(text, zone).map_err(|error| AdminError::invalid(field(), error.to_string()))?;
        if pattern.as_str().rsplit_once('@').map(|(_, of)| of) != Some(zone.as_str()) {
            let text = format!("members are of this zone: write the pattern without an @, or with @{zone}");
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

fn note(text: &str) -> Result<String, AdminError> {
    let note: Note = text
        .parse()
        .map_err(|error: crate::policy::NoteError| AdminError::invalid("note", error.to_string()))?;
    Ok(note.as_str().to_owned())
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

/// Five minutes: who is taken out of a group is out of everything by then.
const DEFAULT_LIFETIME: u32 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor};

    fn new(name: &str, members: Option<&[&str]>) -> NewGroup {
        NewGroup {
            name: name.parse().unwrap(),
            members: members.map(|members| members.iter().map(|text| (*text).to_owned()).collect()),
            lifetime_seconds: None,
            author_proof: false,
            note: String::new(),
        }
    }

    fn made(members: &[&str]) -> GroupRecord {
        group(&new("g@z", Some(members)), &"z".parse().unwrap(), UnixMillis(0)).unwrap()
    }

    fn field(new: &NewGroup) -> String {
        match group(new, &"z".parse().unwrap(), UnixMillis(0)) {
            Err(AdminError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_group_is_refused_by_its_field() {
        for name in ["a.b@z", "g@y", "#g@z"] {
            assert_eq!(field(&new(name, None)), "name", "{name}");
        }
        assert_eq!(field(&new("g@z", Some(&[]))), "members");
        assert_eq!(field(&new("g@z", Some(&["a"; 33]))), "members");
        for pattern in ["a@y", "a@*", "a@{z,y}", "a[", ""] {
            assert_eq!(field(&new("g@z", Some(&["a", pattern]))), "members[1]", "{pattern}");
        }
        assert_eq!(field(&NewGroup { note: "a\n".to_owned(), ..new("g@z", None) }), "note");
        for seconds in [0, 59, 86_401] {
            let new = NewGroup { lifetime_seconds: Some(seconds), ..new("g@z", None) };
            assert_eq!(field(&new), "lifetime_seconds", "{seconds}");
        }
    }

    #[test]
    fn members_are_those_of_the_name_unless_it_is_said() {
        let zone = "z".parse().unwrap();
        let usual = group(&new("g@z", None), &zone, UnixMillis(0)).unwrap();
        assert_eq!((texts(&usual.members), usual.lifetime_seconds), (vec!["g.*@z"], 300));
        assert_eq!(texts(&made(&["a", "b@z", "a@z"]).members), ["a@z", "b@z"]);
    }

    #[test]
    fn only_what_takes_something_away_ends_keys() {
        let before = made(&["a.*", "b.*"]);
        let ends = |patch: &GroupPatch| {
            let event = Event::new(UnixMillis(0), Actor::Kdc, Action::GroupUpdate, "g@z");
            let change = patched(&before, patch, &"z".parse().unwrap(), event).unwrap();
            change.map(|change| change.ends_keys)
        };
        let members = |members: &[&str]| GroupPatch {
            members: Some(members.iter().map(|text| (*text).to_owned()).collect()),
            ..GroupPatch::default()
        };
        assert_eq!(ends(&GroupPatch::default()), None);
        assert_eq!(ends(&members(&["a.*", "b.*@z"])), None);
        assert_eq!(ends(&members(&["a.*", "b.*", "c.*"])), Some(false));
        assert_eq!(ends(&members(&["b.*", "a.*"])), Some(false));
        assert_eq!(ends(&members(&["a.*"])), Some(true));
        assert_eq!(ends(&members(&["*"])), Some(true), "wider, but nobody has to prove it");
        let lifetime = |seconds| GroupPatch { lifetime_seconds: Some(seconds), ..GroupPatch::default() };
        assert_eq!((ends(&lifetime(300)), ends(&lifetime(60))), (None, Some(true)));
        let proof = |required| GroupPatch { author_proof: Some(required), ..GroupPatch::default() };
        assert_eq!((ends(&proof(false)), ends(&proof(true))), (None, Some(false)));
    }
}
