//! Profiles: where KDCs are, by name, in a file of the administrator's own.
//!
//! ```toml
//! default = "cell1"
//! [profile.cell1]
//! urls = ["https://kdc1.example.com:8443", "https://kdc2.example.com:8443"]   # or: url = "…"
//! roots = "cell1.pem"          # relative to this file
//! token_file = "cell1.token"
//! ```

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::Outcome;
use super::token::others_may_change;
use crate::files;

/// The file of profiles.
pub(in crate::cli) struct Profiles {
    path: PathBuf,
    form: Form,
}

/// One KDC or several of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
    /// The file of root certificates to trust; the cell's own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) roots: Option<PathBuf>,
    /// The file with the administrator's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) token_file: Option<PathBuf>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

impl Profile {
    pub(in crate::cli) const fn new(
        urls: Vec<String>,
        roots: Option<PathBuf>,
        token_file: Option<PathBuf>,
    ) -> Self {
        Self { url: None, urls, roots, token_file }
    }

    /// The KDCs, in the order in which they are tried.
    pub(in crate::cli) fn urls(&self) -> &[String] {
        self.url.as_ref().map_or(&self.urls, std::slice::from_ref)
    }
}

impl Profiles {
    /// Reads the file of `KEYCELL_PROFILES`, or `keycell/profiles.toml` where the system keeps configuration. Without
    /// a file there are no profiles. One that others may change is refused: it says who gets the token.
    pub(in crate::cli) fn load() -> Outcome<Self> {
        Self::read(place())
    }

    fn read(path: PathBuf) -> Outcome<Self> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path, form: Form::default() });
            }
            Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
        };
        if others_may_change(&path)? {
            let path = path.display();
            return Err(format!(
                "{path} is another user's or others can change it: look through it, then run: chmod 600 {path}"
            )
            .into());
        }
        let wrong = |what: String| format!("{}: {}", path.display(), what.trim().replace('\n', " "));
        let form: Form = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        for (name, profile) in &form.profile {
            if profile.url.is_some() != profile.urls.is_empty() {
                return Err(wrong(format!("profile {name} needs either url or urls")).into());
            }
        }
        Ok(Self { path, form })
    }

    /// Where they are kept.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.path
    }

    /// All of them, by name.
    pub(in crate::cli) const fn all(&self) -> &BTreeMap<String, Profile> {
        &self.form.profile
    }

    /// The name of the one that counts when none is named.
    pub(in crate::cli) fn default_name(&self) -> Option<&str> {
        self.form.default.as_deref()
    }

    /// The profile of this name, with its files where they really are.
    pub(in crate::cli) fn take(&self, name: &str) -> Outcome<Profile> {
        let mut profile = self.form.profile.get(name).cloned().ok_or_else(|| self.missing(name))?;
        let folder = self.path.parent().unwrap_or(Path::new(""));
        for file in [&mut profile.roots, &mut profile.token_file].into_iter().flatten() {
            *file = folder.join(&*file);
        }
        Ok(profile)
    }

    pub(super) fn take_default(&self) -> Outcome<Option<Profile>> {
        self.default_name().map(|name| self.take(name)).transpose()
    }

    /// Adds one, or puts it in the place of the one of that name.
    pub(in crate::cli) fn set(&mut self, name: &str, profile: Profile) {
        self.form.profile.insert(name.to_owned(), profile);
    }

    /// Removes one; the default too if it was that.
    pub(in crate::cli) fn remove(&mut self, name: &str) -> Outcome {
        self.form.profile.remove(name).ok_or_else(|| self.missing(name))?;
        self.form.default.take_if(|default| default == name);
        Ok(())
    }

    /// Says which one counts when none is named.
    pub(in crate::cli) fn set_default(&mut self, name: Option<&str>) -> Outcome {
        if let Some(name) = name.filter(|name| !self.form.profile.contains_key(*name)) {
            return Err(self.missing(name).into());
        }
        self.form.default = name.map(str::to_owned);
        Ok(())
    }

    /// Writes the file anew.
    pub(in crate::cli) fn save(&self) -> Outcome {
        let failed = |error: io::Error| format!("cannot write {}: {error}", self.path.display());
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let text = format!("{HEADER}{}", toml::to_string(&self.form)?);
        Ok(files::replace(&self.path, text.as_bytes(), 0o600).map_err(failed)?)
    }

    fn missing(&self, name: &str) -> String {
        let path = self.path.display();
        format!("there is no profile {name} in {path}; `keycell profile list` shows those there are")
    }
}

fn place() -> PathBuf {
    if let Some(path) = env::var_os("KEYCELL_PROFILES") {
        return path.into();
    }
    let folder = env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".config");
    folder.unwrap_or_else(home).join("keycell/profiles.toml")
}

const HEADER: &str =
    "# Where KDCs are. `keycell profile` edits this file, and keeps no other comment than this one.\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome<Profiles> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profiles.toml");
        fs::write(&path, text).unwrap();
        Profiles::read(path)
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/profiles.toml");
        let mut profiles = Profiles::read(path.clone()).unwrap();
        assert!(profiles.take_default().unwrap().is_none());
        let made =
            Profile::new(vec!["https://a:1".to_owned()], Some("a.pem".into()), Some("/b.token".into()));
        profiles.set("a", made);
        profiles.set_default(Some("a")).unwrap();
        assert!(profiles.set_default(Some("b")).is_err());
        profiles.save().unwrap();

        let mut read = Profiles::read(path).unwrap();
        let taken = read.take_default().unwrap().unwrap();
        assert_eq!(taken.roots, Some(folder.path().join("new/a.pem")), "relative to the file");
        assert_eq!(taken.token_file, Some("/b.token".into()));
        read.remove("a").unwrap();
        assert!(read.take_default().unwrap().is_none() && read.remove("a").is_err());
    }

    #[test]
    fn a_file_that_others_may_change_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profiles.toml");
        fs::write(&path, "").unwrap();
        for (mode, good) in [(0o600, true), (0o644, true), (0o664, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Profiles::read(path.clone()).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_clear_is_refused() {
        assert!(read("[profile.a]\nurl = \"https://a\"").is_ok());
        for bad in [
            "[profile.a]\nurl = \"https://a\"\ntoken = \"secret\"",
            "defualt = \"a\"",
            "[profile.a]",
            "[profile.a]\nurl = \"https://a\"\nurls = [\"https://b\"]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
