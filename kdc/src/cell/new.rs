//! Making a cell: all of it or nothing.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_protocol::{IdentityName, RatchetPeriod, Zone};
use zeroize::Zeroizing;

use super::begin::{add_token, beginning};
use super::{CellError, TOKEN_FILE, TOKEN_KEY, ZONE_SEAL, zone_seal};
use crate::api::NewToken;
use crate::audit::{Action, AuditKey};
use crate::certificates;
use crate::clock::Clock;
use crate::config::{Backup, Config, GroupsConfig, LimitsConfig, Log, PeersConfig, Telemetry, Tickets, Tls};
use crate::files;
use crate::identities::{self, Identity};
use crate::keyring::{Keyring, MasterKey, MasterKeySource};
use crate::policy::Profile;
use crate::store::{self, Act, SecretRecord, Store, StoreError, Write, ZoneRecord};
use crate::token::{Role, TokenKey};
use crate::watermark::Watermark;

/// What a new cell is to be.
#[derive(Debug, Clone)]
pub struct NewCell {
    /// The folder to make.
    pub folder: PathBuf,
    /// The zone's name.
    pub zone: Zone,
    /// The address to listen on.
    pub listen: std::net::SocketAddr,
    /// Under which URLs hosts reach the KDC.
    pub urls: Vec<String>,
    /// A PostgreSQL URL; `None` for SQLite in the folder.
    pub database: Option<String>,
    /// The length of an epoch.
    pub ratchet_period: RatchetPeriod,
    /// The rules to begin with.
    pub profile: Profile,
}

impl NewCell {
    /// Makes the cell: all of it or nothing. It is made in a folder inside its own and moved up when it is complete, the
    /// configuration last; what an attempt that was killed has left is cleared away by the next.
    ///
    /// # Errors
    /// [`CellError::Taken`] when the folder is there and not empty. [`CellError::Uncertain`] when it is not known whether
    /// PostgreSQL took the zone: then everything is kept.
    pub async fn create(&self, clock: &dyn Clock) -> Result<(), CellError> {
        let config = self.config();
        config.check().map_err(|what| CellError::Setting { what })?;
        let made_folder = self.prepare()?;
        let building = self.folder.join(format!("{BUILDING}{}", std::process::id()));
        let done = self.fill(&config, &building, clock).await;
        if matches!(done, Ok(()) | Err(CellError::Uncertain { .. })) {
            return done;
        }
        // What is left of it must not stand in the way of the next try.
        let _ = clear(&self.folder);
        if made_folder {
            let _ = fs::remove_dir(&self.folder);
        }
        done
    }

