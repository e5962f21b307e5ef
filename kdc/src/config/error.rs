//! Why a configuration cannot be used.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a configuration cannot be used. Never with a value in it: a password may stand there.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; `keycell init` makes a new cell", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key is unknown, a value has the wrong type, or is out of its range.
    #[error("{place}: {what}")]
    Value {
        /// Where it stands.
        place: Place,
        /// What is wrong, and what it may be.
        what: String,
    },
    /// A variable is none of the settings.
    #[error(
        "the variable {name} is no setting: docs/running.md lists them, and `keycell --help` the variables of the command line"
    )]
    Variable {
        /// Its name.
        name: String,
    },
    /// A variable is no text.
    #[error("the variable {name} is not UTF-8")]
    Encoding {
        /// Its name.
        name: String,
    },
}

/// Where a value of the configuration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    File {
        /// Which.
        path: PathBuf,
        /// The line, from 1; `None` for what should be there and is not.
        line: Option<usize>,
    },
    /// In the variable of this name.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}, line {line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "the variable {name}"),
        }
    }
}

impl ConfigError {
    /// The file is not TOML.
    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let place = Place::File { path: path.to_owned(), line: Some(line(text, at)) };
        Self::Value { place, what: error.message().to_owned() }
    }
}

/// The line, from 1, of a place in a text.
pub(super) fn line(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}
