//! Makes a backup: in one look at the database, while the KDC goes on.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use age::Encryptor;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::writer::Finished;
use super::{BackupError, CellFile, MOMENT, Writer};
use crate::administration::Caller;
use crate::audit::Action;
use crate::cell::{self, Cell, CellError};
use crate::clock::Clock;
use crate::config::Config;
use crate::files;
use crate::store::Act;

/// A backup that is to be made.
pub struct Backup<'a> {
    /// Of which cell.
    pub cell: &'a Cell,
    /// Its configuration.
    pub config: &'a Config,
    /// The file of that.
    pub config_path: &'a Path,
    /// The file to write.
    pub path: &'a Path,
    /// Who can open it.
    pub encryptor: Encryptor,
    /// How many they are.
    pub recipients: usize,
    /// Whether the cell's secrets are put in, too.
    pub secrets: Secrets,
}

/// Whether the master key and the keys of TLS are in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// Whoever opens it has everything.
    In,
    /// It opens nothing without the master key.
    Out,
}

/// A backup that was made.
#[derive(Debug, serde::Serialize)]
pub struct Created {
    /// Its file.
    pub file: PathBuf,
    /// The zone.
    pub zone: String,
    /// When, in Unix milliseconds.
    pub created_at: u64,
    /// The end of the audit log that is in it.
    pub audit_head: Option<String>,
    /// How many rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// How large the file is.
    pub bytes: u64,
    /// Whether the master key is in it.
    pub master_key: bool,
}

impl Backup<'_> {
    /// Makes it. The file has its name only once it is whole and on the disk; then the database notes when that was.
    ///
    /// # Errors
    /// [`BackupError::Refused`] when there is such a file; other [`BackupError`]s.
    pub async fn create(self, clock: &dyn Clock) -> Result<Created, BackupError> {
        let Self { cell, path, secrets, recipients, .. } = self;
        let exists = || BackupError::Refused(format!("{} exists already: name another file", path.display()));
        if path.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let now = clock.now();
        let files = self.files()?;
        let part = Part::begin(path)?;
        let out = BufWriter::with_capacity(1 << 18, &part.file);
        let written = BackupError::file(&part.path);
        let out = self.encryptor.wrap_output(out).map_err(written)?;
        let mut writer = Writer::new(out, now.0, cell.audit_key.public(), files);
        cell.store.dump(&mut writer).await?;
        let Finished { out, header, counts: rows } =
            writer.finish().map_err(crate::store::StoreError::Copy)?;
        let finished = out.finish().and_then(|mut out| out.flush());
        finished.map_err(BackupError::file(&part.path))?;
        let bytes = part.become_whole(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => exists(),
            _ => BackupError::file(path)(error),
        })?;
        let created = Created {
            file: path.to_owned(),
            zone: cell.zone.zone.to_string(),
            created_at: now.0,
            audit_head: header.and_then(|header| header.audit_head),
            rows,
            bytes,
            master_key: secrets == Secrets::In,
        };
        let event = Caller::console()
            .event(now, Action::BackupCreate, "")
            .with("audit_head", created.audit_head.clone())
            .with("parties", created.rows.get("party").copied())
            .with("recipients", recipients)
            .with("master_key", created.master_key);
        cell.store.note_moment(MOMENT, now).await?;
        cell.store.commit(&Act { writes: Vec::new(), events: vec![event] }, &cell.audit_key).await?;
        Ok(created)
    }

    /// The files of the cell that go in.
    fn files(&self) -> Result<Vec<CellFile>, BackupError> {
        let Self { config, config_path, .. } = self;
        let mut files =
            vec![CellFile { file: Config::FILE.to_owned(), text: configuration(config_path)?.into() }];
        let mut add = |name: &str, path: &Path| -> Result<(), BackupError> {
            let text = fs::read_to_string(path).map_err(BackupError::file(path))?;
            files.push(CellFile { file: name.to_owned(), text: Zeroizing::new(text) });
            Ok(())
        };
        add(ROOTS, &config.tls.roots)?;
        if self.secrets == Secrets::In {
            add(CERTIFICATE, &config.tls.certificate)?;
            add(CERTIFICATE_KEY, &config.tls.key)?;
            let signs = config.tls.roots.with_extension("key");
            if signs.is_file() {
                add(ROOTS_KEY, &signs)?;
            }
            let text = config.master_key.load().map_err(CellError::from)?.text();
            files.push(CellFile { file: cell::MASTER_KEY.to_owned(), text });
        }
        Ok(files)
    }
}

/// The configuration as it may lie in a backup: without the password of a database, however it is spelt, and without
/// comments, for nobody knows what is in them.
fn configuration(path: &Path) -> Result<String, BackupError> {
    let text = Zeroizing::new(fs::read_to_string(path).map_err(BackupError::file(path))?);
    let refused = || BackupError::Refused(format!("{} is no configuration", path.display()));
    let mut table = text.parse::<toml::Table>().map_err(|_| refused())?;
    if let Some(toml::Value::String(url)) = table.get_mut("database") {
        *url = cell::without_password(url);
    }
    toml::to_string(&table).map_err(|_| refused())
}

/// The file of a backup before it is whole.
struct Part {
    path: PathBuf,
    file: File,
    whole: bool,
}

impl Part {
    /// Begins one. What a run that was killed has left is written over; one that goes on keeps its own.
    fn begin(path: &Path) -> Result<Self, BackupError> {
        let name = path.file_name();
        let name = name.ok_or_else(|| BackupError::Refused(format!("{} is no file", path.display())))?;
        let mut name = name.to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&part)
            .map_err(BackupError::file(&part))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(BackupError::Refused(format!("another backup to {} goes on", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(BackupError::file(&part)(error)),
        }
        file.set_len(0).map_err(BackupError::file(&part))?;
        Ok(Self { path: part, file, whole: false })
    }

    /// Makes it durable and gives it its name, unless another file has that by now. Says how large it is.
    fn become_whole(mut self, path: &Path) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        // Not a second link: what a crash left of that would be written over by the next backup.
        match renameat_with(CWD, &self.path, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // Some network file systems cannot say it in one step.
            Err(Errno::INVAL | Errno::NOSYS) if path.symlink_metadata().is_err() => {
                fs::rename(&self.path, path)?;
            }
            Err(Errno::INVAL | Errno::NOSYS) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) => return Err(error.into()),
        }
        self.whole = true;
        files::sync_folder(path)?;
        Ok(bytes)
    }
}

impl Drop for Part {
    /// Half a backup helps nobody.
    fn drop(&mut self) {
        if !self.whole {
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) const ROOTS: &str = "tls/roots.pem";
pub(super) const ROOTS_KEY: &str = "tls/roots.key";
pub(super) const CERTIFICATE: &str = "tls/server.pem";
pub(super) const CERTIFICATE_KEY: &str = "tls/server.key";
