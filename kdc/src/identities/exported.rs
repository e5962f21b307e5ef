//! The file in which an identity leaves the KDC's machine: encrypted with a passphrase, in the format of age.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{IdentityName, SignerKey, Zone};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Identity, IdentityError, Passphrase};
use crate::files;

/// An identity on its way. In its file of mode 0600, which `age --decrypt` opens too, it is a JSON text.
pub struct Exported {
    zone: Zone,
    identity: Identity,
}

impl Exported {
    /// An identity of this zone.
    #[must_use]
    pub const fn new(zone: Zone, identity: Identity) -> Self {
        Self { zone, identity }
    }

    /// The zone.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The identity.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The identity, for who takes it in.
    #[must_use]
    pub fn into_identity(self) -> Identity {
        self.identity
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ExportedError`].
    pub fn read(path: &Path, passphrase: &Passphrase) -> Result<Self, ExportedError> {
        let foreign = || ExportedError::Foreign { path: path.to_owned() };
        let file = File::open(path).map_err(ExportedError::file(path))?;
        // Armour that is none, or is cut off, is an error of its reader.
        let content = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => foreign(),
            _ => ExportedError::file(path)(error),
        };
        let decryptor =
            Decryptor::new(ArmoredReader::new(file.take(MAX_FILE))).map_err(|error| match error {
                DecryptError::Io(error) => content(error),
                _ => foreign(),
            })?;
        if !decryptor.is_scrypt() {
            return Err(foreign());
        }
        let mut key = scrypt::Identity::new(passphrase.secret());
        key.set_max_work_factor(MAX_WORK_FACTOR);
        let opened = decryptor.decrypt(std::iter::once(&key as &dyn age::Identity));
        let opened = opened.map_err(|error| match error {
            DecryptError::Io(error) => content(error),
            DecryptError::InvalidHeader | DecryptError::ExcessiveWork { .. } => foreign(),
            // A changed header is not told from another passphrase.
            _ => ExportedError::Passphrase { path: path.to_owned() },
        })?;
        let mut json = Zeroizing::new(Vec::with_capacity(MAX_JSON));
        opened.take(MAX_JSON as u64).read_to_end(&mut json).map_err(content)?;
        Self::from_json(&json)?.ok_or_else(foreign)
    }

    /// Writes a new file, or leaves one alone that holds this very identity: an earlier try was cut short. Reads it back
    /// before anybody relies on it.
    ///
    /// # Errors
    /// [`ExportedError`], also for a file that holds something else.
    pub fn write(&self, path: &Path, passphrase: &Passphrase) -> Result<(), ExportedError> {
        if !path.exists() {
            match files::put_new(path, &self.encrypted(passphrase).map_err(ExportedError::file(path))?, 0o600)
            {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(ExportedError::file(path)(error));
                }
                _ => {}
            }
        }
        if !Self::read(path, passphrase)?.is(self) {
            return Err(ExportedError::Other { path: path.to_owned() });
        }
        // Of a try that was cut short it is not known whether it was durable.
        File::open(path)
            .and_then(|file| file.sync_all())
            .and_then(|()| files::sync_folder(path))
            .map_err(ExportedError::file(path))
    }

    fn encrypted(&self, passphrase: &Passphrase) -> io::Result<Vec<u8>> {
        let mut recipient = scrypt::Recipient::new(passphrase.secret());
        // Not by how fast this machine is just now: it may be busy.
        recipient.set_work_factor(WORK_FACTOR);
        let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient));
        let encryptor = encryptor.map_err(io::Error::other)?;
        let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut sealed = encryptor.wrap_output(armour)?;
        sealed.write_all(&self.to_json())?;
        sealed.finish()?.finish()
    }

    fn is(&self, other: &Self) -> bool {
        let (one, two) = (self.identity.to_secret(), other.identity.to_secret());
        self.zone == other.zone
            && self.identity.name() == other.identity.name()
            && bool::from(one.as_slice().ct_eq(two.as_slice()))
    }

    /// None where it is something else.
    fn from_json(json: &[u8]) -> Result<Option<Self>, IdentityError> {
        let Ok(form) = serde_json::from_slice::<Form<'_>>(json) else { return Ok(None) };
        let mut secret = Zeroizing::new([0; SECRET]);
        if form.keycell_identity != VERSION
            || URL_SAFE_NO_PAD.decode_slice(form.secret, &mut *secret) != Ok(SECRET)
        {
            return Ok(None);
        }
        let identity = Identity::from_secret(form.name, &*secret)?;
        let holds = identity.public()?.signing_key == form.signing_key;
        Ok(holds.then_some(Self { zone: form.zone, identity }))
    }

    fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new([0; SECRET_TEXT]);
        let _ = URL_SAFE_NO_PAD.encode_slice(self.identity.to_secret().as_slice(), &mut *secret);
        let form = Form {
            keycell_identity: VERSION,
            zone: self.zone.clone(),
            name: self.identity.name(),
            signing_key: self.identity.public().map_or(SignerKey::new([0; 32]), |public| public.signing_key),
            secret: std::str::from_utf8(&*secret).unwrap_or_default(),
        };
        // Never grown while the secret is in it.
        let mut json = Zeroizing::new(Vec::with_capacity(MAX_JSON));
        // Strings and numbers only: there is nothing that JSON could not say.
        let _ = serde_json::to_writer_pretty(&mut *json, &form);
        json.push(b'\n');
        json
    }
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { zone, identity } = self;
        f.debug_struct("Exported").field("zone", zone).field("identity", identity).finish()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    keycell_identity: u32,
    zone: Zone,
    name: IdentityName,
    signing_key: SignerKey,
    // Borrowed, so that parsing makes no second copy of it.
    secret: &'a str,
}

/// Why an identity is not exported, or a file not taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportedError {
    /// The file.
    #[error("cannot write or read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no exported identity of a KDC, or not a whole one", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// It was encrypted with another passphrase.
    #[error("{} does not open with this passphrase: it is another one, or the file was changed", path.display())]
    Passphrase {
        /// Which.
        path: PathBuf,
    },
    /// The file is another identity.
    #[error("{} is there and holds another identity: name a file that is not there yet", path.display())]
    Other {
        /// Which.
        path: PathBuf,
    },
    /// What it holds.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl ExportedError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

const VERSION: u32 = 1;
const SECRET: usize = 65;
/// 65 bytes are 87 of base64url.
const SECRET_TEXT: usize = 87;
/// More than a zone's longest name and the rest take.
const MAX_JSON: usize = 1024;
/// More than that is, encrypted.
const MAX_FILE: u64 = 16 * 1024;
/// A second and 256 MB for each passphrase that somebody tries.
const WORK_FACTOR: u8 = if cfg!(test) { 10 } else { 18 };
/// What a file may ask for: a gigabyte.
const MAX_WORK_FACTOR: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mangle::edits;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn exported(zone: &str) -> Exported {
        let identity = Identity::generate(IdentityName::SECONDARY, &mut crate::random::system());
        Exported::new(zone.parse().unwrap(), identity)
    }

    fn passphrase() -> Passphrase {
        Passphrase::new("correct horse battery")
    }

    #[test]
    fn an_identity_is_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secondary.age");
        let exported = exported("z");
        exported.write(&path, &passphrase()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Exported::read(&path, &passphrase()).unwrap().is(&exported));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{text}");
        exported.write(&path, &passphrase()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a second time changes nothing");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "and leaves nothing else");
        let shown = format!("{exported:?}");
        assert_eq!(shown, "Exported { zone: \"z\", identity: Identity { name: IdentityName(2), .. } }");
    }

    #[test]
    fn no_other_file_is_touched_or_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secondary.age");
        let one = exported("z");
        one.write(&path, &passphrase()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let other = Passphrase::new("correct horse battery.");
        for error in [Exported::read(&path, &other).map(drop), one.write(&path, &other)] {
            assert!(matches!(error, Err(ExportedError::Passphrase { .. })), "{error:?}");
        }
        let stranger = exported("z").write(&path, &passphrase());
        assert!(matches!(stranger, Err(ExportedError::Other { .. })), "{stranger:?}");
        let elsewhere =
            Exported::new("y".parse().unwrap(), Exported::read(&path, &passphrase()).unwrap().identity);
        assert!(matches!(elsewhere.write(&path, &passphrase()), Err(ExportedError::Other { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let to_key = {
            let recipient = age::x25519::Identity::generate().to_public();
            age::encrypt_and_armor(&recipient, &one.to_json()).unwrap()
        };
        let of_something = {
            let mut recipient = scrypt::Recipient::new(passphrase().secret());
            recipient.set_work_factor(WORK_FACTOR);
            age::encrypt_and_armor(&recipient, b"my diary").unwrap()
        };
        for wrong in
            [to_key, of_something, text[..text.len() / 2].to_owned(), String::new(), "mine".to_owned()]
        {
            std::fs::write(&path, &wrong).unwrap();
            let read = Exported::read(&path, &passphrase());
            assert!(matches!(read, Err(ExportedError::Foreign { .. })), "{wrong}: {read:?}");
            assert!(matches!(one.write(&path, &passphrase()), Err(ExportedError::Foreign { .. })), "{wrong}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
        let nowhere = folder.path().join("no/secondary.age");
        assert!(matches!(one.write(&nowhere, &passphrase()), Err(ExportedError::File { .. })));
    }

    proptest! {
        #[test]
        fn a_changed_text_is_refused_or_says_whose_it_is(edits in edits()) {
            let whole = exported("z");
            let text = edits.bytes(&whole.to_json());
            match Exported::from_json(&text) {
                Ok(Some(read)) => {
                    let claimed: serde_json::Value = serde_json::from_slice(&text).unwrap();
                    let key = read.identity.public().unwrap().signing_key;
                    prop_assert_eq!(&claimed["signing_key"], &serde_json::to_value(key).unwrap());
                    prop_assert_eq!(&claimed["zone"], read.zone.as_str());
                    prop_assert!(Exported::from_json(&read.to_json()).unwrap().unwrap().is(&read));
                }
                Ok(None) => {}
                Err(error) => {
                    let secret = URL_SAFE_NO_PAD.encode(whole.identity.to_secret());
                    let said = format!("{error} {error:?}");
                    prop_assert!(!said.contains(&secret[10..30]));
                }
            }
        }

        #[test]
        fn a_changed_file_is_refused(edits in edits()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("secondary.age");
            let whole = exported("z");
            let file = whole.encrypted(&passphrase()).unwrap();
            std::fs::write(&path, edits.bytes(&file)).unwrap();
            match Exported::read(&path, &passphrase()) {
                Ok(read) => prop_assert!(read.is(&whole)),
                Err(error) => prop_assert!(
                    matches!(error, ExportedError::Foreign { .. } | ExportedError::Passphrase { .. }),
                    "{:?}", error
                ),
            }
        }
    }
}
