//! The private half of an identity, from the database.

use keycell_protocol::KdcIdentity;

use super::{Identity, secret_name};
use crate::administration::{AdminError, Ledger};

/// The private half of `public`; `None` where it is not in the database, or is that of another one.
///
/// # Errors
/// The database's and the keyring's.
pub(crate) async fn private_half(
    ledger: &Ledger,
    public: &KdcIdentity,
) -> Result<Option<Identity>, AdminError> {
    let Some(record) = ledger.store().secret(&secret_name(public.name)).await? else { return Ok(None) };
    let opened = ledger.keyring().open_secret(&record)?;
    let identity = Identity::from_secret(public.name, &opened).ok();
    // One of another name or time would open nothing that is written to this one.
    Ok(identity.filter(|identity| identity.public().is_ok_and(|found| found == *public)))
}
