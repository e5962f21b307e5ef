//! The configuration as it is in force, setting by setting, and where each came from.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use toml::Value;

use super::error::Place;
use super::layers::Layers;
use super::{Config, ConfigError, Environment};

/// A configuration with where each of its values came from.
pub struct Effective {
    /// The configuration.
    pub config: Config,
    /// Every setting of it, in the order of their names.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name, such as `limits.connections`.
    pub name: String,
    /// Its value as TOML, with no secret in it.
    pub value: String,
    /// Where it came from.
    pub from: Origin,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// This line of the file.
    Line(usize),
    /// The variable of this name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl Effective {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let layers = Layers::new(path, &text, environment)?;
        let mut config = layers.read()?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.check().map_err(|what| {
            let (name, _) = what.split_once(':').unwrap_or((what, ""));
            let way: Vec<_> = name.split('.').map(str::to_owned).collect();
            ConfigError::Value { place: layers.place(&way), what: what.to_owned() }
        })?;
        let settings = config.settings().into_iter().map(|(way, value)| {
            let from = match layers.source(&way) {
                Some(Place::Variable(name)) => Origin::Variable(name),
                Some(Place::File { line: Some(line), .. }) => Origin::Line(line),
                Some(Place::File { line: None, .. }) | None => Origin::Default,
            };
            Setting { name: way.join("."), value: shown(&value), from }
        });
        Ok(Self { settings: settings.collect(), config })
    }
}

impl Config {
    /// Every setting with its value, in the order of their names.
    fn settings(&self) -> Vec<(Vec<String>, Value)> {
        let mut settings = Vec::new();
        if let Ok(Value::Table(table)) = Value::try_from(self) {
            leaves(&table, &mut Vec::new(), &mut settings);
        }
        settings
    }

    /// Keeps what cannot change in a process that runs as it is there: what it listens on, whose keys it holds, and what
    /// its memory of requests was laid out for.
    pub fn keep(&mut self, running: &Self) {
        let Self { listen, database, master_key, .. } = running;
        self.listen = *listen;
        self.database.clone_from(database);
        self.master_key.clone_from(master_key);
        // Nonces are forgotten by it: a wider skew would let in again what was forgotten under a narrower one.
        self.tickets.clock_skew_seconds = running.tickets.clock_skew_seconds;
        self.limits.connections = running.limits.connections;
        self.limits.remembered = running.limits.remembered;
        self.limits.nonces = running.limits.nonces;
        self.peers.concurrency = running.peers.concurrency;
        self.log.format = running.log.format;
        self.telemetry.clone_from(&running.telemetry);
    }

    /// The names of the settings that differ between two configurations.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (mine, theirs) = (self.settings(), other.settings());
        let names = |from: &[(Vec<String>, Value)], to: &[(Vec<String>, Value)]| -> Vec<String> {
            from.iter().filter(|setting| !to.contains(setting)).map(|(way, _)| way.join(".")).collect()
        };
        let mut different = names(&mine, &theirs);
        different.extend(names(&theirs, &mine));
        different.sort();
        different.dedup();
        different
    }
}

fn leaves(table: &toml::Table, way: &mut Vec<String>, into: &mut Vec<(Vec<String>, Value)>) {
    for (key, value) in table {
        way.push(key.clone());
        match value {
            Value::Table(inner) => leaves(inner, way, into),
            value => into.push((way.clone(), value.clone())),
        }
        way.pop();
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => Value::String(without_password(text)).to_string(),
        value => value.to_string(),
    }
}

/// A URL with dots for its password, wherever that stands.
fn without_password(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    // What cannot be read may be a password all through.
    let Ok(mut url) = reqwest::Url::parse(text) else { return HIDDEN.to_owned() };
    if url.password().is_none() && url.query().is_none() {
        return text.to_owned();
    }
    if url.password().is_some() {
        let _ = url.set_password(Some(HIDDEN));
    }
    if url.query().is_some() {
        let pairs: Vec<_> = url
            .query_pairs()
            .map(|(name, value)| {
                let secret = name.to_ascii_lowercase().contains("pass");
                (name.to_string(), if secret { HIDDEN.to_owned() } else { value.to_string() })
            })
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.into()
}

const HIDDEN: &str = "***";
