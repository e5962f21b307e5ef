//! An encrypted archive of key files: tar, encrypted with age.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use age::stream::StreamWriter;
use tar::{Builder, EntryType, Header};

use super::super::Outcome;
use super::super::recipients::Recipients;
use crate::clock::{Clock as _, SystemClock};
use crate::files;

/// An archive that is being written, under another name until it is whole.
pub(super) struct Archive {
    tar: Builder<StreamWriter<BufWriter<File>>>,
    new: PathBuf,
    path: PathBuf,
    made_at: u64,
}

impl Archive {
    /// Begins one. With `again`, it takes the place of the one that may be there.
    pub(super) fn create(path: &Path, recipients: &Recipients, again: bool) -> Outcome<Self> {
        let shown = path.display();
        if path.exists() && !again {
            return Err(format!("{shown} exists already; name another file with --archive").into());
        }
        let encryptor = recipients.encryptor()?;
        let mut name = path.file_name().ok_or_else(|| format!("{shown} is no file"))?.to_owned();
        name.push(".part");
        let new = path.with_file_name(name);
        // What a run that was cut off has left goes. A new file is ours alone, and not behind a link.
        let removed = match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let file =
            removed.and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new));
        let file = file.map_err(|error| format!("cannot write {}: {error}", new.display()))?;
        let out = encryptor.wrap_output(BufWriter::with_capacity(1 << 18, file))?;
        Ok(Self {
            tar: Builder::new(out),
            new,
            path: path.to_owned(),
            made_at: SystemClock.now().seconds().0,
        })
    }

    /// Adds a file, mode 0600.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_mtime(self.made_at);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, name, content)
    }

    /// Makes it durable and gives it its name.
    pub(super) fn finish(self) -> io::Result<PathBuf> {
        let mut out = self.tar.into_inner()?.finish()?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&self.new, &self.path)?;
        files::sync_folder(&self.path)?;
        Ok(self.path)
    }
}
