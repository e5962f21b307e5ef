//! How a zone gets its identities.

use keycell_protocol::{IdentityName, KdcIdentity, UnixMillis};
use rand_core::CryptoRng;

use super::{Identity, IdentityError};
use crate::audit::{Action, Actor, AuditKey, Event, hex};
use crate::cell::CellError;
use crate::keyring::Keyring;
use crate::settings::IdentitiesSetting;
use crate::store::{Act, Document, Kind, SecretRecord, Store, StoreError, Write};

/// Under which name the private half of an identity is kept.
pub(crate) fn secret_name(name: IdentityName) -> String {
    format!("identity {name}")
}

/// Under which name the key is kept that authenticated the file of revocations while an identity was the primary.
pub(crate) fn watermark_name(name: IdentityName) -> String {
    format!("watermark {name}")
}

/// What of new identities goes into the database: the private halves and the document with the public ones.
pub(crate) fn made(
    keyring: &Keyring,
    identities: &[&Identity],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<SecretRecord>, Document), IdentityError> {
    let seal = |identity: &&Identity, rng: &mut _| {
        keyring.seal_secret(&secret_name(identity.name()), 1, &identity.to_secret(), rng)
    };
    let secrets = identities.iter().map(|identity| seal(identity, rng)).collect();
    let public: Result<Vec<KdcIdentity>, _> = identities.iter().map(|identity| identity.public()).collect();
    let body = IdentitiesSetting { identities: public?, retired: Vec::new() }.body();
    let id = IdentitiesSetting::ID.to_owned();
    Ok((secrets, keyring.seal_document(Kind::Setting, id, 1, body, rng)))
}

/// Gives a zone that an older release made its identities. The primary signs with the audit key that there was, which stays
/// beside it: a KDC of the release before still looks for it.
pub(crate) async fn complete(
    store: &dyn Store,
    keyring: &Keyring,
    audit_key: (&[u8], &AuditKey),
    now: UnixMillis,
) -> Result<(), CellError> {
    let (pkcs8, audit_key) = audit_key;
    let random = &mut crate::random::system();
    let primary = Identity::with_audit_key(IdentityName::PRIMARY, pkcs8, random)?;
    let secondary = Identity::generate(IdentityName::SECONDARY, random);
    let (secrets, document) = made(keyring, &[&primary, &secondary], random)?;
    let mut act = Act::default();
    act.writes.extend(secrets.into_iter().map(Write::AddSecret));
    act.writes.push(Write::PutDocument { document, expected: None });
    for identity in [&primary, &secondary] {
        let event = Event::new(now, Actor::Kdc, Action::IdentityCreate, identity.name().to_string());
        act.events.push(event.with("signing_key", hex::encode(identity.public()?.signing_key.as_bytes())));
    }
    match store.commit(&act, audit_key).await {
        // Another KDC was started at the same time.
        Ok(_) | Err(StoreError::Exists { .. } | StoreError::DocumentExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
