//! Names that no party has: those of other zones' principals.

use keycell_protocol::Name;

use super::AdminError;

/// Sees that a name is not kept for zones. What they are here has rows as parties have, and an administrator changes it through
/// its trust alone: every way to a party by its name begins here.
///
/// # Errors
/// [`AdminError::Invalid`].
pub(super) fn not_of_a_zone(name: &Name) -> Result<(), AdminError> {
    let zone = match name.asking_zone() {
        _ if !name.is_kept_for_zones() => return Ok(()),
        Some(zone) => zone.to_string(),
        None => "ZONE".to_owned(),
    };
    let text = format!(
        "a name that begins with #ZONE# is no party's, but what another zone is here: see `keycell trust show incoming {zone}`"
    );
    Err(AdminError::invalid("name", text))
}
