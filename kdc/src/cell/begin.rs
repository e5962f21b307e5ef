//! What a zone begins with.

use keycell_protocol::UnixMillis;

use super::CellError;
use crate::administration::{self, AdminError, Caller};
use crate::api::{CreatedToken, NewToken};
use crate::audit::Action;
use crate::keyring::Keyring;
use crate::policy::Profile;
use crate::store::{Act, Kind, Write, ZoneRecord};
use crate::token::TokenKey;

/// What a zone begins with: the rules of a profile, and the first record.
pub(super) fn beginning(
    zone: &ZoneRecord,
    profile: Profile,
    action: Action,
    keyring: &Keyring,
) -> Result<Act, CellError> {
    let now = zone.created_at;
    let mut act = Act::default();
    let caller = Caller::console();
    act.events.push(caller.event(now, action, zone.zone.as_str()).with("profile", profile.as_str()));
    for rule in profile.rules(&zone.zone, false, now)? {
        let body = serde_json::to_string(&rule).map_err(AdminError::from)?;
        let (id, random) = (rule.id.to_string(), &mut crate::random::system());
        let document = keyring.seal_document(Kind::Rule, id, rule.revision, body, random);
        act.writes.push(Write::PutDocument { document, expected: None });
        act.events
            .push(caller.event(now, Action::RuleCreate, rule.id.as_str()).with("profile", profile.as_str()));
    }
    Ok(act)
}

/// Makes a token on the console.
pub(super) fn add_token(
    act: &mut Act,
    keyring: &Keyring,
    key: &TokenKey,
    new: &NewToken,
    now: UnixMillis,
) -> Result<CreatedToken, CellError> {
    let caller = Caller::console();
    let (created, document) = administration::make_token(keyring, key, &caller, new, now)?;
    let event = caller
        .event(now, Action::TokenCreate, created.info.id.as_str())
        .with("subject", new.subject.as_str())
        .with("role", new.role.to_string())
        .with("expires_at", created.info.expires_at.0);
    act.writes.push(Write::PutDocument { document, expected: None });
    act.events.push(event);
    Ok(created)
}
