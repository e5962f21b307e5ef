//! The variables of the environment that stand for settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use super::ConfigError;

/// The variables whose names begin with `KEYCELL_`, but for those of the command line itself.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Their names; a value may hold a password.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// What this process was given.
    ///
    /// # Errors
    /// [`ConfigError::Encoding`].
    pub fn of_process() -> Result<Self, ConfigError> {
        Self::new(std::env::vars_os())
    }

    /// Takes what begins with `KEYCELL_`.
    ///
    /// # Errors
    /// [`ConfigError::Encoding`].
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let ours = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let ours = name.starts_with(PREFIX)
                && !COMMAND_LINE.contains(&name.as_str())
                && !is_of_kubernetes(&name);
            ours.then_some((name, value))
        });
        let text = |(name, value): (String, OsString)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(ConfigError::Encoding { name }),
        };
        ours.map(text).collect::<Result<_, _>>().map(Self)
    }

    /// The same with another database, if one is named.
    #[must_use]
    pub fn with_database(mut self, url: Option<&str>) -> Self {
        self.0.extend(url.map(|url| (DATABASE.to_owned(), url.to_owned())));
        self
    }

    /// Each variable with the way to its setting, the most general first.
    ///
    /// # Errors
    /// [`ConfigError::Variable`] for a name that can be no setting's.
    pub(super) fn settings(&self) -> Result<Vec<Variable<'_>>, ConfigError> {
        let mut settings = self.0.iter().map(setting).collect::<Result<Vec<_>, _>>()?;
        settings.sort_by_key(|setting| setting.path.len());
        Ok(settings)
    }
}

/// A variable that stands for a setting.
pub(super) struct Variable<'a> {
    pub(super) name: &'a str,
    pub(super) path: Vec<String>,
    pub(super) text: &'a str,
}

impl Variable<'_> {
    /// What it says: as TOML where it is that, else as text. `127.0.0.1:8443` is a text, `100` is a number.
    pub(super) fn value(&self) -> toml::Value {
        let text = || toml::Value::String(self.text.to_owned());
        format!("value = {}", self.text)
            .parse::<toml::Table>()
            .ok()
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(text)
    }
}

fn setting<'a>((name, text): (&'a String, &'a String)) -> Result<Variable<'a>, ConfigError> {
    // From before there was one for each setting.
    let rest = match name.as_str() {
        LOG => "LOG__LEVEL",
        name => name.strip_prefix(PREFIX).unwrap_or_default(),
    };
    let path: Vec<_> = rest.split("__").map(str::to_ascii_lowercase).collect();
    if path.iter().any(String::is_empty) || rest.chars().any(|one| one.is_ascii_lowercase()) {
        return Err(ConfigError::Variable { name: name.clone() });
    }
    Ok(Variable { name, path, text })
}

/// Whether Kubernetes makes it, for a service whose name begins with `keycell`: such as `KEYCELL_SERVICE_HOST`, or
/// `KEYCELL_KDC_PORT_8443_TCP_ADDR`. No setting is called so.
fn is_of_kubernetes(name: &str) -> bool {
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || name.ends_with("_PORT")
            || name.contains("_PORT_"))
}

const PREFIX: &str = "KEYCELL_";
const DATABASE: &str = "KEYCELL_DATABASE";
const LOG: &str = "KEYCELL_LOG";
/// Those that say where the command line finds things; `keycell --help` explains them.
pub(crate) const COMMAND_LINE: [&str; 7] = [
    "KEYCELL_CONFIG",
    "KEYCELL_PROFILES",
    "KEYCELL_PROFILE",
    "KEYCELL_URL",
    "KEYCELL_ROOTS",
    "KEYCELL_TOKEN_FILE",
    "KEYCELL_TOKEN",
];
