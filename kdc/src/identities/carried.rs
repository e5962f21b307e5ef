//! The file in which an identity is carried off the KDC's machine.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{IdentityName, SignerKey, Zone};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Identity, IdentityError};
use crate::files;

/// An identity on its way: the JSON of a file of mode 0600.
pub struct Carried {
    zone: Zone,
    identity: Identity,
}

impl Carried {
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

    /// Reads a file.
    ///
    /// # Errors
    /// [`CarriedError`].
    pub fn read(path: &Path) -> Result<Self, CarriedError> {
        let foreign = || CarriedError::Foreign { path: path.to_owned() };
        let text = std::fs::read(path).map(Zeroizing::new).map_err(CarriedError::file(path))?;
        let form: Form<'_> = serde_json::from_slice(&text).map_err(|_| foreign())?;
        if form.keycell_identity != VERSION {
            return Err(foreign());
        }
        let mut secret = Zeroizing::new([0; SECRET]);
        if URL_SAFE_NO_PAD.decode_slice(form.secret, &mut *secret) != Ok(SECRET) {
            return Err(foreign());
        }
        let identity = Identity::from_secret(form.name, &*secret)?;
        if identity.public()?.signing_key != form.signing_key {
            return Err(foreign());
        }
        Ok(Self { zone: form.zone, identity })
    }

    /// Writes a new file, or leaves one alone that holds this very identity: an earlier try was cut short. Reads it back
    /// before anybody relies on it.
    ///
    /// # Errors
    /// [`CarriedError`], also for a file that holds something else.
    pub fn write(&self, path: &Path) -> Result<(), CarriedError> {
        match files::write_new(path, &self.to_json()?, 0o600) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(CarriedError::file(path)(error));
            }
            _ => {}
        }
        if !Self::read(path)?.is(self) {
            return Err(CarriedError::Other { path: path.to_owned() });
        }
        // Of a try that was cut short it is not known whether it was durable.
        std::fs::File::open(path)
            .and_then(|file| file.sync_all())
            .and_then(|()| files::sync_folder(path))
            .map_err(CarriedError::file(path))
    }

    fn is(&self, other: &Self) -> bool {
        let (one, two) = (self.identity.to_secret(), other.identity.to_secret());
        self.zone == other.zone
            && self.identity.name() == other.identity.name()
            && bool::from(one.as_slice().ct_eq(two.as_slice()))
    }

    fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, CarriedError> {
        let mut secret = Zeroizing::new([0; SECRET_TEXT]);
        let _ = URL_SAFE_NO_PAD.encode_slice(self.identity.to_secret().as_slice(), &mut *secret);
        let form = Form {
            keycell_identity: VERSION,
            zone: self.zone.clone(),
            name: self.identity.name(),
            signing_key: self.identity.public()?.signing_key,
            secret: std::str::from_utf8(&*secret).unwrap_or_default(),
        };
        // Never grown while the secret is in it.
        let mut json = Zeroizing::new(Vec::with_capacity(1024));
        // Strings and numbers only: there is nothing that JSON could not say.
        let _ = serde_json::to_writer_pretty(&mut *json, &form);
        json.push(b'\n');
        Ok(json)
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { zone, identity } = self;
        f.debug_struct("Carried").field("zone", zone).field("identity", identity).finish()
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

/// Why an identity is not carried off, or a file not taken.
#[derive(Debug, thiserror::Error)]
pub enum CarriedError {
    /// The file.
    #[error("cannot write or read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is there and is not a carried-off identity: name a file that is not there yet", path.display())]
    Foreign {
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

impl CarriedError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

const VERSION: u32 = 1;
const SECRET: usize = 65;
/// 65 bytes are 87 of base64url.
const SECRET_TEXT: usize = 87;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mangle::edits;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn carried(zone: &str) -> Carried {
        let identity = Identity::generate(IdentityName::SECONDARY, &mut crate::random::system());
        Carried::new(zone.parse().unwrap(), identity)
    }

    #[test]
    fn an_identity_is_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secondary.json");
        let carried = carried("z");
        carried.write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Carried::read(&path).unwrap().is(&carried));
        let text = std::fs::read(&path).unwrap();
        carried.write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text, "a second time changes nothing");
        let shown = format!("{carried:?}");
        assert_eq!(shown, "Carried { zone: \"z\", identity: Identity { name: IdentityName(2), .. } }");
    }

    #[test]
    fn no_other_file_is_touched_or_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secondary.json");
        let one = carried("z");
        one.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(matches!(carried("z").write(&path), Err(CarriedError::Other { .. })));
        let elsewhere = Carried::new("y".parse().unwrap(), Carried::read(&path).unwrap().identity);
        assert!(matches!(elsewhere.write(&path), Err(CarriedError::Other { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        for wrong in [
            text.replace("\"keycell_identity\": 1", "\"keycell_identity\": 2"),
            text.replace("\"zone\"", "\"zona\""),
            text.replace("00002", "2"),
            text[..text.len() / 2].to_owned(),
            String::new(),
        ] {
            std::fs::write(&path, &wrong).unwrap();
            assert!(matches!(Carried::read(&path), Err(CarriedError::Foreign { .. })), "{wrong}");
            assert!(matches!(one.write(&path), Err(CarriedError::Foreign { .. })), "{wrong}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wrong);
        }
        let nowhere = folder.path().join("no/secondary.json");
        assert!(matches!(one.write(&nowhere), Err(CarriedError::File { .. })));
    }

    proptest! {
        #[test]
        fn a_changed_file_is_refused_or_says_whose_it_is(edits in edits()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("secondary.json");
            let whole = carried("z");
            let text = whole.to_json().unwrap();
            std::fs::write(&path, edits.bytes(&text)).unwrap();
            match Carried::read(&path) {
                Ok(read) => {
                    let claimed: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                    let key = read.identity.public().unwrap().signing_key;
                    prop_assert_eq!(&claimed["signing_key"], &serde_json::to_value(key).unwrap());
                    prop_assert_eq!(&claimed["zone"], read.zone.as_str());
                    std::fs::write(&path, &*read.to_json().unwrap()).unwrap();
                    prop_assert!(Carried::read(&path).unwrap().is(&read));
                }
                Err(error) => {
                    let secret = URL_SAFE_NO_PAD.encode(whole.identity.to_secret());
                    let said = format!("{error} {error:?}");
                    prop_assert!(!said.contains(&secret[10..30]));
                }
            }
        }
    }
}