    /// Makes the folder if need be, or sees that it is empty. Says whether it made it.
    fn prepare(&self) -> Result<bool, CellError> {
        let folder = &self.folder;
        match fs::metadata(folder) {
            Ok(there) if !there.is_dir() => Err(CellError::NoFolder { path: folder.clone() }),
            Ok(_) => {
                let names = names(folder).map_err(file(folder))?;
                let unfinished = names.iter().any(|name| name.starts_with(BUILDING))
                    && names.iter().all(|name| name.starts_with(BUILDING) || PARTS.contains(&name.as_str()));
                if unfinished {
                    clear(folder).map_err(file(folder))?;
                } else if !names.is_empty() {
                    return Err(CellError::Taken { folder: folder.clone() });
                }
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    fs::create_dir_all(parent).map_err(file(parent))?;
                }
                private_folder(folder)?;
                Ok(true)
            }
            Err(error) => Err(file(folder)(error)),
        }
    }

    async fn fill(&self, config: &Config, building: &Path, clock: &dyn Clock) -> Result<(), CellError> {
        let Built { zone, secrets, act, audit_key } = self.build(config, building, clock)?;
        if self.database.is_none() {
            let url = format!("sqlite:{}", building.join(DATABASE).display());
            let store = store::create(&url).await?;
            let made = store.create_zone(&zone, &secrets, &act, &audit_key).await;
            remember(building, &*store, &audit_key).await;
            store.close().await;
            made?;
        }
        // The configuration last: with it the cell is complete.
        let mut parts = names(building).map_err(file(building))?;
        parts.sort_by_key(|name| name == Config::FILE);
        for name in parts {
            fs::rename(building.join(&name), self.folder.join(&name)).map_err(file(&self.folder))?;
        }
        if let Some(url) = &self.database {
            let store = store::create(url).await?;
            let made = store.create_zone(&zone, &secrets, &act, &audit_key).await;
            if made.is_ok() {
                remember(&self.folder, &*store, &audit_key).await;
            }
            store.close().await;
            match made {
                Ok(()) => {}
                Err(error @ StoreError::Exists { .. }) => return Err(error.into()),
                // The answer to the commit may be what was lost: the master key must not be.
                Err(source) => return Err(CellError::Uncertain { folder: self.folder.clone(), source }),
            }
        }
        fs::remove_dir(building).map_err(file(building))?;
        files::sync_folder(&self.folder.join(Config::FILE)).map_err(file(&self.folder))?;
        files::sync_folder(&self.folder).map_err(file(&self.folder))
    }

    /// Everything but the database.
    fn build(&self, config: &Config, folder: &Path, clock: &dyn Clock) -> Result<Built, CellError> {
        private_folder(folder)?;
        private_folder(&folder.join("tls"))?;
        let made = certificates::make(&self.urls, self.listen, clock.now())?;
        for (name, content, mode) in [
            ("tls/roots.pem", &made.roots, 0o644),
            ("tls/server.pem", &made.server, 0o644),
            ("tls/roots.key", &*made.roots_key, 0o600),
            ("tls/server.key", &*made.server_key, 0o600),
        ] {
            let path = folder.join(name);
            files::write_new(&path, content.as_bytes(), mode).map_err(file(&path))?;
        }
        let text = toml::to_string(config).map_err(|_| CellError::Config)?;
        let path = folder.join(Config::FILE);
        files::write_new(&path, format!("{HEADER}{text}").as_bytes(), 0o600).map_err(file(&path))?;

        let mut random = crate::random::system();
        let master = MasterKey::generate(1, &mut random);
        master.write_new(&folder.join(MASTER_KEY))?;
        let (keyring, check) = Keyring::create(master, &mut random);
        let tokens = TokenKey::generate()?;
        let primary = Identity::generate(IdentityName::PRIMARY, &mut random);
        let secondary = Identity::generate(IdentityName::SECONDARY, &mut random);
        let (identities, document) = identities::made(&keyring, &[&primary, &secondary], &mut random)?;
        let zone = ZoneRecord {
            zone: self.zone.clone(),
            ratchet_period: self.ratchet_period,
            created_at: clock.now(),
        };
        let mut secrets = vec![
            check,
            keyring.seal_secret(ZONE_SEAL, 1, &zone_seal(&zone), &mut random),
            keyring.seal_secret(TOKEN_KEY, 1, &tokens, &mut random),
        ];
        secrets.extend(identities);
        let token_key = TokenKey::new(&tokens, &self.zone)?;
        let mut act = beginning(&zone, self.profile, Action::ZoneCreate, &keyring)?;
        if let Some(made) = act.events.first_mut() {
            let names = [&primary, &secondary].map(|identity| identity.name().to_string());
            *made = made.clone().with("identities", names.to_vec());
        }
        act.writes.push(Write::PutDocument { document, expected: None });
        // Releases before look for the audit key elsewhere.
        act.writes.push(Write::NeedSchema(SCHEMA));
        let new = NewToken { subject: "admin".to_owned(), role: Role::Admin, ttl_seconds: Some(FIRST_TOKEN) };
        let token = add_token(&mut act, &keyring, &token_key, &new, clock.now())?;
        let path = folder.join(TOKEN_FILE);
        let text = Zeroizing::new(format!("{}\n", *token.token));
        files::write_new(&path, text.as_bytes(), 0o600).map_err(file(&path))?;
        Ok(Built { zone, secrets, act, audit_key: primary.audit_key(&self.zone)? })
    }

    fn config(&self) -> Config {
        Config {
            listen: self.listen,
            urls: self.urls.clone(),
            database: match &self.database {
                Some(url) => without_password(url),
                None => format!("sqlite:{DATABASE}"),
            },
            revocations: Config::REVOCATIONS.into(),
            master_key: MasterKeySource::File(MASTER_KEY.into()),
            tls: Tls::new("tls/server.pem", "tls/server.key", "tls/roots.pem"),
            tickets: Tickets::default(),
            groups: GroupsConfig::default(),
            peers: PeersConfig::default(),
            limits: LimitsConfig::default(),
            log: Log::default(),
            backup: Backup::default(),
            telemetry: Telemetry::default(),
            oidc: Vec::new(),
        }
    }
}

