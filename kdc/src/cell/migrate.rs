//! Bringing a database to this release's form.

use super::begin::beginning;
use super::{AUDIT_KEY, CellError, ZONE_SEAL, keyring, zone_seal};
use crate::audit::{Action, AuditKey, SealKind};
use crate::clock::Clock;
use crate::config::Config;
use crate::policy::Profile;
use crate::store::{self, ZoneRecord};

/// Brings a database that an earlier release made to this one's form: its tables, the secrets and the records that came
/// since. Returns the schema it had and the one it has. Doing it again changes nothing; two at once follow each other.
///
/// # Errors
/// [`CellError`]: then what is missing is added the next time.
pub async fn migrate(config: &Config, clock: &dyn Clock) -> Result<(i64, i64), CellError> {
    let master = config.master_key.load()?;
    let _alone = store::turn(&config.database).await?;
    let (from, to) = store::migrate(&config.database).await?;
    let store = store::connect(&config.database).await?;
    let zone = store.zone().await?;
    let keyring = keyring(master, &*store).await?;
    if store.secret(ZONE_SEAL).await?.is_none() {
        let sealed = keyring.seal_secret(ZONE_SEAL, 1, &zone_seal(&zone), &mut crate::random::system());
        store.add_secret(&sealed).await?;
    }
    // The secret before the records that it signs: whatever comes between, the next attempt goes on from there.
    let sealed = match store.secret(AUDIT_KEY).await? {
        Some(sealed) => sealed,
        None => {
            let fresh = AuditKey::generate()?;
            let sealed = keyring.seal_secret(AUDIT_KEY, 1, &fresh, &mut crate::random::system());
            store.add_secret(&sealed).await?;
            sealed
        }
    };
    if store.audit_seals(SealKind::Head).await?.is_empty() {
        // Before there was a policy, everybody could speak to everybody: that goes on until it is changed.
        let audit_key = AuditKey::new(&keyring.open_secret(&sealed)?, &zone.zone)?;
        let now = ZoneRecord { created_at: clock.now(), ..zone };
        store.commit(&beginning(&now, Profile::Open, Action::ZoneMigrate, &keyring)?, &audit_key).await?;
    }
    store.close().await;
    Ok((from, to))
}
