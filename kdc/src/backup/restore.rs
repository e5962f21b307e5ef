//! Puts a backup back: all of it is looked through before anything is replaced.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_protocol::UnixMillis;

use super::swap::{Held, sqlite, with_sides};
use super::writer::Finished;
use super::{BackupError, Checked, Header, MOMENT, Opened, Reader, Writer, check, folder, open};
use crate::audit::SealKind;
use crate::cell::{Cell, CellError};
use crate::clock::Clock;
use crate::config::{Config, Environment};
use crate::keyring::MasterKeySource;
use crate::store::{self, Replaced, Store, StoreError};
use crate::watermark::{self, Acceptance, Kept, Undone, Watermark, WatermarkError};

/// A backup that is to be put back.
#[derive(Debug, Clone)]
pub struct Restore {
    /// The backup.
    pub file: PathBuf,
    /// Who opens it.
    pub identities: Option<PathBuf>,
    /// The cell's folder: one that is there, or one to make.
    pub folder: PathBuf,
    /// The database, if it is not the one that the configuration names.
    pub database: Option<String>,
    /// What the environment says over the configuration.
    pub environment: Environment,
    /// Whether a zone in a PostgreSQL database is replaced.
    pub replaced: Replaced,
    /// The file of the master key, if it is not where the configuration says.
    pub master_key: Option<PathBuf>,
    /// A folder with the server's certificate, its key and the roots, for a folder that is made.
    pub tls: Option<PathBuf>,
    /// What the lost machine remembered of revocations, for a folder that is made.
    pub revocations: Option<PathBuf>,
    /// Whether what was revoked since stays so.
    pub kept: Kept,
    /// Whether single rows may be damaged.
    pub accept_damage: bool,
}

/// What was put back.
#[derive(Debug, serde::Serialize)]
pub struct Restored {
    /// Of which zone.
    pub zone: String,
    /// When the backup was made, in Unix milliseconds.
    pub created_at: u64,
    /// What is in it.
    pub checked: Checked,
    /// Who would have got something back.
    pub undone: Vec<Undone>,
    /// Whether it was taken from them again.
    pub kept: bool,
    /// Whether anything was known of revocations here.
    pub remembered: bool,
    /// Where the SQLite database is that was there.
    pub before: Option<PathBuf>,
    /// Whether the server has a new certificate, of a new root that no host trusts yet.
    pub new_certificates: bool,
}

impl Restore {
    /// Puts it back. A KDC of the cell must not run.
    ///
    /// # Errors
    /// [`BackupError`]: then the cell is as it was.
    pub async fn run(&self, clock: &dyn Clock) -> Result<Restored, BackupError> {
        let opened = open(&self.file, self.identities.as_deref())?;
        if self.folder.join(Config::FILE).exists() {
            return self.fill(&self.folder, opened, clock).await;
        }
        let building = folder::begin(&self.folder)?;
        let made = async {
            let new_certificates = folder::fill(self, &building, &opened, clock)?;
            let restored = self.fill(&building, opened, clock).await?;
            folder::finish(&building, &self.folder)?;
            Ok(Restored { new_certificates, ..restored })
        };
        made.await.inspect_err(|_| drop(fs::remove_dir_all(&building)))
    }

    async fn fill(
        &self,
        folder: &Path,
        mut opened: Opened,
        clock: &dyn Clock,
    ) -> Result<Restored, BackupError> {
        let header = opened.header().clone();
        let environment = self.environment.clone().with_database(self.database.as_deref());
        let config = Config::load(&folder.join(Config::FILE), Some(&environment)).map_err(CellError::from)?;
        let source = self.master_key.clone().map(MasterKeySource::File);
        let master = source.as_ref().unwrap_or(&config.master_key).load().map_err(CellError::from)?;
        let mut scratch = Scratch::of(&config, folder)?;
        let replaces = self.may_replace(&config, &header).await?;

        // Everything in the backup is looked through here, away from the database.
        let url = format!("sqlite:{}", scratch.path.display());
        store::load(&url, header.schema, Replaced::No, &mut opened).await?;
        let cell = Cell::of(store::connect(&url).await?, master).await?;
        let found = self.judge(&cell, &header, &config, replaces, clock).await;
        let Judged { checked, watermark, undone, remembered } = match found {
            Ok(found) => found,
            Err(error) => {
                cell.store.close().await;
                return Err(error);
            }
        };
        let now = clock.now();
        let before = match scratch.held.take() {
            Some(held) => {
                cell.store.close().await;
                held.swap(&scratch.path, now)?
            }
            None => {
                let copied = copy(&cell, &scratch.path, &config.database, self.replaced, now.0).await;
                cell.store.close().await;
                copied?;
                None
            }
        };
        // After the database: a crash in between leaves a record by which the database counts as accepted.
        let store = store::connect(&config.database).await?;
        watermark.take_in(&*store).await?;
        let written = watermark.write(&*store).await;
        store.close().await;
        written.map_err(refused)?;
        Ok(Restored {
            zone: header.zone,
            created_at: header.created_at,
            checked,
            undone,
            kept: self.kept == Kept::Keep,
            remembered,
            before,
            new_certificates: false,
        })
    }

