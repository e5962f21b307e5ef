//! Recovery: the cell goes over to its secondary identity when the primary was lost or stolen (docs/identities.md,
//! docs/decisions/0034).
//!
//! All of it is one transaction, committed with the new primary's key: the database is from before or from after it. What
//! comes after it, the file of revocations and a token for an administrator, is done again until it is done.

mod approvals;
mod erase;
mod error;
mod finish;
mod trusts;

use keycell_protocol::{IdentityName, KdcIdentity, UnixMillis};
use serde::Serialize;

use crate::administration::Caller;
use crate::audit::{Action, PublicKey, hex};
use crate::cell::{AUDIT_KEY, Cell, TOKEN_KEY};
use crate::enrollment;
use crate::identities::{Exported, Identity, secret_name, watermark_name};
use crate::settings::{IdentitiesSetting, RetiredIdentity};
use crate::store::{Act, Kind, StoreError, Write};
use crate::token::TokenKey;

pub use erase::Erased;
pub use error::RecoveryError;
pub use finish::{FinishError, Finished, finish};

/// What becomes of the parties' keys and the groups', and of join tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartyKeys {
    /// They are erased, and join tokens revoked: who stole the primary may have them too.
    Erase,
    /// They stay: the primary was lost, and nobody has it.
    Keep,
}

/// What a recovery did.
#[derive(Debug, Serialize)]
pub struct Recovered {
    /// The identity that is not believed any more.
    pub retired: IdentityName,
    /// The one in its place.
    pub primary: IdentityName,
    /// The new secondary, whose private half is in the database.
    pub secondary: IdentityName,
    /// The key that signs the audit log from now on, in hexadecimal.
    pub audit_key: String,
    /// Whether the new primary's private half was in the database already: who stole that has it.
    pub was_in_database: bool,
    /// How many administrators' tokens ended.
    pub tokens: usize,
    /// Whose keys were erased; nobody's, if they stay.
    pub erased: Erased,
}

/// How far a cell is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The identity is the secondary.
    Ahead,
    /// It is the primary already.
    Done {
        /// Since when.
        since: UnixMillis,
    },
}

/// Whether the cell can recover on this identity, or has done so.
///
/// # Errors
/// [`RecoveryError`] when it is another one, or the database's.
pub async fn progress(cell: &Cell, exported: &Exported) -> Result<Progress, RecoveryError> {
    if exported.zone() != &cell.zone.zone {
        let (file, here) = (exported.zone().clone(), cell.zone.zone.clone());
        return Err(RecoveryError::Zone { file, here });
    }
    let identities = cell.identities().await?;
    let public = exported.identity().public()?;
    let (Some(primary), Some(secondary)) = (identities.primary(), identities.secondary()) else {
        return Err(RecoveryError::None);
    };
    let IdentitiesSetting { retired, .. } = &identities;
    if public == *secondary {
        return Ok(Progress::Ahead);
    }
    if public == *primary {
        return match retired.last() {
            Some(last) => Ok(Progress::Done { since: last.retired_at }),
            None => Err(RecoveryError::Primary { primary: primary.name, secondary: secondary.name }),
        };
    }
    if retired.iter().any(|retired| retired.signing_key == public.signing_key) {
        return Err(RecoveryError::Retired { name: public.name, secondary: secondary.name });
    }
    Err(RecoveryError::Another { name: public.name, secondary: secondary.name })
}

