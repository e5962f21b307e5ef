//! Opens the file of a backup: with an identity of age, or as `age --decrypt` left it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use age::{Decryptor, IdentityFile};

use super::{BackupError, Reader};

/// A backup that is open.
pub type Opened = Reader<Box<dyn BufRead + Send>>;

/// Opens a backup. Without identities it must be decrypted already.
///
/// # Errors
/// [`BackupError`].
pub fn open(path: &Path, identities: Option<&Path>) -> Result<Opened, BackupError> {
    let foreign = || BackupError::Foreign { path: path.to_owned() };
    let file = File::open(path).map_err(BackupError::file(path))?;
    let mut file = BufReader::with_capacity(BUFFER, file);
    let encrypted = file.fill_buf().map_err(BackupError::file(path))?.starts_with(AGE);
    let input: Box<dyn BufRead + Send> = if encrypted {
        let identities = identities.ok_or_else(|| BackupError::Encrypted { path: path.to_owned() })?;
        let keys = self::identities(identities)?;
        let decryptor = Decryptor::new_buffered(file).map_err(|_| foreign())?;
        let plain = decryptor
            .decrypt(keys.iter().map(|key| -> &dyn age::Identity { &**key }))
            .map_err(|error| BackupError::Identity { path: path.to_owned(), reason: error.to_string() })?;
        Box::new(BufReader::with_capacity(BUFFER, plain))
    } else {
        Box::new(file)
    };
    Reader::new(input)?.ok_or_else(foreign)
}

fn identities(path: &Path) -> Result<Vec<Box<dyn age::Identity + Send + Sync>>, BackupError> {
    let none = |reason: String| BackupError::NoIdentity { path: path.to_owned(), reason };
    let file = File::open(path).map_err(BackupError::file(path))?;
    let file = IdentityFile::from_buffer(BufReader::new(file)).map_err(|error| none(error.to_string()))?;
    let keys = file.into_identities().map_err(|error| none(error.to_string()))?;
    if keys.is_empty() {
        return Err(none("it is empty".to_owned()));
    }
    Ok(keys)
}

const AGE: &[u8] = b"age-encryption.org/";
const BUFFER: usize = 1 << 17;
