//! A cell's folder: making one, and opening the KDC that it describes.
//!
//! ```text
//! keycell/             0700
//!   keycell.toml       the configuration
//!   master.key   0600  wraps every secret in the database
//!   keycell.db   0600  the database, unless it is PostgreSQL
//!   revocations  0600  what this KDC remembers of revocations: restoring never undoes them unnoticed
//!   admin.token  0600  the first administrator's token, for a day
//!   tls/roots.pem      what hosts trust        tls/roots.key  0600  signs the server's certificates
//!   tls/server.pem     the server's            tls/server.key 0600
//! ```

mod begin;
mod error;
mod known_by;
mod migrate;
mod new;

use std::sync::Arc;

use keycell_protocol::UnixMillis;
use zeroize::Zeroizing;

use crate::api::{CreatedToken, NewToken};
use crate::audit::AuditKey;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Follower;
use crate::fields::fields;
use crate::identities;
use crate::kdc::{Kdc, Parts};
use crate::keyring::{Keyring, MasterKeys, is_key_check};
use crate::oidc::Issuers;
use crate::settings::MasterKeySetting;
use crate::store::{self, Act, Kind, Store, ZoneRecord};
use crate::tls;
use crate::token::TokenKey;
use crate::watermark::{self, Acceptance, History, Kept, Watermark, WatermarkError};

use begin::add_token;
pub use error::CellError;
pub use migrate::migrate;
pub use new::NewCell;
pub(crate) use new::{MASTER_KEY, private_folder, without_password};

/// The database and the keys of a cell, open.
pub struct Cell {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The zone.
    pub zone: ZoneRecord,
    /// Wraps and unwraps.
    pub keyring: Keyring,
    /// The key of administrators' tokens.
    pub tokens: TokenKey,
    /// Signs the audit log: the primary identity's signing key.
    pub audit_key: AuditKey,
    /// The same as an older release made it, for a zone that has no identities yet.
    before: Option<Zeroizing<Vec<u8>>>,
}

impl Cell {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// [`CellError`]: no database, another master key, a damaged row.
    pub async fn open(config: &Config) -> Result<Self, CellError> {
        let master = config.master_key.load()?;
        Self::of(store::connect(&config.database).await?, master).await
    }