/// Makes `exported`, which must be the secondary, the primary. `last` is the highest identity that is known to have been
/// made, where the file of revocations knows of one that the database does not.
///
/// # Errors
/// [`RecoveryError`]: nothing was changed.
pub async fn recover(
    cell: &Cell,
    exported: Exported,
    keys: PartyKeys,
    last: Option<IdentityName>,
    now: UnixMillis,
) -> Result<Recovered, RecoveryError> {
    if let Progress::Done { .. } = progress(cell, &exported).await? {
        return Err(RecoveryError::Done { primary: exported.identity().name() });
    }
    let (identities, revision) = cell.identities_document().await?;
    let (Some(before), Some(revision)) = (identities.primary().cloned(), revision) else {
        return Err(RecoveryError::None);
    };
    let random = &mut crate::random::system();
    let primary = exported.into_identity();
    let next = last.unwrap_or(before.name).max(before.name).max(primary.name()).next();
    let secondary = Identity::generate(next.ok_or(RecoveryError::Numbers)?, random);
    let new_key = primary.audit_key(&cell.zone.zone)?;
    let caller = Caller::console();
    let mut act = Act::default();

    // The audit log: what the retired identity signed is signed by the new one, so that nobody needs to believe the other.
    let sealed_by = PublicKey::of(cell.audit_key.public()).ok_or(RecoveryError::None)?;
    act.writes.push(Write::SealAnew { before: sealed_by });
    let was_in_database = exchange(cell, &mut act, (&before, &primary, &secondary)).await?;
    let tokens = end_tokens(cell, &mut act).await?;

    let KdcIdentity { name, signing_key, encryption_key } = before;
    let mut retired = identities.retired;
    retired.push(RetiredIdentity { name, signing_key, encryption_key, retired_at: now });
    let setting = IdentitiesSetting { identities: vec![primary.public()?, secondary.public()?], retired };
    let (id, next) = (IdentitiesSetting::ID.to_owned(), revision.saturating_add(1));
    let document = cell.keyring.seal_document(Kind::Setting, id, next, setting.body(), random);
    act.writes.push(Write::PutDocument { document, expected: Some(revision) });
    // What is kept for retries holds keys that were just made.
    act.writes.push(Write::ForgetAnswers);
    // A release before knows neither where the audit key is now, nor who is retired.
    act.writes.push(Write::NeedSchema(enrollment::SCHEMA));

    let mut erasing = Act::default();
    let erased = match keys {
        PartyKeys::Erase => erase::all(cell, &caller, now, &mut erasing).await?,
        PartyKeys::Keep => Erased::default(),
    };
    let signing_key =
        |identity: &Identity| identity.public().map(|public| hex::encode(public.signing_key.as_bytes()));
    let audit_key = signing_key(&primary)?;
    act.events.push(
        caller
            .event(now, Action::IdentityRecover, primary.name().to_string())
            .with("signing_key", audit_key.as_str())
            .with("retired", name.to_string())
            .with("retired_signing_key", hex::encode(signing_key_of(&setting, name)))
            .with("secondary", secondary.name().to_string())
            .with("tokens", tokens)
            .with("keys_kept", keys == PartyKeys::Keep)
            .with("parties", erased.parties())
            .with("groups", erased.groups)
            .with("trusts", erased.trusts.len())
            .with("join_tokens", erased.join_tokens)
            .with("approved", erased.approved),
    );
    let created = caller.event(now, Action::IdentityCreate, secondary.name().to_string());
    act.events.push(created.with("signing_key", signing_key(&secondary)?));
    act.writes.append(&mut erasing.writes);
    act.events.append(&mut erasing.events);
    cell.store.commit(&act, &new_key).await?;
    Ok(Recovered {
        retired: name,
        primary: primary.name(),
        secondary: secondary.name(),
        audit_key,
        was_in_database,
        tokens,
        erased,
    })
}

fn signing_key_of(setting: &IdentitiesSetting, name: IdentityName) -> &[u8] {
    let retired = setting.retired.iter().find(|retired| retired.name == name);
    retired.map_or(&[], |retired| retired.signing_key.as_bytes())
}

/// Exchanges the private halves in the database. Says whether the new primary's was there.
async fn exchange(
    cell: &Cell,
    act: &mut Act,
    (before, primary, secondary): (&KdcIdentity, &Identity, &Identity),
) -> Result<bool, RecoveryError> {
    let random = &mut crate::random::system();
    let mut add = |name: String, version: u32, secret: &[u8]| {
        act.writes.push(Write::AddSecret(cell.keyring.seal_secret(&name, version, secret, random)));
    };
    let of_primary = cell.store.secret(&secret_name(primary.name())).await?;
    if of_primary.is_none() {
        add(secret_name(primary.name()), 1, &primary.to_secret());
    }
    add(secret_name(secondary.name()), 1, &secondary.to_secret());
    // With this, another KDC reads its file of revocations from before; nothing else is done with it.
    add(watermark_name(before.name), 1, cell.audit_key.watermark().expose_secret());
    // Also where releases before had the key of the audit log.
    for name in [secret_name(before.name), AUDIT_KEY.to_owned()] {
        if let Some(secret) = cell.store.secret(&name).await? {
            act.writes.push(Write::DeleteSecret { name, version: secret.version });
        }
    }
    Ok(of_primary.is_some())
}

/// Ends all administrators' tokens. Says how many there were.
async fn end_tokens(cell: &Cell, act: &mut Act) -> Result<usize, RecoveryError> {
    let missing =
        || StoreError::Damaged { row: format!("secret {TOKEN_KEY}"), reason: "it is not there".to_owned() };
    let before = cell.store.secret(TOKEN_KEY).await?.ok_or_else(missing)?;
    let version = before.version.saturating_add(1);
    act.writes.push(Write::DeleteSecret { name: before.name, version: before.version });
    let new =
        cell.keyring.seal_secret(TOKEN_KEY, version, &TokenKey::generate()?, &mut crate::random::system());
    act.writes.push(Write::AddSecret(new));
    let tokens = cell.store.documents(Kind::Token).await?;
    let ids = tokens.ids().unwrap_or_default();
    act.writes.extend(ids.iter().map(|id| Write::DeleteDocument {
        kind: Kind::Token,
        id: (*id).to_owned(),
        expected: None,
    }));
    Ok(ids.len())
}
