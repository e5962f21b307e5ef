//! What the file says with what the environment says over it, and where each value came from.

use std::collections::BTreeMap;
use std::path::Path;

use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Config;
use super::environment::Environment;
use super::error::{ConfigError, Place, line};

/// The file and the environment, put together.
pub(super) struct Layers<'a> {
    path: &'a Path,
    /// The line of each key of the file, by its way.
    lines: BTreeMap<Vec<String>, usize>,
    /// The variable that set a way.
    variables: BTreeMap<Vec<String>, String>,
    merged: Table,
}

impl<'a> Layers<'a> {
    pub(super) fn new(path: &'a Path, text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let syntax = |error| ConfigError::syntax(path, text, &error);
        let parsed = DeTable::parse(text).map_err(syntax)?;
        let mut lines = BTreeMap::new();
        note_lines(parsed.get_ref(), text, &mut Vec::new(), &mut lines);
        let mut merged: Table = toml::from_str(text).map_err(syntax)?;
        let mut variables = BTreeMap::new();
        let settings = environment.settings()?;
        // A variable that holds the master key is no setting, whatever it is called.
        let holds_the_key = settings
            .iter()
            .find(|setting| setting.path == KEY_VARIABLE)
            .map(|setting| setting.text.to_owned())
            .or_else(|| Some(merged.get(MASTER_KEY)?.get("environment")?.as_str()?.to_owned()));
        for setting in settings {
            if holds_the_key.as_deref() != Some(setting.name) {
                put(&mut merged, &setting.path, setting.value());
                variables.insert(setting.path, setting.name.to_owned());
            }
        }
        Ok(Self { path, lines, variables, merged })
    }

    /// Reads the configuration that they make.
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(self.merged.clone())).map_err(|error| {
            let way: Vec<_> = error.path().iter().map(segment).collect();
            let what = without_values(error.inner().message(), &self.merged);
            match self.place(&way) {
                Place::Variable(name) if what.starts_with("unknown field") => ConfigError::Variable { name },
                place => ConfigError::Value { place, what },
            }
        })
    }

    /// Where the value at the end of a way stands, or what it would be in.
    pub(super) fn place(&self, way: &[String]) -> Place {
        match self.source(way) {
            Some(place) => place,
            None => {
                let up = (0..way.len()).rev().filter_map(|length| way.get(..length));
                let line = up.into_iter().find_map(|way| self.lines.get(way)).copied();
                Place::File { path: self.path.to_owned(), line }
            }
        }
    }

    /// Where exactly that value came from; `None` for a default.
    pub(super) fn source(&self, way: &[String]) -> Option<Place> {
        let up = || (1..=way.len()).rev().filter_map(|length| way.get(..length));
        let variable = up().find_map(|way| self.variables.get(way));
        let line =
            || self.lines.get(way).map(|line| Place::File { path: self.path.to_owned(), line: Some(*line) });
        // One that a variable set as a part of this value counts for the whole.
        let within = || self.variables.iter().find(|(set, _)| set.starts_with(way)).map(|(_, name)| name);
        variable
            .cloned()
            .map(Place::Variable)
            .or_else(line)
            .or_else(|| within().cloned().map(Place::Variable))
    }
}

/// Puts a value at the end of a way, and makes the tables on it.
fn put(table: &mut Table, way: &[String], value: Value) {
    let Some((first, rest)) = way.split_first() else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    // The master key is in one place: another one replaces it.
    if first == MASTER_KEY || !matches!(table.get(first), Some(Value::Table(_))) {
        table.insert(first.clone(), Value::Table(Table::new()));
    }
    if let Some(Value::Table(inner)) = table.get_mut(first) {
        put(inner, rest, value);
    }
}

fn note_lines(
    table: &DeTable<'_>,
    text: &str,
    way: &mut Vec<String>,
    lines: &mut BTreeMap<Vec<String>, usize>,
) {
    for (key, value) in table {
        way.push(key.get_ref().to_string());
        lines.insert(way.clone(), line(text, key.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => note_lines(inner, text, way, lines),
            DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    way.push(number.to_string());
                    lines.insert(way.clone(), line(text, item.span().start));
                    if let DeValue::Table(inner) = item.get_ref() {
                        note_lines(inner, text, way, lines);
                    }
                    way.pop();
                }
            }
            _ => {}
        }
        way.pop();
    }
}

fn segment(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => String::new(),
    }
}

/// A complaint with no text of the configuration in it: serde repeats what it did not expect.
fn without_values(message: &str, table: &Table) -> String {
    let mut texts = Vec::new();
    table.values().for_each(|value| note_texts(value, &mut texts));
    // The longest first: one may be a part of another.
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    let mut message = message.to_owned();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        for (quoted, instead) in [(format!("{text:?}"), "\"…\""), (format!("`{text}`"), "`…`")] {
            message = message.replace(&quoted, instead);
        }
    }
    message
}

fn note_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| note_texts(item, texts)),
        Value::Table(inner) => inner.values().for_each(|value| note_texts(value, texts)),
        _ => {}
    }
}

const MASTER_KEY: &str = "master_key";
const KEY_VARIABLE: [&str; 2] = [MASTER_KEY, "environment"];
