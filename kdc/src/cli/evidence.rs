//! `keycell evidence`

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Subcommand, ValueHint};
use keycell_protocol::{Bundle, Name, Said, UnixMillis};
use serde::Serialize;

use super::Outcome;
use super::moment::time;
use super::output::Output;
use crate::audit::hex;
use crate::files;

/// What a receiver kept of a message whose author proved to have written it. No KDC is asked.
#[derive(Debug, Subcommand)]
pub(super) enum Evidence {
    /// Check who said it, with the bundle of the author's zone and nothing else, and print what was said
    Verify {
        /// The evidence, as an agent kept it
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The bundle of the author's zone; see `keycell bundle`
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        bundle: PathBuf,
        /// Write what was said into a new file
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        body: Option<PathBuf>,
    },
    /// Print what it claims; nothing of that is checked
    Show {
        /// The evidence, as an agent kept it
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

impl Evidence {
    pub(super) fn run(self, output: &Output) -> Outcome {
        match self {
            Self::Verify { file, bundle, body } => verify(&file, &bundle, body.as_deref(), output),
            Self::Show { file } => {
                let said = keycell_protocol::Evidence::claimed(&read(&file)?)
                    .map_err(|error| format!("{}: {error}", file.display()))?;
                print(&said, false, output)
            }
        }
    }
}

fn verify(file: &Path, bundle: &Path, body: Option<&Path>, output: &Output) -> Outcome {
    let json = read_up_to(bundle, Bundle::MAX)?;
    let trusted = Bundle::from_json(&json).map_err(|error| format!("{}: {error}", bundle.display()))?;
    let said = keycell_protocol::Evidence::verify(&read(file)?, &trusted.signers())
        .map_err(|error| format!("{}: {error}", file.display()))?;
    if let Some(path) = body {
        files::write_new(path, &said.body, 0o600).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{} exists already; choose another", path.display()),
            _ => format!("cannot write {}: {error}", path.display()),
        })?;
    }
    print(&said, true, output)
}

#[derive(Debug, Serialize)]
struct View<'a> {
    /// Whether that was checked.
    verified: bool,
    source: &'a Name,
    destination: &'a Name,
    topic: &'a str,
    sent_at: UnixMillis,
    expiration: UnixMillis,
    sequence: u64,
    body_bytes: usize,
    /// Standard base64.
    body: String,
    voucher: Vouched,
}

/// Whose word it is that the key is the source's.
#[derive(Debug, Serialize)]
struct Vouched {
    /// The first 8 bytes of the SHA-256 of the KDC's signing key, in hex.
    signer: String,
    name: Name,
    not_before: UnixMillis,
    not_after: UnixMillis,
    /// In hex.
    public_key: String,
}

impl<'a> View<'a> {
    fn new(said: &'a Said, verified: bool) -> Self {
        let voucher = &said.voucher;
        Self {
            verified,
            source: &said.source,
            destination: &said.destination,
            topic: &said.topic,
            sent_at: said.sent_at,
            expiration: said.expiration.millis(),
            sequence: said.sequence,
            body_bytes: said.body.len(),
            body: STANDARD.encode(&said.body),
            voucher: Vouched {
                signer: hex::encode(voucher.signer().as_bytes()),
                name: voucher.name().clone(),
                not_before: voucher.not_before().millis(),
                not_after: voucher.not_after().millis(),
                public_key: hex::encode(voucher.public_key().as_bytes()),
            },
        }
    }
}

fn print(said: &Said, verified: bool, output: &Output) -> Outcome {
    let view = &View::new(said, verified);
    Ok(output.print(view, |out| {
        if view.verified {
            writeln!(out, "{} said this to {}.", view.source, view.destination)?;
        } else {
            writeln!(out, "NOT CHECKED: this claims that {} said it to {}.", view.source, view.destination)?;
        }
        writeln!(out, "sent at    {}, by the clock of {}", time(view.sent_at), view.source)?;
        writeln!(out, "topic      {}", view.topic.escape_debug())?;
        let Vouched { signer, name, not_before, not_after, public_key } = &view.voucher;
        writeln!(out, "author key {public_key}")?;
        let (from, until) = (time(*not_before), time(*not_after));
        writeln!(out, "voucher    for {name} by the KDC's key {signer}, good from {from} to {until}")?;
        match text(&said.body) {
            Some(text) => writeln!(out, "body       {} bytes: {text}", view.body_bytes),
            None => writeln!(out, "body       {} bytes, no short text", view.body_bytes),
        }
    })?)
}

/// A body that is short text, so that it does nothing to a terminal.
fn text(body: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(body).ok().filter(|text| text.len() <= LONGEST_TEXT)?;
    Some(format!("\"{}\"", text.escape_debug()))
}

fn read(file: &Path) -> Outcome<Vec<u8>> {
    read_up_to(file, keycell_protocol::Evidence::MAX)
}

fn read_up_to(file: &Path, max: usize) -> Outcome<Vec<u8>> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", file.display());
    let mut bytes = Vec::new();
    File::open(file).and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > max {
        return Err(format!("{} is longer than such a file ever is", file.display()).into());
    }
    Ok(bytes)
}

const LONGEST_TEXT: usize = 4_096;
