//! The seed that the keys of an import are made from, and the file that keeps it until every row is done.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{LongTermKey, Name};
use zeroize::Zeroizing;

use super::super::Outcome;
use super::NO_LINK;
use crate::fields::fields;
use crate::files;

/// What the keys of one import are made from.
pub(super) struct Seed {
    prk: Prk,
    /// The state file, locked.
    kept: Option<(PathBuf, File)>,
    resumed: bool,
}

impl Seed {
    /// The seed in the state file; a new one in a new file, if there is none.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let mut file = options().create(true).open(path).map_err(|error| failed(path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{}: this import is running already", path.display()).into());
            }
            Err(TryLockError::Error(error)) => return Err(failed(path, &error).into()),
        }
        let (seed, resumed) = match read(path, &mut file)? {
            Some(seed) => (seed, true),
            None => {
                let seed = draw();
                let text = Zeroizing::new(format!("{HEADER}{}\n", URL_SAFE_NO_PAD.encode(*seed)));
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                written.and_then(|()| files::sync_folder(path)).map_err(|error| failed(path, &error))?;
                (seed, false)
            }
        };
        Ok(Self { prk: prk(&seed), kept: Some((path.to_owned(), file)), resumed })
    }

    /// The seed in the state file; one that is not kept, if there is none.
    pub(super) fn passing(path: &Path) -> Outcome<Self> {
        let seed = match options().open(path) {
            Ok(mut file) => read(path, &mut file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(path, &error).into()),
        };
        Ok(Self { prk: prk(&seed.unwrap_or_else(draw)), kept: None, resumed: false })
    }

    /// Whether an earlier run has left it.
    pub(super) const fn resumed(&self) -> bool {
        self.resumed
    }

    /// The key of a party: HKDF-SHA256 (RFC 5869) without salt, the party's full name in the info.
    pub(super) fn key(&self, name: &Name) -> Zeroizing<[u8; LongTermKey::SIZE]> {
        let info = fields(&[LABEL, name.as_str().as_bytes()]);
        let mut key = Zeroizing::new([0; LongTermKey::SIZE]);
        // Fails only for more than 255 blocks, and this is one.
        let info = [&*info];
        let filled = self.prk.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(&mut *key));
        debug_assert!(filled.is_ok());
        key
    }

    /// Removes the state file: the keys cannot be made again.
    pub(super) fn remove(&self) -> Outcome {
        let Some((path, _lock)) = &self.kept else { return Ok(()) };
        let removed = fs::remove_file(path).and_then(|()| files::sync_folder(path));
        Ok(removed.map_err(|error| {
            format!("all is done, but {} cannot be removed: {error}; remove it", path.display())
        })?)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(NO_LINK);
    options
}

/// The seed that is there; `None` in a file that was only just made.
fn read(path: &Path, file: &mut File) -> Outcome<Option<Zeroizing<[u8; SIZE]>>> {
    let shown = path.display();
    let metadata = file.metadata().map_err(|error| failed(path, &error))?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(format!(
            "others could read or have made {shown}: whoever knows it knows the keys; remove it and begin anew"
        )
        .into());
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(128).read_to_string(&mut text).map_err(|error| failed(path, &error))?;
    if text.is_empty() {
        return Ok(None);
    }
    let mut seed = Zeroizing::new([0; SIZE]);
    let encoded = text.strip_prefix(HEADER).and_then(|rest| rest.strip_suffix('\n'));
    match encoded.map(|encoded| URL_SAFE_NO_PAD.decode_slice(encoded, &mut *seed)) {
        Some(Ok(SIZE)) => Ok(Some(seed)),
        // Cut off while it was written: nothing was sent yet.
        _ if HEADER.starts_with(text.as_str()) || text.starts_with(HEADER) && !text.ends_with('\n') => {
            file.set_len(0).map_err(|error| failed(path, &error))?;
            io::Seek::rewind(file).map_err(|error| failed(path, &error))?;
            Ok(None)
        }
        _ => Err(format!("{shown} is no state file of an import; name another with --state").into()),
    }
}

fn draw() -> Zeroizing<[u8; SIZE]> {
    let mut seed = Zeroizing::new([0; SIZE]);
    rand_core::Rng::fill_bytes(&mut crate::random::system(), &mut *seed);
    seed
}

fn prk(seed: &[u8; SIZE]) -> Prk {
    Salt::new(HKDF_SHA256, &[]).extract(seed)
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("the state file {}: {error}", path.display())
}

const SIZE: usize = 32;
const HEADER: &str = "keycell import 1 ";
const LABEL: &[u8] = b"keycell import 1";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn a_run_after_another_makes_the_same_keys_and_a_done_one_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let seed = Seed::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let key = seed.key(&name("a@z"));
        assert_ne!(*key, *seed.key(&name("b@z")));
        assert!(!seed.resumed() && Seed::open(&path).is_err(), "it is locked");
        drop(seed);
        assert_eq!(*Seed::passing(&path).unwrap().key(&name("a@z")), *key);
        let again = Seed::open(&path).unwrap();
        assert!(again.resumed());
        assert_eq!(*again.key(&name("a@z")), *key);
        again.remove().unwrap();
        assert!(!path.exists());
        assert_ne!(*Seed::open(&path).unwrap().key(&name("a@z")), *key);
    }

    #[test]
    fn what_others_could_know_or_is_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        drop(Seed::open(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Seed::open(&path).is_err() && Seed::passing(&path).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, "precious\n").unwrap();
        assert!(Seed::open(&path).is_err());
        fs::write(&path, text.get(..20).unwrap()).unwrap();
        assert!(!Seed::open(&path).unwrap().resumed(), "it was cut off");
        assert!(Seed::open(&path).unwrap().resumed());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Seed::open(&link).is_err());
    }

    #[test]
    fn keys_are_made_as_they_always_were() {
        let seed = Seed { prk: prk(&[7; SIZE]), kept: None, resumed: false };
        let key = seed.key(&name("web.host1@example.com"));
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "75ea508da9ac0952c391c97b400229b897952594937ca262829df4b62b3b7b96");
    }
}
