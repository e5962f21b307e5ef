//! The cell whose files are here: its file is not changed on the word of another cell's KDC.

use super::super::Outcome;
use crate::api::MasterKeyView;
use crate::cell::Cell;
use crate::config::Config;
use crate::store::Wrapped;

/// Looks into the database of this folder's configuration, and sees that it says what the KDC that answered says. Returns
/// how many rows of it each version wraps.
///
/// # Errors
/// The KDC that answered is another cell's: a profile or a variable names it.
pub(super) async fn rows(config: &Config, view: &MasterKeyView) -> Outcome<Vec<Wrapped>> {
    let cell = Cell::open(config).await?;
    let (active, rows) = (cell.keyring.master_version(), cell.store.wrapped().await);
    cell.store.close().await;
    if active != view.active {
        return Err(format!(
            "the KDC that answers works with version {} of the master key, and the database of this folder with {active}: \
             is it the KDC of another cell? Look at --profile, KEYCELL_PROFILE and KEYCELL_URL",
            view.active
        )
        .into());
    }
    Ok(rows?)
}
