//! Makes the folder of a cell anew from a backup, where the machine with the old one is lost.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::create::{CERTIFICATE, CERTIFICATE_KEY, ROOTS, ROOTS_KEY};
use super::{BackupError, Opened, Restore};
use crate::cell::{self, CellError};
use crate::certificates;
use crate::clock::Clock;
use crate::config::Config;
use crate::files;
use crate::keyring::MasterKeySource;
use crate::tls;

/// Begins a folder beside the one that is to be made; what an attempt that was killed has left goes.
pub(super) fn begin(folder: &Path) -> Result<PathBuf, BackupError> {
    let empty = match fs::read_dir(folder) {
        Ok(mut there) => there.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(BackupError::file(folder)(error)),
    };
    if !empty {
        let folder = folder.display();
        let file = Config::FILE;
        return Err(BackupError::Refused(format!(
            "{folder} has no {file} and is not empty: name the folder of a cell, or one to make; nothing was changed"
        )));
    }
    let name = folder
        .file_name()
        .ok_or_else(|| BackupError::Refused(format!("{} cannot be made: name a folder", folder.display())))?;
    let building = folder.with_file_name(format!(".{}.restoring", name.to_string_lossy()));
    match fs::remove_dir_all(&building) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BackupError::file(&building)(error));
        }
        _ => {}
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(BackupError::file(parent))?;
    }
    cell::private_folder(&building)?;
    Ok(building)
}

/// Writes all but the database into it. Says whether the certificates are new.
pub(super) fn fill(
    restore: &Restore,
    folder: &Path,
    opened: &Opened,
    clock: &dyn Clock,
) -> Result<bool, BackupError> {
    let lacks = |name: &str| {
        BackupError::Refused(format!("the backup holds no {name}: it was not made by `keycell backup`"))
    };
    let text = opened.cell_file(Config::FILE).ok_or_else(|| lacks(Config::FILE))?;
    write(&folder.join(Config::FILE), text)?;
    let environment = restore.environment.clone().with_database(restore.database.as_deref());
    let config = Config::load(&folder.join(Config::FILE), Some(&environment)).map_err(CellError::from)?;
    if let MasterKeySource::File(path) = &config.master_key
        && !path.exists()
    {
        match (&restore.master_key, opened.cell_file(cell::MASTER_KEY)) {
            (Some(given), _) => {
                let text = MasterKeySource::File(given.clone()).load().map_err(CellError::from)?.text();
                write(path, &text)?;
            }
            (None, Some(text)) => write(path, text)?,
            (None, None) => {
                return Err(BackupError::Refused(
                    "the backup holds no master key, which is right: name its file with --master-key, or rebuild it with \
                     `keycell master-key restore`; nothing was changed"
                        .to_owned(),
                ));
            }
        }
    }
    if let Some(from) = &restore.revocations {
        write(&config.revocations, &fs::read_to_string(from).map_err(BackupError::file(from))?)?;
    }
    let new = certificates(restore, &config, opened, clock)?;
    tls::server(&config.tls).map_err(CellError::from)?;
    Ok(new)
}

/// Gives the folder its name.
pub(super) fn finish(building: &Path, folder: &Path) -> Result<(), BackupError> {
    fs::rename(building, folder).map_err(BackupError::file(folder))?;
    files::sync_folder(folder).map_err(BackupError::file(folder))
}

fn certificates(
    restore: &Restore,
    config: &Config,
    opened: &Opened,
    clock: &dyn Clock,
) -> Result<bool, BackupError> {
    let tls = &config.tls;
    let signs = tls.roots.with_extension("key");
    let places = [
        (ROOTS, &tls.roots),
        (CERTIFICATE, &tls.certificate),
        (CERTIFICATE_KEY, &tls.key),
        (ROOTS_KEY, &signs),
    ];
    if places.iter().take(3).all(|(_, path)| path.exists()) {
        return Ok(false);
    }
    if let Some(given) = &restore.tls {
        for (name, path) in places {
            let from = given.join(Path::new(name).file_name().unwrap_or_default());
            if name == ROOTS_KEY && !from.exists() {
                continue;
            }
            write(path, &fs::read_to_string(&from).map_err(BackupError::file(&from))?)?;
        }
        return Ok(false);
    }
    if opened.cell_file(CERTIFICATE_KEY).is_some() {
        for (name, path) in places {
            if let Some(text) = opened.cell_file(name) {
                write(path, text)?;
            }
        }
        return Ok(false);
    }
    let made = certificates::make(&config.urls, config.listen, clock.now()).map_err(CellError::from)?;
    write(&tls.roots, &made.roots)?;
    write(&tls.certificate, &made.server)?;
    write(&tls.key, &made.server_key)?;
    write(&signs, &made.roots_key)?;
    Ok(true)
}

fn write(path: &Path, text: &str) -> Result<(), BackupError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        cell::private_folder(folder)?;
    }
    files::write_new(path, text.as_bytes(), 0o600).map_err(BackupError::file(path))
}
