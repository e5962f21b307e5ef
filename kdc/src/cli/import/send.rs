//! The rows on their way to the KDC, and what is remembered of them until the answer comes.

use std::io;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream::poll_fn;
use http_body_util::StreamBody;
use hyper::body::Frame;
use keycell_protocol::{LongTermKey, Name, Zone};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::input::{Input, Wrong};
use super::state::Seed;
use crate::api::ImportRow;

/// What was read of the input so far.
#[derive(Clone)]
pub(super) struct Sender {
    shared: Arc<Mutex<Read>>,
}

#[derive(Default)]
struct Read {
    rows: u64,
    /// What was sent, in the order of sending.
    sent: Vec<Option<Sent>>,
    /// What was not sent, because it says no party.
    wrong: Vec<(u64, Wrong)>,
}

/// A row that was sent.
pub(super) struct Sent {
    /// Its number in the input.
    pub(super) row: u64,
    pub(super) name: Name,
    pub(super) secret: Zeroizing<[u8; LongTermKey::SIZE]>,
}

impl Sender {
    /// Starts to read, and returns the body that carries the rows.
    pub(super) fn start(input: Input, zone: Zone, seed: Arc<Seed>) -> (Self, reqwest::Body) {
        let (chunks, mut receive) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
        let sender = Self { shared: Arc::default() };
        let reader = sender.clone();
        tokio::task::spawn_blocking(move || reader.read(input, &zone, &seed, &chunks));
        let frames = poll_fn(move |context| {
            receive.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
        });
        (sender, reqwest::Body::wrap(StreamBody::new(frames)))
    }

    /// The row that was sent as the `line`th, once.
    pub(super) fn take(&self, line: u64) -> Option<Sent> {
        let at = usize::try_from(line.checked_sub(1)?).ok()?;
        self.with(|read| read.sent.get_mut(at)?.take())
    }

    /// How many rows there were, and those that say no party.
    pub(super) fn finish(&self) -> (u64, Vec<(u64, Wrong)>) {
        self.with(|read| (read.rows, std::mem::take(&mut read.wrong)))
    }

    fn read(&self, input: Input, zone: &Zone, seed: &Seed, chunks: &mpsc::Sender<io::Result<Bytes>>) {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = input.read(|row, parsed| {
            let line = parsed.and_then(|parsed| prepare(row, parsed, zone, seed));
            let line = self.with(|read| {
                read.rows = row;
                match line {
                    Ok((sent, line)) => {
                        read.sent.push(Some(sent));
                        Some(line)
                    }
                    Err(wrong) => {
                        read.wrong.push((row, wrong));
                        None
                    }
                }
            });
            chunk.extend_from_slice(line.as_deref().map_or(&[], Vec::as_slice));
            if chunk.len() < CHUNK - MAX_LINE {
                return true;
            }
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
            chunks.blocking_send(Ok(full.into())).is_ok()
        });
        // An input that cannot be read to its end must not look as if it were at its end.
        let last = read.map(|()| chunk.into());
        let _ = chunks.blocking_send(last);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Read) -> T) -> T {
        act(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A row as it is remembered, and its line as it is sent.
fn prepare(
    number: u64,
    row: ImportRow,
    zone: &Zone,
    seed: &Seed,
) -> Result<(Sent, Zeroizing<Vec<u8>>), Wrong> {
    let wrong = |what: String| Wrong { name: row.name.clone(), what };
    let name = Name::in_zone(&row.name, zone).map_err(|error| wrong(error.to_string()))?;
    let secret = match &row.key {
        Some(key) => {
            let mut secret = Zeroizing::new([0; LongTermKey::SIZE]);
            match URL_SAFE_NO_PAD.decode_slice(key.as_bytes(), &mut *secret) {
                Ok(LongTermKey::SIZE) => secret,
                _ => return Err(wrong("its key is not 32 bytes in base64url".to_owned())),
            }
        }
        None => seed.key(&name),
    };
    let row = ImportRow {
        name: name.to_string(),
        key: Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret))),
        note: row.note,
        log_tickets: row.log_tickets,
    };
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    // Texts and a truth only: there is nothing that JSON could not say.
    let _ = serde_json::to_writer(&mut *line, &row);
    line.push(b'\n');
    Ok((Sent { row: number, name, secret }, line))
}

/// About how many bytes are sent at once.
const CHUNK: usize = 32 * 1024;
/// Room for a usual line.
const MAX_LINE: usize = 1024;
/// How many chunks may wait to be sent.
const CHUNKS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_sent_with_its_full_name_and_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed::passing(&folder.path().join("none")).unwrap();
        let row = |name: &str, key: Option<&str>| ImportRow {
            name: name.to_owned(),
            key: key.map(|key| Zeroizing::new(key.to_owned())),
            note: String::new(),
            log_tickets: false,
        };
        let zone = "z".parse().unwrap();
        let (sent, line) = prepare(3, row("a", None), &zone, &seed).unwrap();
        assert_eq!((sent.row, sent.name.as_str()), (3, "a@z"));
        assert_eq!(*sent.secret, *seed.key(&sent.name));
        let line: ImportRow = serde_json::from_slice(&line).unwrap();
        assert_eq!((&*line.name, line.key.unwrap().len()), ("a@z", 43));
        let given = URL_SAFE_NO_PAD.encode([9; 32]);
        assert_eq!(*prepare(1, row("a@z", Some(&given)), &zone, &seed).unwrap().0.secret, [9; 32]);
        for (name, key) in [("not a name", None), ("a", Some("short")), ("a", Some(""))] {
            assert!(prepare(1, row(name, key), &zone, &seed).is_err());
        }
    }
}
