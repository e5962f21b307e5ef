//! The log as a file: a line of JSON each, and everything in it that a verifier needs.
//!
//! The first line says what it is. Then come the trim seals, the checkpoints and the records, each in their order, and the
//! head seal is the last line. Whoever has the zone's public key from elsewhere need not trust the file, nor a KDC.

use std::io::{self, BufRead, Read as _};
use std::str::FromStr;

use keycell_protocol::{UnixMillis, Zone};
use serde::{Deserialize, Serialize};

use super::{Link, Record, Seal, SealKind, Seals, Verdict, Verifier, hex};

/// Looks through an exported log. With `pinned`, the seals are held against that key, whatever the file says; `noted` are
/// records that an auditor noted down. Holds the seals in memory and one line.
///
/// # Errors
/// [`ExportError`] when the file is no export, or is none any more. What is wrong with the log is in the verdict.
pub fn verify_export(
    file: impl BufRead,
    pinned: Option<&PublicKey>,
    noted: &[Link],
) -> Result<Exported, ExportError> {
    let mut lines = Lines { file, number: 0, buffer: Vec::new() };
    let (zone, public) = lines.header()?;
    let key = pinned.copied().unwrap_or(public);
    let mut seals = Seals::default();
    let mut line = lines.next()?;
    while let Some(Line::Seal(seal)) = &line {
        match seal.kind {
            SealKind::Head => break,
            SealKind::Checkpoint => seals.checkpoints.push(seal.clone()),
            SealKind::Trim => seals.trims.push(seal.clone()),
        }
        if seals.checkpoints.len() + seals.trims.len() > MAX_SEALS {
            return Err(lines.wrong("there are more seals than any log has"));
        }
        line = lines.next()?;
    }
    let mut verifier = Verifier::new(&zone, &key.0, seals, noted);
    while let Some(Line::Record(record)) = &line {
        verifier.record(record);
        line = lines.next()?;
    }
    if let Some(Line::Seal(head)) = line {
        if head.kind != SealKind::Head {
            return Err(
                lines.wrong("a seal is out of place: only the head seal comes after the first record")
            );
        }
        verifier.head(head);
        if lines.next()?.is_some() {
            return Err(lines.wrong("there is something after the head seal, which is the last line"));
        }
    }
    Ok(Exported { verdict: verifier.finish(), zone, public, pinned: pinned.is_some() })
}

/// The result of a look through an exported log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// What is wrong with it.
    pub verdict: Verdict,
    /// The zone that the file names.
    pub zone: Zone,
    /// The key that the file names.
    pub public: PublicKey,
    /// Whether the seals were held against a key from elsewhere. If not, whoever wrote the file may have signed it.
    pub pinned: bool,
}

/// The public half of a zone's audit key: 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of these bytes, if there are 32.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(Self).ok_or("the zone's audit key is 64 hexadecimal digits")
    }
}

/// Why a file cannot be read as an exported log.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {line} of the file is damaged: {reason}. Export the log again, or ask for the file again")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The first line does not say what it must.
    #[error(
        "the file is no audit log of Keycell: its first line must be the one that `keycell audit export` writes"
    )]
    NotALog,
}

/// The first line of an export.
pub(super) fn header(zone: &Zone, public: &[u8]) -> Vec<u8> {
    line(&HeaderLine { format: FORMAT.into(), zone: zone.to_string(), public_key: hex::encode(public) })
}

/// A seal's line of an export.
pub(super) fn seal(seal: &Seal) -> Vec<u8> {
    let Seal { kind, link, at, summary, signature } = seal;
    line(&SealLine {
        seal: kind.as_str().into(),
        seq: link.seq,
        hash: hex::encode(&link.hash),
        at: *at,
        summary: summary.clone(),
        signature: hex::encode(signature),
    })
}

