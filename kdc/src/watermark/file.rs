//! The file: lines that are only ever appended, each with a code over itself and all before it.
//!
//! ```text
//! keycell-revocations-1
//! {"party":["a@z",{"revision":5,…}]} CODE     CODE = base64url(HMAC-SHA256(key, CODE of the line before || line))
//! {"head":["17:a5…",null]} CODE               the end of the audit log when the lines before were written
//! ```
//!
//! The first line ends with `2` once there is a line in it that releases before version 2 do not know, and with `3` once a
//! host was denied, or an identity of the KDC was retired, of which the second line tells then. All are read. The codes cover which it is.
//!
//! Two KDCs that share a folder share the file: whoever appends holds its lock, and takes in what the other wrote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::known::{Entry, IdentityMark};
use super::{Known, State, WatermarkError};
use crate::clock::{Clock as _, SystemClock};
use crate::files;

/// What its first line says: releases of an earlier one do not know all lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    One,
    Two,
    Three,
}

impl Version {
    /// The one that these lines need.
    fn of<'e>(entries: impl Iterator<Item = &'e Entry>) -> Self {
        entries.map(Entry::version).max().unwrap_or(Self::One)
    }

    const fn first_line(self) -> &'static str {
        match self {
            Self::One => "keycell-revocations-1",
            Self::Two => "keycell-revocations-2",
            Self::Three => "keycell-revocations-3",
        }
    }

    fn parse(line: &str) -> Option<Self> {
        [Self::One, Self::Two, Self::Three].into_iter().find(|version| version.first_line() == line)
    }
}

/// How far the file was written or read.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Which file it is.
    inode: u64,
    /// How long it is.
    length: u64,
    /// Its version.
    version: Version,
    /// How many lines it has.
    lines: usize,
    /// The code of its last line.
    code: String,
}

/// Reads the file, if it is there. A last line without its end is what a crash has left: nobody was told that it is there.
pub(super) fn read(path: &Path, key: &hmac::Key) -> Result<Option<(Known, Written)>, WatermarkError> {
    match File::open(path) {
        Ok(mut file) => read_open(path, key, &mut file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

fn read_open(path: &Path, key: &hmac::Key, file: &mut File) -> Result<(Known, Written), WatermarkError> {
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed(path))?;
    let inode = file.metadata().map_err(failed(path))?.ino();
    let altered = |line| WatermarkError::Altered { path: path.to_owned(), line };
    let mut known = Known::default();
    let mut written = Written { inode, length: 0, version: Version::One, lines: 0, code: String::new() };
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(content) = line.strip_suffix(b"\n") else { break };
        let number = written.lines + 1;
        let content = std::str::from_utf8(content).map_err(|_| altered(number))?;
        if number == 1 {
            written.version = match Version::parse(content) {
                Some(version) => version,
                None if is_newer(content) => return Err(WatermarkError::Newer { path: path.to_owned() }),
                None => return Err(altered(number)),
            };
        } else {
            let (entry, code) = content.rsplit_once(' ').ok_or_else(|| altered(number))?;
            let tag = URL_SAFE_NO_PAD.decode(code).map_err(|_| altered(number))?;
            hmac::verify(key, &covered(&written, entry), &tag).map_err(|_| altered(number))?;
            known.take(serde_json::from_str(entry).map_err(|_| altered(number))?);
            code.clone_into(&mut written.code);
        }
        written.lines = number;
        written.length += line.len() as u64;
    }
    if written.lines == 0 {
        return Err(altered(1));
    }
    Ok((known, written))
}

/// What the file says of the KDC's identities, for who has not the key to check it: who has the database of before has none.
/// A file that lies here keeps a KDC from starting, as one that was altered does anyway.
pub(super) fn retired(path: &Path) -> Option<IdentityMark> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(RETIRED_LINES).read_to_end(&mut start).ok()?;
    let mut lines = start.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    Version::parse(first).filter(|version| *version >= Version::Three)?;
    let (entry, _) = std::str::from_utf8(lines.next()?).ok()?.rsplit_once(' ')?;
    match serde_json::from_str(entry).ok()? {
        Entry::Identities(mark) => Some(mark),
        _ => None,
    }
}