    /// Whether the database that is there may go, and the last record of its log.
    async fn may_replace(&self, config: &Config, header: &Header) -> Result<u64, BackupError> {
        let path = sqlite(&config.database);
        if path.as_ref().is_some_and(|path| !path.exists()) {
            return Ok(0);
        }
        let old = match store::connect(&config.database).await {
            Ok(old) => old,
            // A PostgreSQL database without tables gets them; one that cannot be read must be replaced on purpose.
            Err(StoreError::Schema(_)) if path.is_none() => return Ok(0),
            Err(error) if path.is_none() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(error = %crate::http::chain(&error), "the old database cannot be read: it is kept beside the new one");
                return Ok(0);
            }
        };
        let found = last_record(&old, header).await;
        old.close().await;
        let last = found?;
        let wal = path.map(|path| {
            let [_, wal, _] = with_sides(&path);
            wal
        });
        if wal.is_some_and(|wal| fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0)) {
            return Err(BackupError::Refused(format!(
                "another command uses {}: wait for it, then repeat; nothing was changed",
                config.database
            )));
        }
        Ok(last)
    }

    /// Looks through the database in the scratch file, and takes from those again who were revoked since.
    async fn judge(
        &self,
        cell: &Cell,
        header: &Header,
        config: &Config,
        replaces: u64,
        clock: &dyn Clock,
    ) -> Result<Judged, BackupError> {
        let checked = check(&cell.store, header, Some(cell)).await?;
        if let Some(first) = checked.findings.first().filter(|_| !self.accept_damage) {
            return Err(BackupError::Refused(format!(
                "{} rows of the backup do not hold; the first: {first}. Take another backup, or put back the rest with \
                 --accept-damage; nothing was changed",
                checked.findings.len()
            )));
        }
        let watermark = match cell.remembered(&config.revocations).await {
            Ok(watermark) => watermark,
            Err(CellError::Watermark(WatermarkError::Altered { .. })) if self.kept == Kept::Forget => {
                Watermark::anew(&config.revocations, &cell.audit_key)
            }
            Err(CellError::Watermark(error)) => return Err(refused(error)),
            Err(error) => return Err(error.into()),
        };
        let remembered = watermark.head().is_some();
        let verdict = watermark::check(&*cell.store, &watermark.known(), &cell.audit_key).await?;
        let acceptance =
            Acceptance { kept: self.kept, replaces, backup: Some(header.created_at), now: clock.now() };
        watermark::accept(cell, &watermark, &verdict, &acceptance)
            .await
            .map_err(|error| BackupError::Refused(crate::http::chain(&error).to_string()))?;
        cell.store.note_moment(MOMENT, UnixMillis(header.created_at)).await?;
        Ok(Judged { checked, watermark: Arc::new(watermark), undone: verdict.undone, remembered })
    }
}

/// What was found in a backup.
struct Judged {
    checked: Checked,
    watermark: Arc<Watermark>,
    undone: Vec<Undone>,
    remembered: bool,
}

/// Where a backup is looked through.
struct Scratch {
    path: PathBuf,
    /// The SQLite database that it becomes.
    held: Option<Held>,
    /// A folder that goes with it.
    _folder: Option<tempfile::TempDir>,
}

impl Scratch {
    fn of(config: &Config, folder: &Path) -> Result<Self, BackupError> {
        if let Some(path) = sqlite(&config.database) {
            let held = Held::take(&path)?;
            return Ok(Self { path: held.building()?, held: Some(held), _folder: None });
        }
        let scratch = tempfile::Builder::new().prefix(".restoring-").tempdir_in(folder);
        let scratch = scratch.map_err(BackupError::file(folder))?;
        Ok(Self { path: scratch.path().join("backup.db"), held: None, _folder: Some(scratch) })
    }
}

impl Drop for Scratch {
    /// What became the database has another name by now.
    fn drop(&mut self) {
        for file in with_sides(&self.path) {
            let _ = fs::remove_file(file);
        }
    }
}

/// The last record of the database that is there, which must be of the same zone.
async fn last_record(old: &Arc<dyn Store>, header: &Header) -> Result<u64, BackupError> {
    match old.zone().await {
        Ok(zone) if zone.zone.as_str() != header.zone => {
            return Err(BackupError::Refused(format!(
                "the database is of the zone {}, and the backup of {}: nothing was changed",
                zone.zone, header.zone
            )));
        }
        Err(StoreError::Empty) => return Ok(0),
        _ => {}
    }
    Ok(old.audit_seals(SealKind::Head).await?.pop().map_or(0, |head| head.link.seq))
}

/// Copies what was looked through into a PostgreSQL database, in one transaction.
async fn copy(
    cell: &Cell,
    scratch: &Path,
    url: &str,
    replaced: Replaced,
    now: u64,
) -> Result<(), BackupError> {
    let lines = scratch.with_extension("lines");
    let file = File::create_new(&lines).map_err(BackupError::file(&lines))?;
    let mut writer = Writer::new(BufWriter::new(file), now, cell.audit_key.public(), Vec::new());
    cell.store.dump(&mut writer).await?;
    let Finished { mut out, header, .. } = writer.finish().map_err(StoreError::Copy)?;
    out.flush().map_err(BackupError::file(&lines))?;
    let schema = header.map_or(0, |header| header.schema);
    let input = BufReader::new(File::open(&lines).map_err(BackupError::file(&lines))?);
    let mut reader = Reader::new(input)?.ok_or_else(|| BackupError::Foreign { path: lines.clone() })?;
    Ok(store::load(url, schema, replaced, &mut reader).await?)
}

fn refused(error: WatermarkError) -> BackupError {
    match error {
        WatermarkError::File { path, source } => BackupError::File { path, source },
        WatermarkError::Store(error) => error.into(),
        error => BackupError::Refused(error.to_string()),
    }
}