/// A record's line of an export.
pub(super) fn record(record: &Record) -> Vec<u8> {
    let Record { seq, at, actor, action, target, outcome, request, address, detail, hash } = record.clone();
    let hash = hex::encode(&hash);
    line(&RecordLine { seq, at, actor, action, target, outcome, request, address, detail, hash })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    format: String,
    zone: String,
    public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealLine {
    seal: String,
    seq: u64,
    hash: String,
    at: UnixMillis,
    summary: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine {
    seq: u64,
    at: UnixMillis,
    actor: String,
    action: String,
    target: String,
    outcome: String,
    request: String,
    address: String,
    // A text, not an object: the hash covers its bytes.
    detail: String,
    hash: String,
}

/// A line after the first.
enum Line {
    Seal(Seal),
    Record(Record),
}

struct Lines<R> {
    file: R,
    number: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn header(&mut self) -> Result<(Zone, PublicKey), ExportError> {
        if !self.advance()? {
            return Err(ExportError::NotALog);
        }
        let header: HeaderLine = serde_json::from_slice(&self.buffer).map_err(|_| ExportError::NotALog)?;
        if header.format != FORMAT {
            return Err(ExportError::NotALog);
        }
        let zone = header.zone.parse().map_err(|_| self.wrong("its zone is none"))?;
        let public = header.public_key.parse().map_err(|reason: &str| self.wrong(reason))?;
        Ok((zone, public))
    }

    fn next(&mut self) -> Result<Option<Line>, ExportError> {
        if !self.advance()? {
            return Ok(None);
        }
        // Only a seal has this name; a record that has it is refused for it.
        let line = if self.buffer.starts_with(b"{\"seal\":") {
            serde_json::from_slice(&self.buffer).map(Parsed::Seal)
        } else {
            serde_json::from_slice(&self.buffer).map(Parsed::Record)
        };
        match line.map_err(|error| self.wrong(&json_error(&error)))? {
            Parsed::Seal(line) => self.seal(line).map(Some),
            Parsed::Record(line) => self.record(line).map(Some),
        }
    }

    fn seal(&self, line: SealLine) -> Result<Line, ExportError> {
        let SealLine { seal, seq, hash, at, summary, signature } = line;
        let kind = SealKind::from_str(&seal).map_err(|_| self.wrong("there is no such kind of seal"))?;
        let link = Link { seq, hash: hex::decode(&hash).ok_or_else(|| self.wrong(NOT_A_HASH))? };
        let signature = hex::decode::<64>(&signature)
            .ok_or_else(|| self.wrong("the signature is not 128 hexadecimal digits"))?
            .to_vec();
        Ok(Line::Seal(Seal { kind, link, at, summary, signature }))
    }

    fn record(&self, line: RecordLine) -> Result<Line, ExportError> {
        let RecordLine { seq, at, actor, action, target, outcome, request, address, detail, hash } = line;
        let hash = hex::decode(&hash).ok_or_else(|| self.wrong(NOT_A_HASH))?;
        Ok(Line::Record(Record { seq, at, actor, action, target, outcome, request, address, detail, hash }))
    }

    /// Reads the next line; false at the end.
    fn advance(&mut self) -> Result<bool, ExportError> {
        self.buffer.clear();
        self.number = self.number.saturating_add(1);
        let mut bounded = self.file.by_ref().take(MAX_LINE as u64 + 1);
        bounded.read_until(b'\n', &mut self.buffer)?;
        if self.buffer.is_empty() {
            return Ok(false);
        }
        if self.buffer.pop_if(|last| *last == b'\n').is_none() {
            let too_long = self.buffer.len() > MAX_LINE;
            return Err(self.wrong(if too_long { "it is too long" } else { "it is cut off" }));
        }
        Ok(true)
    }

    fn wrong(&self, reason: &str) -> ExportError {
        ExportError::Line { line: self.number, reason: reason.to_owned() }
    }
}

enum Parsed {
    Seal(SealLine),
    Record(RecordLine),
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Texts and numbers always become JSON.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

// Without the place that the parser adds: its line is always 1.
fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    format!("column {}: {text}", error.column())
}

/// The longest line that is read, in bytes.
pub const MAX_LINE: usize = 16 << 20;

/// One for every thousand of a billion records.
const MAX_SEALS: usize = 1_000_000;

const FORMAT: &str = "keycell audit log 1";

const NOT_A_HASH: &str = "the hash is not 64 hexadecimal digits";

#[cfg(test)]
mod tests;
