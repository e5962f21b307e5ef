//! The key file of one party: what a host needs, and nothing else.

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{Epoch, Generation, LongTermKey, Name, RatchetPeriod};
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A party's name, its long-term key, and where its KDCs are.
///
/// ```text
/// {"keycell": 1, "name": "web.host1@example.com", "generation": 1, "epoch": 20439, "key": base64url of 32 bytes,
///  "ratchet_period": 86400, "urls": ["https://kdc1.example.com:7423"], "tls_roots": "-----BEGIN CERTIFICATE-----…"}
/// ```
///
/// Not `Clone`: each copy of a key in memory is one more to lose. It prints no secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct AgentKey {
    /// The party.
    pub name: Name,
    /// Its key.
    pub key: LongTermKey,
    /// How long an epoch lasts in the party's zone.
    pub ratchet_period: RatchetPeriod,
    /// Where the zone's KDCs are.
    pub kdc: KdcAddress,
}

/// Where the KDCs of a zone are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KdcAddress {
    /// The base URLs, in the order in which they are tried, for instance `https://kdc1.example.com:7423`.
    pub urls: Vec<String>,
    /// The certificates to trust, and no others, in PEM. May be empty when no KDC is ever asked.
    pub tls_roots: String,
}

impl AgentKey {
    /// Puts one together.
    #[must_use]
    pub const fn new(name: Name, key: LongTermKey, ratchet_period: RatchetPeriod, kdc: KdcAddress) -> Self {
        Self { name, key, ratchet_period, kdc }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`], also when anybody else could read or change the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        let failed = |error| KeyFileError::Read { path: path.to_owned(), error };
        let file = OpenOptions::new()
            .read(true)
            // A pipe in its place would hang the agent.
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        // The opened file is looked at, not the path: nobody can exchange it in between.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(KeyFileError::NotAFile { path: path.to_owned() });
        }
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            return Err(KeyFileError::Owner { path: path.to_owned(), owner: metadata.uid(), me });
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyFileError::Mode { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        if metadata.len() > MAX_SIZE {
            return Err(KeyFileError::Form { path: path.to_owned(), what: "it is longer than 1 MiB".into() });
        }
        // Room for all of it, so that no half-read buffer with the key in it is left behind.
        let mut json = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
        file.take(MAX_SIZE).read_to_end(&mut json).map_err(failed)?;
        Self::from_json(&json).map_err(|what| KeyFileError::Form { path: path.to_owned(), what })
    }

    /// Writes a key file that only its owner can read, all of it or nothing, and never over another file.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] when there is one; [`KeyFileError::Write`].
    pub fn write_new(&self, path: impl AsRef<Path>) -> Result<(), KeyFileError> {
        let path = path.as_ref();
        write_new(path, &self.to_json()).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                KeyFileError::Exists { path: path.to_owned() }
            } else {
                KeyFileError::Write { path: path.to_owned(), error }
            }
        })
    }

    /// Reads the JSON of a key file.
    ///
    /// # Errors
    /// What is wrong with it, in words that never repeat the key.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        // An error of serde may quote what it did not expect, so only the place is told.
        let form: Form<'_> = serde_json::from_slice(json)
            .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
        if form.keycell != VERSION {
            return Err(format!(
                "it is of version {}, and this program reads version {VERSION}",
                form.keycell
            ));
        }
        let name = form.name.parse().map_err(|error| format!("\"name\": {error}"))?;
        let mut secret = Zeroizing::new([0; LongTermKey::SIZE]);
        match URL_SAFE_NO_PAD.decode_slice(form.key, &mut *secret) {
            Ok(LongTermKey::SIZE) => {}
            _ => return Err("\"key\" is not 32 bytes in base64url".into()),
        }
        let key = LongTermKey::new(Generation(form.generation), Epoch(form.epoch), *secret);
        let ratchet_period =
            RatchetPeriod::from_seconds(form.ratchet_period).ok_or("\"ratchet_period\" is zero")?;
        Ok(Self { name, key, ratchet_period, kdc: KdcAddress { urls: form.urls, tls_roots: form.tls_roots } })
    }

    /// The JSON of its key file, with the key in it.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new([0; 43]);
        let len = URL_SAFE_NO_PAD.encode_slice(self.key.expose_secret(), &mut *key).unwrap_or_default();
        let form = Form {
            keycell: VERSION,
            name: self.name.as_str(),
            generation: self.key.generation().0,
            epoch: self.key.epoch().0,
            key: key.get(..len).and_then(|key| core::str::from_utf8(key).ok()).unwrap_or_default(),
            ratchet_period: self.ratchet_period.seconds(),
            urls: self.kdc.urls.clone(),
            tls_roots: self.kdc.tls_roots.clone(),
        };
        // Never grown while the key is in it; a PEM's line ends take two bytes each.
        let urls: usize = self.kdc.urls.iter().map(|url| 2 * url.len() + 16).sum();
        let mut json = Zeroizing::new(Vec::with_capacity(1024 + urls + 2 * self.kdc.tls_roots.len()));
        // Strings and numbers only: there is nothing that JSON could not say.
        let _ = serde_json::to_writer_pretty(&mut *json, &form);
        json.push(b'\n');
        json
    }
}

/// Why a key file is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("the key file {0} belongs to user {owner}, and this program runs as {me}; run: chown {me} {0}", .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        me: u32,
    },
    /// Others can read or change it.
    #[error("others can read or change the key file {0} (mode {mode:04o}); run: chmod 600 {0}", .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not a key file.
    #[error("{} is not a Keycell key file: {what}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is a file in its place already.
    #[error("{} exists already and is not overwritten; name another file, or move that one away", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the key file {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    keycell: u32,
    name: &'a str,
    generation: u32,
    epoch: u32,
    // Borrowed, so that parsing makes no second copy of it.
    key: &'a str,
    ratchet_period: u32,
    urls: Vec<String>,
    tls_roots: String,
}

// The key is in it.
impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A temporary file beside it, synced, then linked to its place: a link never overwrites.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = folder.join(format!(".keycell-{:016x}.tmp", crate::system_rng().next_u64()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    written?;
    File::open(folder)?.sync_all()
}

const VERSION: u32 = 1;
const MAX_SIZE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn key() -> AgentKey {
        let kdc = KdcAddress {
            urls: vec!["https://kdc1.example.com:7423".into(), "https://kdc2.example.com:7423".into()],
            tls_roots: "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n".into(),
        };
        let key = LongTermKey::new(Generation(3), Epoch(20_439), [0xA5; 32]);
        AgentKey::new("web.host1@example.com".parse().unwrap(), key, RatchetPeriod::DEFAULT, kdc)
    }

    #[test]
    fn what_is_written_is_read_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        key().write_new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let read = AgentKey::load(&path).unwrap();
        assert_eq!((&read.name, &read.kdc), (&key().name, &key().kdc));
        assert_eq!(read.key.expose_secret(), key().key.expose_secret());
        assert_eq!((read.key.generation(), read.key.epoch()), (Generation(3), Epoch(20_439)));
        assert_eq!(read.ratchet_period, RatchetPeriod::DEFAULT);

        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = AgentKey::load(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Mode { .. }), "{mode:o}");
            assert!(error.to_string().ends_with(&format!("chmod 600 {}", path.display())), "{error}");
        }
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(key().write_new(&path), Err(KeyFileError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(matches!(key().write_new(folder.path().join("no/where")), Err(KeyFileError::Write { .. })));
        assert!(matches!(AgentKey::load(folder.path()), Err(KeyFileError::NotAFile { .. })));
        assert!(matches!(AgentKey::load(folder.path().join("none")), Err(KeyFileError::Read { .. })));
    }

    #[test]
    fn what_is_wrong_is_told_and_the_key_is_not() {
        let json = String::from_utf8(key().to_json().to_vec()).unwrap();
        let secret = URL_SAFE_NO_PAD.encode([0xA5; 32]);
        for (from, to, what) in [
            ("\"keycell\": 1", "\"keycell\": 2", "version 2"),
            ("web.host1@", "web.host1", "the @ is missing"),
            (secret.as_str(), "pQ", "32 bytes"),
            (secret.as_str(), &secret.replace('p', "!"), "32 bytes"),
            (secret.as_str(), &format!("{secret}pQ"), "32 bytes"),
            ("86400", "0", "zero"),
            ("\"urls\"", "\"uris\"", "line "),
            ("\"epoch\": 20439", &format!("\"epoch\": \"{secret}\""), "line "),
        ] {
            assert!(json.contains(from));
            let error = AgentKey::from_json(json.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.contains(what), "{error}");
            assert!(!error.contains(&secret), "{error}");
        }
        assert!(!format!("{:?}", key()).contains("165"), "0xA5 is 165");
    }
}