    /// Opens what is in `store` with its master key.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn of(store: Arc<dyn Store>, master: MasterKeys) -> Result<Self, CellError> {
        let zone = store.zone().await?;
        let secret = async |name: &str| {
            store.secret(name).await?.ok_or_else(|| CellError::Incomplete { what: name.to_owned() })
        };
        let keyring = keyring(master, &*store).await?;
        check_zone(&zone, &keyring.open_secret(&secret(ZONE_SEAL).await?)?)?;
        let tokens = keyring.open_secret(&secret(TOKEN_KEY).await?)?;
        let tokens = TokenKey::new(&tokens, &zone.zone)?;
        let (audit_key, before) = match known_by::primary(&*store, &keyring).await? {
            Some(primary) => (primary.audit_key(&zone.zone)?, None),
            None => {
                let before = keyring.open_secret(&secret(AUDIT_KEY).await?)?;
                (AuditKey::new(&before, &zone.zone)?, Some(before))
            }
        };
        Ok(Self { store, zone, keyring, tokens, audit_key, before })
    }

    /// What is remembered of revocations beside the database, once the database was held against it. With `accepted`, one
    /// that gives something back is taken nevertheless, and what it gives back is taken again or forgotten.
    ///
    /// # Errors
    /// [`CellError::Watermark`] when the database gives something back, or the file cannot be used.
    pub async fn watermark(
        &self,
        config: &Config,
        accepted: Option<Kept>,
        now: UnixMillis,
    ) -> Result<Arc<Watermark>, CellError> {
        let watermark = match (self.remembered(&config.revocations).await, accepted) {
            (Err(CellError::Watermark(WatermarkError::Altered { .. })), Some(_)) => {
                tracing::error!(file = %config.revocations.display(), "the file of revocations was altered: it is written anew");
                Watermark::anew(&config.revocations, &self.audit_key)
            }
            (opened, _) => opened?,
        };
        let known = watermark.known();
        let verdict = watermark::check(&*self.store, &known, &self.audit_key).await?;
        match verdict.history {
            History::Accepted(link) => watermark.go_on_from(link, &*self.store).await?,
            _ if verdict.holds() => return Ok(Arc::new(watermark)),
            _ => {}
        }
        let Some(kept) = accepted.filter(|_| !verdict.holds()) else {
            return if verdict.holds() {
                Ok(Arc::new(watermark))
            } else {
                Err(verdict.refusal(&known).into())
            };
        };
        let acceptance = Acceptance { kept, replaces: 0, backup: None, now };
        watermark::accept(self, &watermark, &verdict, &acceptance).await?;
        tracing::warn!(
            undone = verdict.undone.len(),
            kept = kept == Kept::Keep,
            "an older database was accepted, as --accept-rollback says"
        );
        Ok(Arc::new(watermark))
    }

    /// Makes an administrator's token on the cell's own files; a KDC that runs knows it within a second.
    ///
    /// # Errors
    /// [`CellError`].
    pub async fn create_token(&self, new: &NewToken, now: UnixMillis) -> Result<CreatedToken, CellError> {
        let mut act = Act::default();
        let created = add_token(&mut act, &self.keyring, &self.tokens, new, now)?;
        self.store.commit(&act, &self.audit_key).await?;
        Ok(created)
    }

    /// Reads all parties and becomes a KDC. A zone that an older release made gets its identities first.
    ///
    /// # Errors
    /// [`CellError::Follow`] when the parties cannot be read.
    pub async fn into_kdc(self, config: Config, clock: Arc<dyn Clock>) -> Result<Kdc, CellError> {
        let Self { store, zone, keyring, tokens: token_key, audit_key, before } = self;
        if let Some(before) = before {
            identities::complete(&*store, &keyring, (&before, &audit_key), clock.now()).await?;
        }
        let (keyring, audit_key) = (Arc::new(keyring), Arc::new(audit_key));
        let follower = Follower::start(store.clone(), keyring.clone(), config.tickets.clone()).await?;
        let certificate = tls::Served::load(&config.tls)?;
        let issuers = Issuers::new(&config.oidc)?;
        Ok(Kdc::new(Parts {
            config,
            zone,
            clock,
            store,
            keyring,
            audit_key,
            follower,
            token_key,
            issuers,
            certificate,
        }))
    }
}

/// The keyring of a database, with the master keys that are at hand.
async fn keyring(keys: MasterKeys, store: &dyn Store) -> Result<Keyring, CellError> {
    let secrets = store.secrets().await?;
    if !secrets.iter().any(|secret| is_key_check(&secret.name)) {
        return Err(CellError::Incomplete { what: Keyring::CHECK.to_owned() });
    }
    let document = store.document(Kind::Setting, MasterKeySetting::ID).await?;
    // Only once it is known under which key it must hold can it be seen whether it does.
    let announced = document.as_ref().map(|document| document.master_version);
    let keyring = Keyring::open(keys, &secrets, announced)?;
    if let Some(document) = &document {
        keyring.check_document(document)?;
    }
    Ok(keyring)
}

/// What binds the zone's own row to the master key.
fn zone_seal(zone: &ZoneRecord) -> Vec<u8> {
    fields(&[
        b"keycell zone 1",
        zone.zone.as_str().as_bytes(),
        &zone.ratchet_period.seconds().to_be_bytes(),
        &zone.created_at.0.to_be_bytes(),
    ])
}

fn check_zone(zone: &ZoneRecord, sealed: &[u8]) -> Result<(), CellError> {
    if zone_seal(zone) == sealed { Ok(()) } else { Err(CellError::Zone { zone: zone.zone.to_string() }) }
}

/// Beside the configuration: the token that `init` or `keycell token create` made.
pub(crate) const TOKEN_FILE: &str = "admin.token";
pub(crate) const TOKEN_KEY: &str = "administrator token key";
/// As releases before schema 4 have it. A zone that they made keeps it, for those of them that still run.
pub(crate) const AUDIT_KEY: &str = "audit key";
/// Not secret, but sealed like one: the name and the ratchet period of the zone, as it was made.
const ZONE_SEAL: &str = "zone";
