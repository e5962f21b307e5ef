//! The versions of the master key that one source holds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{KeyringError, MasterKey, MasterKeySource};

/// One master key or several, each of another version, and where they come from.
#[derive(Clone)]
pub struct MasterKeys {
    keys: BTreeMap<u32, Arc<MasterKey>>,
    source: Option<MasterKeySource>,
}

impl MasterKeys {
    /// Reads the text form: a line for each version, in any order; `place` is where it was found, for the error.
    pub(super) fn parse(text: &str, place: &str) -> Result<Self, KeyringError> {
        let mut keys = BTreeMap::new();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            let key = MasterKey::parse(line, place)?;
            let version = key.version();
            if keys.insert(version, Arc::new(key)).is_some() {
                return Err(KeyringError::Twice { place: place.to_owned(), version });
            }
        }
        Ok(Self { keys, source: None })
    }

    pub(super) fn from(self, source: &MasterKeySource) -> Self {
        Self { source: Some(source.clone()), ..self }
    }

    /// Where they come from; `None` for keys that were made here.
    #[must_use]
    pub const fn source(&self) -> Option<&MasterKeySource> {
        self.source.as_ref()
    }

    /// The keys in the order of their versions.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<MasterKey>> {
        self.keys.values()
    }

    /// Takes in a key, unless there is one of its version.
    pub(super) fn take(&mut self, key: &Arc<MasterKey>) {
        self.keys.entry(key.version()).or_insert_with(|| key.clone());
    }

    /// The key of that version.
    #[must_use]
    pub fn version(&self, version: u32) -> Option<&Arc<MasterKey>> {
        self.keys.get(&version)
    }

    /// The versions there are, the lowest first.
    #[must_use]
    pub fn versions(&self) -> Vec<u32> {
        self.keys.keys().copied().collect()
    }

    /// The highest version there is.
    #[must_use]
    pub fn highest(&self) -> u32 {
        self.keys.keys().next_back().copied().unwrap_or(0)
    }

    /// With this key too.
    ///
    /// # Errors
    /// [`KeyringError::Twice`] when there is one of its version.
    pub fn with(mut self, key: MasterKey) -> Result<Self, KeyringError> {
        let version = key.version();
        if self.keys.contains_key(&version) {
            return Err(KeyringError::Twice { place: "the master key".to_owned(), version });
        }
        self.keys.insert(version, Arc::new(key));
        Ok(self)
    }

    /// Without the key of that version.
    #[must_use]
    pub fn without(mut self, version: u32) -> Self {
        self.keys.remove(&version);
        self
    }

    /// Only the key of that version.
    #[must_use]
    pub(super) fn only(mut self, version: u32) -> Self {
        self.keys.retain(|known, _| *known == version);
        self
    }

    /// The text form, a line for each version.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        // Room for all of it, so that no half-written copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(self.keys.len() * 128));
        self.iter().for_each(|key| text.push_str(&key.text()));
        text
    }
}

impl From<Arc<MasterKey>> for MasterKeys {
    fn from(key: Arc<MasterKey>) -> Self {
        Self { keys: BTreeMap::from([(key.version(), key)]), source: None }
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, source } = self;
        let versions: Vec<_> = keys.keys().collect();
        f.debug_struct("MasterKeys")
            .field("versions", &versions)
            .field("source", source)
            .finish_non_exhaustive()
    }
}