/// Begins the file of revocations, so that a database that is set back is noticed from now on. Without it the KDC starts
/// too, and says so.
async fn remember(folder: &Path, store: &dyn Store, audit_key: &AuditKey) {
    let watermark = Arc::new(Watermark::anew(&folder.join(Config::REVOCATIONS), audit_key));
    if let Err(error) = watermark.write(store).await {
        tracing::warn!(%error, "the file of revocations is made at the first start");
    }
}

/// All of a new cell that goes into its database.
struct Built {
    zone: ZoneRecord,
    secrets: Vec<SecretRecord>,
    act: Act,
    audit_key: AuditKey,
}

/// The URL as it may stand in a file.
pub(crate) fn without_password(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return url.to_owned() };
    let is_secret = |name: &str| matches!(name, "password" | "sslpassword");
    let in_query = parsed.query_pairs().any(|(name, _)| is_secret(&name));
    if parsed.password().is_none() && !in_query {
        return url.to_owned();
    }
    // Fails only for a URL that can have no password.
    let _ = parsed.set_password(None);
    if in_query {
        let pairs: Vec<_> = parsed.query_pairs().into_owned().filter(|(name, _)| !is_secret(name)).collect();
        parsed.set_query(None);
        if !pairs.is_empty() {
            parsed.query_pairs_mut().extend_pairs(pairs);
        }
    }
    parsed.into()
}

pub(crate) fn private_folder(path: &Path) -> Result<(), CellError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(file(path))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes what an unfinished attempt has made, and nothing else.
fn clear(folder: &Path) -> io::Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if name == "tls" || name.starts_with(BUILDING) {
            fs::remove_dir_all(path)?;
        } else if PARTS.contains(&name.as_str()) || name == Config::FILE {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> CellError + use<> {
    let path = path.to_owned();
    move |source| CellError::File { path, source }
}

/// The schema of the first release that knows a zone like this.
const SCHEMA: i64 = 4;
/// What a folder is called in which a cell is being made.
const BUILDING: &str = ".new-";
/// What else an unfinished attempt may have put in its place.
const PARTS: [&str; 5] = ["tls", MASTER_KEY, DATABASE, TOKEN_FILE, Config::REVOCATIONS];
pub(crate) const MASTER_KEY: &str = "master.key";
const DATABASE: &str = "keycell.db";
/// The first token is good for a day, in seconds.
const FIRST_TOKEN: u64 = 86_400;
const HEADER: &str =
    "# The configuration of a Keycell KDC. `keycell check-config` checks it; docs/running.md explains it.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_stays_in_a_url() {
        for (url, without) in [
            ("postgres://u:hunter2@h/d", "postgres://u@h/d"),
            ("postgres://u@h/d?password=hunter2", "postgres://u@h/d"),
            (
                "postgres://u:hunter2@h/d?sslmode=require&password=hunter2&sslpassword=hunter2",
                "postgres://u@h/d?sslmode=require",
            ),
            ("postgres://u@h/d?sslmode=require", "postgres://u@h/d?sslmode=require"),
            ("sqlite:keycell.db", "sqlite:keycell.db"),
        ] {
            assert_eq!(without_password(url), without, "{url}");
        }
    }
}
