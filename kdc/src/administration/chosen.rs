//! Whether a party has a key that an administrator chose: then this is a retry.

use keycell_protocol::{LongTermKey, UnixMillis};
use subtle::ConstantTimeEq as _;

use super::Ledger;
use crate::keyring::KeyringError;
use crate::store::{KeyState, PartyRecord};

/// The key of `secret`, as it was when it was made, if it is the active one of `record`. What is stored of it turns with
/// the epochs; so does the host that is given it.
///
/// # Errors
/// As [`Keyring::open_key`](crate::keyring::Keyring::open_key).
pub(super) fn chosen(
    ledger: &Ledger,
    record: &PartyRecord,
    secret: &[u8; LongTermKey::SIZE],
) -> Result<Option<LongTermKey>, KeyringError> {
    let Some(active) = record.keys.iter().find(|key| key.state == KeyState::Active) else {
        return Ok(None);
    };
    let stored = ledger.keyring().open_key(record, active)?;
    let made_in = match active.created_at {
        // From before this was noted; nor had anything turned by then.
        UnixMillis(0) => stored.epoch(),
        created_at => ledger.zone().ratchet_period.epoch(created_at.seconds()).min(stored.epoch()),
    };
    let made = LongTermKey::new(active.generation, made_in, *secret);
    let same = made
        .clone()
        .advance(stored.epoch())
        .is_ok_and(|turned| bool::from(turned.expose_secret().ct_eq(stored.expose_secret())));
    Ok(same.then_some(made))
}
