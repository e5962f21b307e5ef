//! `keycell join`

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};
use keycell_client::https::{EnrollError, EnrollOptions, enroll};
use keycell_client::{HostStore, this_host};
use keycell_protocol::{
    Bundle, EnrolledName, Fingerprint, HostName, JoinToken, JoinTokenError, Name, ServiceName,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::Outcome;
use super::admin::warn_of_others;
use super::output::{Output, print_error};
use super::table::fields;

/// Makes a key pair for a service of this host, lets the KDC of the bundle enroll it, and writes the key file. Run again, it
/// goes on where it was; of a host that is enrolled it only says the name.
///
/// Exit status: 0 enrolled; 3 an administrator has not decided yet, so run it again later; 1 not enrolled. Of a host that
/// was enrolled before, 0 says that there is a key file, not that the KDC knows it: nobody is asked.
#[derive(Debug, Args)]
pub(super) struct Join {
    /// The bundle of the zone, as `keycell bundle` wrote it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: PathBuf,
    /// What this host runs, for instance nanoprobe
    #[arg(long, value_name = "SERVICE")]
    service: ServiceName,
    /// The folder for this host's keys; it is made if there is none
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    store: PathBuf,
    /// What this host is called [default: as `uname -n` says, which may be its short name]
    #[arg(long, value_name = "HOST", value_parser = HostName::canonical)]
    host: Option<HostName>,
    /// A file with a join token, which lets the host in at once; mode 0600
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// Go on while no KDC answers or an administrator has not decided: for so many seconds, or without a number for ever
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    wait: Option<Option<u64>>,
}

#[derive(Serialize)]
struct View<'a> {
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    /// `enrolled` or `pending`.
    state: &'a str,
    key_file: &'a Path,
}

impl Join {
    pub(super) async fn run(self, output: &Output) -> Outcome<ExitCode> {
        let bundle = read_bundle(&self.bundle)?;
        let host = self.host.map_or_else(this_host, Ok)?;
        let store = HostStore::open(&self.store)?;
        let zone = bundle.zone.clone();
        let counts = store.install(bundle.clone())?;
        if counts != bundle {
            let (kept, file) = (store.bundle_path(&zone), self.bundle.display());
            let kept = kept.display();
            match counts.accepts(&bundle) {
                Ok(()) => eprintln!(
                    "keycell: {kept} stays, which the KDC may have sent since {file} was made; to take {file}, remove {kept}"
                ),
                Err(why) => eprintln!("keycell: {kept} stays, for of {file}: {why}"),
            }
        }
        // Who runs it again while the agent is at work is not to be in its way. The token may be gone by then.
        if let Some(name) = store.enrolled(&zone, &self.service, &host)? {
            print(output, name, &store.key_path(&zone, &self.service, &host), ENROLLED)?;
            return Ok(ExitCode::SUCCESS);
        }
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        let host = store.host(&zone, &self.service, &host)?;
        let wait = match self.wait {
            None => EnrollOptions::default().wait,
            Some(None) => Duration::MAX,
            Some(Some(seconds)) => Duration::from_secs(seconds),
        };
        if !output.json {
            // For whoever compares it with what the KDC has, and to see what it calls itself where it is refused.
            eprintln!("keycell: this host is {}", host.full_name());
        }
        match enroll(&host, &EnrollOptions { token, wait, ..EnrollOptions::default() }).await {
            Ok(name) => {
                print(output, name, host.key_path(), ENROLLED)?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error @ EnrollError::Pending { .. }) => {
                print(output, host.full_name(), host.key_path(), "pending")?;
                print_error(output, &error);
                Ok(ExitCode::from(PENDING))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn print(output: &Output, name: Name, key_file: &Path, state: &str) -> Outcome {
    let fingerprint = EnrolledName::of(&name).map(|name| name.fingerprint);
    let view = View { name, fingerprint, state, key_file };
    let mut rows = vec![("name", view.name.to_string()), ("state", state.to_owned())];
    rows.extend(fingerprint.map(|fingerprint| ("fingerprint", fingerprint.to_string())));
    if state == ENROLLED {
        rows.push(("key file", key_file.display().to_string()));
    }
    Ok(output.print(&view, |out| fields(out, rows))?)
}

fn read_bundle(file: &Path) -> Outcome<Bundle> {
    let failed = |why: String| format!("cannot use the bundle {}: {why}", file.display());
    let mut json = Vec::new();
    let read = File::open(file).and_then(|file| file.take(Bundle::MAX as u64 + 1).read_to_end(&mut json));
    read.map_err(|error| failed(error.to_string()))?;
    Ok(Bundle::from_json(&json).map_err(|error| failed(error.to_string()))?)
}

fn read_token(file: &Path) -> Outcome<JoinToken> {
    let failed = |why: String| format!("cannot use the join token in {}: {why}", file.display());
    // Room for all of it, so that no half-read buffer with the token in it is left behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN as usize));
    let read = File::open(file).and_then(|file| file.take(MAX_TOKEN).read_to_string(&mut text));
    read.map_err(|error| failed(error.to_string()))?;
    warn_of_others(file, 0o077, "the join token");
    Ok(text.trim().parse().map_err(|error: JoinTokenError| failed(error.to_string()))?)
}

const ENROLLED: &str = "enrolled";
/// Of the exit.
const PENDING: u8 = 3;
/// A token and what an editor adds.
const MAX_TOKEN: u64 = 256;
