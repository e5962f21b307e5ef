//! What a program of the fleet is: a party with a key file, or a host that enrolls by itself.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use keycell_client::https::EnrollOptions;
use keycell_client::protocol::{Bundle, HostName, ServiceName};
use keycell_client::{HostStore, StoredHost, this_host};

/// Who it is.
#[derive(Debug, Args)]
pub(crate) struct Aboard {
    /// The key file; without one, name a bundle and it enrolls
    #[arg(long, value_name = "FILE", required_unless_present = "bundle", conflicts_with = "bundle")]
    key: Option<PathBuf>,
    /// Enroll with the KDC of this bundle, unless that is done, and again when it must be
    #[arg(long, value_name = "FILE", requires = "store")]
    bundle: Option<PathBuf>,
    /// The folder for this host's keys
    #[arg(long, value_name = "FOLDER", requires = "bundle")]
    store: Option<PathBuf>,
    /// What this host is called [default: as the system says]
    #[arg(long = "as-host", value_name = "HOST", value_parser = HostName::canonical, requires = "bundle")]
    host: Option<HostName>,
    /// A file with a join token
    #[arg(long, value_name = "FILE", requires = "bundle")]
    token_file: Option<PathBuf>,
}

/// What that comes to.
pub(crate) enum Party {
    /// One that an administrator added.
    KeyFile(PathBuf),
    /// One that is enrolled once these options were used.
    Host(Box<StoredHost>, EnrollOptions),
}

impl Aboard {
    /// Looks into the files. A host goes on asking for as long as an administrator takes.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(crate) fn party(&self, service: &str) -> Result<Party, Box<dyn std::error::Error + Send + Sync>> {
        let (bundle, store) = match (&self.key, &self.bundle, &self.store) {
            (Some(key), ..) => return Ok(Party::KeyFile(key.clone())),
            (None, Some(bundle), Some(store)) => (bundle, store),
            _ => return Err("name a key file, or a bundle and a folder for keys".into()),
        };
        let service: ServiceName = service.parse()?;
        let host = self.host.clone().map_or_else(this_host, Ok)?;
        let read = |file: &PathBuf| {
            fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
        };
        let store = HostStore::open(store)?;
        let given = Bundle::from_json(read(bundle)?.as_bytes())?;
        let zone = given.zone.clone();
        let known = store.install(given.clone())?;
        if let Err(why) = known.accepts(&given) {
            eprintln!(
                "{} is not taken, and the bundle in {} stays: {why}",
                bundle.display(),
                store.folder().display()
            );
        }
        // A host that is enrolled needs none, and it may be gone by then.
        let enrolled = store.enrolled(&zone, &service, &host)?.is_some();
        let token = match &self.token_file {
            Some(file) if !enrolled => Some(read(file)?.trim().parse()?),
            _ => None,
        };
        let host = store.host(&zone, &service, &host)?;
        let options = EnrollOptions { token, wait: Duration::MAX, ..EnrollOptions::default() };
        Ok(Party::Host(Box::new(host), options))
    }
}