/// Appends what is pending. Where the file is not the one that was last written, what is in it is taken in first.
pub(super) fn append(path: &Path, key: &hmac::Key, state: &mut State) -> Result<(), WatermarkError> {
    let Some(before) = &state.written else { return anew(path, key, state, None) };
    let Some(mut file) = locked(path)? else { return anew(path, key, state, None) };
    let metadata = file.metadata().map_err(failed(path))?;
    if (metadata.ino(), metadata.len()) != (before.inode, before.length) {
        let (theirs, written) = read_open(path, key, &mut file)?;
        for entry in theirs.entries() {
            state.known.take(entry);
        }
        state.written = Some(written);
    }
    let Some(written) = &mut state.written else { return Ok(()) };
    let version = Version::of(state.pending.iter());
    if version > written.version || written.lines > 2 * state.known.len() + SLACK {
        return anew(path, key, state, Some(file));
    }
    let mut next = written.clone();
    let mut lines = String::new();
    for entry in state.pending.iter().cloned().chain(head(&state.known)) {
        add(&mut lines, key, &entry, &mut next);
    }
    // What a crash left of a line goes.
    let done = file
        .set_len(written.length)
        .and_then(|()| file.seek(SeekFrom::Start(written.length)))
        .and_then(|_| file.write_all(lines.as_bytes()))
        .and_then(|()| file.sync_data());
    done.map_err(failed(path))?;
    *written = next;
    state.pending.clear();
    Ok(())
}

/// Writes the whole file in the place of the one that may be there, whose lock is held.
fn anew(path: &Path, key: &hmac::Key, state: &mut State, lock: Option<File>) -> Result<(), WatermarkError> {
    state.known.forget(SystemClock.now());
    let entries: Vec<_> = state.known.entries().chain(head(&state.known)).collect();
    let version = Version::of(entries.iter());
    let mut text = format!("{}\n", version.first_line());
    let mut written = Written { inode: 0, length: 0, version, lines: 1, code: String::new() };
    for entry in &entries {
        add(&mut text, key, entry, &mut written);
    }
    files::replace(path, text.as_bytes(), 0o600).map_err(failed(path))?;
    written.length = text.len() as u64;
    written.inode = fs::metadata(path).map_err(failed(path))?.ino();
    state.written = Some(written);
    state.pending.clear();
    drop(lock);
    Ok(())
}

/// The file with its lock; another KDC that shares it may have put another one into its place meanwhile.
fn locked(path: &Path) -> Result<Option<File>, WatermarkError> {
    loop {
        let file = OpenOptions::new().read(true).write(true).mode(0o600).open(path);
        let file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path)(error)),
        };
        file.lock().map_err(failed(path))?;
        let inode = file.metadata().map_err(failed(path))?.ino();
        if fs::metadata(path).is_ok_and(|now| now.ino() == inode) {
            return Ok(Some(file));
        }
    }
}

fn head(known: &Known) -> Option<Entry> {
    let link = known.head?;
    Some(Entry::Head(link.to_string(), known.accepted.map(|link| link.to_string())))
}

fn add(lines: &mut String, key: &hmac::Key, entry: &Entry, written: &mut Written) {
    let text = serde_json::to_string(entry).unwrap_or_default();
    let code = hmac::sign(key, &covered(written, &text));
    written.code = URL_SAFE_NO_PAD.encode(code.as_ref());
    let line = format!("{text} {}\n", written.code);
    written.length += line.len() as u64;
    written.lines += 1;
    lines.push_str(&line);
}

/// What a line's code covers: the one before is of fixed length, or empty at the first.
fn covered(before: &Written, entry: &str) -> Vec<u8> {
    let label: &[u8] = match before.version {
        Version::One => b"keycell revocation 1",
        Version::Two => b"keycell revocation 2",
        Version::Three => b"keycell revocation 3",
    };
    crate::fields::fields(&[label, before.code.as_bytes(), entry.as_bytes()])
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> WatermarkError + use<> {
    let path = path.to_owned();
    move |source| WatermarkError::File { path, source }
}

/// Whether a first line is of a version that this release does not know.
fn is_newer(first: &str) -> bool {
    first.strip_prefix(PREFIX).is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 3))
}

const PREFIX: &str = "keycell-revocations-";
/// More than the first two lines take.
const RETIRED_LINES: u64 = 1024;
/// So many lines more than twice what counts are not worth writing all of it anew.
const SLACK: usize = 1000;
