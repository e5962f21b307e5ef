//! The policy as a document: `keycell policy export` writes it, and `keycell policy apply` reads it.
//!
//! In JSON it is the API's own. In TOML it has the same fields, and `expires_at` is a time that a person can read:
//!
//! ```toml
//! [[rules]]
//! id = "probes-to-cma"
//! effect = "allow"
//! source = "nanoprobe.*"
//! destination = "cma.*"
//! max_lifetime_seconds = 300
//! expires_at = 2027-01-31T12:00:00Z
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use serde::Serialize;
use toml::value::Datetime;
use toml::{Table, Value};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{rfc3339, time};
use super::super::output::Output;
use super::POLICY;
use crate::api::{NewRule, PolicyView, RuleView, Rules};
use crate::files;

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The file to write; `-` prints it
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// How to write it [default: by the file's ending; TOML when it is printed, or JSON with --json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Toml,
    Json,
}

impl Export {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let printed = self.file.as_os_str() == "-";
        let format = match self.format {
            Some(format) => format,
            None if printed && output.json => Format::Json,
            None if printed => Format::Toml,
            None => by_ending(&self.file)?,
        };
        let view: PolicyView = admin.get(POLICY).read().await?;
        let revision = view.revision;
        let rules = Rules { rules: view.rules.into_iter().map(rule).collect() };
        let text = write(&rules, revision, format)?;
        if printed {
            return match io::stdout().write_all(text.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => Ok(other?),
            };
        }
        let file = self.file.display();
        files::replace(&self.file, text.as_bytes(), 0o644)
            .map_err(|error| format!("cannot write {file}: {error}"))?;
        let done = serde_json::json!({ "file": self.file, "revision": revision, "rules": rules.rules.len() });
        Ok(output.print(&done, |out| writeln!(out, "Revision {revision} of the policy is in {file}."))?)
    }
}

/// Reads a document.
pub(super) fn read(file: &Path) -> Outcome<Rules> {
    let shown = file.display();
    let format = by_ending(file)?;
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let rules = match format {
        Format::Json => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Format::Toml => from_toml(&text),
    };
    Ok(rules.map_err(|what| format!("{shown}: {}", what.trim().replace('\n', " ")))?)
}

/// A rule as it can be sent back.
pub(super) fn rule(view: RuleView) -> NewRule {
    NewRule {
        id: Some(view.id),
        effect: view.effect,
        mode: Some(view.mode),
        source: view.source,
        destination: view.destination,
        max_lifetime_seconds: view.max_lifetime_seconds,
        note: view.note,
        expires_at: view.expires_at,
    }
}

fn by_ending(file: &Path) -> Outcome<Format> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Ok(Format::Toml),
        Some("json") => Ok(Format::Json),
        _ => Err(format!("{}: a policy's file ends in .toml or .json", file.display()).into()),
    }
}

fn write(rules: &Rules, revision: u64, format: Format) -> Outcome<String> {
    if format == Format::Json {
        return Ok(serde_json::to_string_pretty(rules)? + "\n");
    }
    let rules = rules.rules.iter().map(Readable::of).collect::<Outcome<Vec<_>>>()?;
    let text = toml::to_string(&BTreeMap::from([("rules", rules)]))?;
    Ok(format!("# Revision {revision} of the policy.\n\n{text}"))
}

/// A rule with its end as TOML writes times, if it is a whole second.
#[derive(Serialize)]
struct Readable {
    #[serde(flatten)]
    rule: NewRule,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Datetime>,
}

impl Readable {
    fn of(rule: &NewRule) -> Outcome<Self> {
        let mut rule = rule.clone();
        let whole = rule.expires_at.take_if(|at| at.0.is_multiple_of(1000));
        Ok(Self { rule, expires_at: whole.map(|at| time(at).parse()).transpose()? })
    }
}

fn from_toml(text: &str) -> Result<Rules, String> {
    // Read as text first, for errors that name the line.
    let mut table: Table = toml::from_str(text).map_err(|error| error.to_string())?;
    for rule in tables(&mut table) {
        let Some(at) = rule.get_mut("expires_at") else { continue };
        let written = match at {
            Value::Datetime(at) => at.to_string(),
            Value::String(at) => at.clone(),
            _ => continue,
        };
        let millis = rfc3339(&written).and_then(|at| i64::try_from(at.0).ok()).ok_or_else(|| {
            format!("expires_at = {written}: write a time with its offset, such as 2027-01-31T12:00:00Z")
        })?;
        *at = Value::Integer(millis);
    }
    table.try_into().map_err(|error: toml::de::Error| error.to_string())
}

/// The tables of a document's rules.
fn tables(document: &mut Table) -> impl Iterator<Item = &mut Table> {
    let rules = document.get_mut("rules").and_then(Value::as_array_mut);
    rules.into_iter().flatten().filter_map(Value::as_table_mut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keycell_protocol::UnixMillis;

    fn rules(expires_at: u64) -> Rules {
        let rule = NewRule {
            id: Some("a".to_owned()),
            effect: "allow".to_owned(),
            mode: Some("enforce".to_owned()),
            source: "cma.*@z".to_owned(),
            destination: "*@z".to_owned(),
            max_lifetime_seconds: Some(300),
            note: "a \"note\"".to_owned(),
            expires_at: Some(UnixMillis(expires_at)),
        };
        Rules { rules: vec![rule.clone(), NewRule { id: None, expires_at: None, ..rule }] }
    }

    #[test]
    fn a_document_reads_back_in_both_forms() {
        for expires_at in [1_801_396_800_000, 1_801_396_800_001] {
            let written = rules(expires_at);
            let toml = write(&written, 7, Format::Toml).unwrap();
            assert_eq!(toml.contains("2027-01-31T12:00:00Z"), expires_at.is_multiple_of(1000), "{toml}");
            assert_eq!(from_toml(&toml).unwrap().rules, written.rules);
            let json = write(&written, 7, Format::Json).unwrap();
            assert_eq!(serde_json::from_str::<Rules>(&json).unwrap().rules, written.rules);
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let good = "[[rules]]\neffect = \"deny\"\nsource = \"a\"\ndestination = \"b\"\n";
        assert_eq!(from_toml(good).unwrap().rules.len(), 1);
        for bad in [
            format!("{good}max_lifetime = \"5m\""),
            format!("{good}expires_at = 2027-01-31"),
            format!("{good}expires_at = \"soon\""),
            "rule = []".to_owned(),
            "[[rules]]\neffect = \"deny\"".to_owned(),
        ] {
            assert!(from_toml(&bad).is_err(), "{bad}");
        }
    }
}
