//! Join tokens: made, listed, revoked.

use std::sync::Arc;

use keycell_protocol::{JoinToken, JoinTokenId, UnixMillis};

use super::settings::{check_hosts, check_networks};
use super::{AdminError, Caller, Ledger};
use crate::api::{CreatedJoinToken, JoinTokenState, JoinTokenView, NewJoinToken};
use crate::audit::{Action, Event};
use crate::directory::JoinTokenRecords;
use crate::enrollment::{HostPattern, JoinTokenRecord};
use crate::policy::Note;
use crate::store::{Act, Kind, StoreError, Write};

/// The join tokens of a zone.
pub struct JoinTokens {
    ledger: Arc<Ledger>,
}

impl JoinTokens {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// Makes a join token. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Invalid`]; [`AdminError::Refused`] when there are too many.
    pub async fn create(
        &self,
        caller: &Caller,
        new: &NewJoinToken,
        keep: impl Fn(&CreatedJoinToken) -> Result<Option<Write>, AdminError>,
    ) -> Result<CreatedJoinToken, AdminError> {
        let now = self.ledger.now();
        let token = JoinToken::generate(&mut crate::random::system());
        let record = draft(new, &token, caller, now)?;
        let room = room(&self.ledger.directory().join_tokens(), now)?;
        let id = token.id();
        let event = described(caller.event(now, Action::JoinTokenCreate, id.to_string()), &record);
        let document = self.ledger.document(Kind::JoinToken, &id.to_string(), record.revision, &record)?;
        let created = CreatedJoinToken { info: view(id, &record, now), token: token.to_text() };
        let mut act = Act::new(Write::PutDocument { document, expected: None }, event);
        act.writes.extend(room);
        act.writes.extend(keep(&created)?);
        match self.ledger.commit(&act).await {
            Ok(_) => Ok(created),
            // Somebody else made room at the same moment.
            Err(AdminError::Store(StoreError::DocumentMissing { .. })) => Err(AdminError::Busy),
            Err(error) => Err(error),
        }
    }

    /// The join token of that id.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub fn show(&self, id: JoinTokenId) -> Result<JoinTokenView, AdminError> {
        let tokens = self.ledger.directory().join_tokens();
        tokens.get(&id).map(|record| view(id, record, self.ledger.now())).ok_or_else(|| missing(id))
    }

    /// Up to `limit` join tokens that `wanted` holds for, the newest first, from the first after the one of id `after`.
    #[must_use]
    pub fn page(
        &self,
        after: Option<JoinTokenId>,
        limit: usize,
        wanted: impl Fn(&JoinTokenView) -> bool,
    ) -> Vec<JoinTokenView> {
        let now = self.ledger.now();
        let tokens = self.ledger.directory().join_tokens();
        let known = after.and_then(|id| tokens.get(&id).map(|record| (record.created_at, id)));
        let mut rest: Vec<_> = tokens
            .iter()
            .filter(|(id, record)| known.is_none_or(|known| (record.created_at, **id) < known))
            .collect();
        rest.sort_by(|(a_id, a), (b_id, b)| (b.created_at, b_id).cmp(&(a.created_at, a_id)));
        let views = rest.into_iter().map(|(id, record)| view(*id, record, now));
        views.filter(|view| wanted(view)).take(limit).collect()
    }

    /// Revokes a join token: it lets nobody in from now on, here at once and on the zone's other KDCs within a second. Whom
    /// it let in stays. Again is harmless. A row that is damaged or gone does not keep one that is in force from being
    /// revoked: what is in memory is written over it.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub async fn revoke(&self, caller: &Caller, id: JoinTokenId) -> Result<(), AdminError> {
        // Hosts use it up meanwhile; then look again.
        for _ in 0..ATTEMPTS {
            let (mut record, stored) = match self.stored(id).await? {
                Some(record) => (record, true),
                None => (self.in_memory(id).await?, false),
            };
            if record.revoked_at.is_some() {
                return Ok(());
            }
            let now = self.ledger.now();
            let expected = record.revision;
            record.revoked_at = Some(now);
            record.revision = expected.saturating_add(1);
            let document =
                self.ledger.document(Kind::JoinToken, &id.to_string(), record.revision, &record)?;
            let write = match stored {
                true => Write::PutDocument { document, expected: Some(expected) },
                false => Write::ForceDocument(document),
            };
            let event = caller.event(now, Action::JoinTokenRevoke, id.to_string());
            let event = event.with("service", record.service.as_str()).with("used", record.used);
            match self.ledger.commit(&Act::new(write, event)).await {
                Err(AdminError::Store(StoreError::DocumentChanged { .. })) => {}
                Err(AdminError::Store(StoreError::DocumentMissing { .. })) => return Err(missing(id)),
                done => return done.map(drop),
            }
        }
        Err(AdminError::Busy)
    }

    async fn in_memory(&self, id: JoinTokenId) -> Result<JoinTokenRecord, AdminError> {
        self.ledger.catch_up().await;
        self.ledger.directory().join_tokens().get(&id).cloned().ok_or_else(|| missing(id))
    }

    /// A join token as the database has it; None where there is none, or a row that Keycell did not write.
    async fn stored(&self, id: JoinTokenId) -> Result<Option<JoinTokenRecord>, AdminError> {
        let damaged = |error: AdminError| {
            tracing::error!(join_token = %id, error = %crate::http::chain(&error), "the row of a join token is damaged");
            Ok(None)
        };
        let document = match self.ledger.store().document(Kind::JoinToken, &id.to_string()).await {
            Ok(Some(document)) => document,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Damaged { .. }) => return damaged(error.into()),
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.ledger.keyring().check_document(&document) {
            return damaged(error.into());
        }
        match serde_json::from_str(&document.body) {
            Ok(record) => Ok(Some(JoinTokenRecord { revision: document.revision, ..record })),
            Err(error) => damaged(error.into()),
        }
    }

    /// Forgets join tokens that ended more than a month ago; the audit log goes on remembering them.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&self) -> Result<(), AdminError> {
        let now = self.ledger.now();
        let tokens = self.ledger.directory().join_tokens();
        let old = tokens.iter().filter(|(_, record)| record.expires_at.plus(REMEMBERED_MS) < now);
        let writes: Vec<_> = old.take(1000).map(|(id, _)| delete(*id)).collect();
        if writes.is_empty() {
            return Ok(());
        }
        match self.ledger.commit(&Act { writes, events: Vec::new() }).await {
            // Another KDC of the zone was quicker.
            Err(AdminError::Store(StoreError::DocumentMissing { .. })) => Ok(()),
            done => done.map(drop),
        }
    }

    /// How many let hosts in now.
    #[must_use]
    pub fn live(&self) -> usize {
        let now = self.ledger.now();
        self.ledger.directory().join_tokens().values().filter(|record| record.is_live(now)).count()
    }
}

fn draft(
    new: &NewJoinToken,
    token: &JoinToken,
    caller: &Caller,
    now: UnixMillis,
) -> Result<JoinTokenRecord, AdminError> {
    check_hosts(&new.hosts)?;
    check_networks(&new.networks)?;
    let uses = new.uses.unwrap_or(1);
    if !(1..=NewJoinToken::MAX_USES).contains(&uses) {
        return Err(AdminError::invalid("uses", "1 to 1000000"));
    }
    let ttl = new.ttl_seconds.unwrap_or(NewJoinToken::DEFAULT_TTL);
    if !(60..=NewJoinToken::MAX_TTL).contains(&ttl) {
        return Err(AdminError::invalid("ttl_seconds", "60 to 31622400 (366 days)"));
    }
    let note: Note = new
        .note
        .parse()
        .map_err(|error: crate::policy::NoteError| AdminError::invalid("note", error.to_string()))?;
    Ok(JoinTokenRecord {
        verifier: token.verifier(),
        service: new.service.clone(),
        hosts: new.hosts.clone(),
        networks: new.networks.clone(),
        uses,
        used: 0,
        expires_at: now.seconds().plus(ttl).millis(),
        note: note.as_str().to_owned(),
        created_by: caller.actor.to_string(),
        created_at: now,
        revoked_at: None,
        revision: 1,
    })
}

/// What makes room for one more: where there are too many, those go that ended first.
fn room(tokens: &JoinTokenRecords, now: UnixMillis) -> Result<Vec<Write>, AdminError> {
    if tokens.len() < MOST {
        return Ok(Vec::new());
    }
    let ended = tokens.iter().filter(|(_, record)| !record.is_live(now));
    let mut ended: Vec<_> = ended.map(|(id, record)| (record.expires_at, *id)).collect();
    if ended.is_empty() {
        return Err(AdminError::Refused(format!(
            "the zone has {MOST} join tokens that are good, which is the most: revoke some, or make one for more hosts"
        )));
    }
    ended.sort_unstable();
    Ok(ended.into_iter().take(ROOM).map(|(_, id)| delete(id)).collect())
}

fn delete(id: JoinTokenId) -> Write {
    Write::DeleteDocument { kind: Kind::JoinToken, id: id.to_string(), expected: None }
}

fn described(event: Event, record: &JoinTokenRecord) -> Event {
    let hosts: Vec<_> = record.hosts.iter().map(HostPattern::as_str).collect();
    let networks: Vec<_> = record.networks.iter().map(ToString::to_string).collect();
    event
        .with("service", record.service.as_str())
        .with("hosts", hosts)
        .with("networks", networks)
        .with("uses", record.uses)
        .with("expires_at", record.expires_at.0)
        .with("note", record.note.as_str())
}

fn view(id: JoinTokenId, record: &JoinTokenRecord, now: UnixMillis) -> JoinTokenView {
    let state = if record.revoked_at.is_some() {
        JoinTokenState::Revoked
    } else if record.expires_at <= now {
        JoinTokenState::Expired
    } else if record.used >= record.uses {
        JoinTokenState::UsedUp
    } else {
        JoinTokenState::Live
    };
    JoinTokenView {
        id,
        state,
        service: record.service.clone(),
        hosts: record.hosts.clone(),
        networks: record.networks.clone(),
        uses: record.uses,
        used: record.used,
        note: record.note.clone(),
        created_at: record.created_at,
        created_by: record.created_by.clone(),
        expires_at: record.expires_at,
        revoked_at: record.revoked_at,
    }
}

fn missing(id: JoinTokenId) -> AdminError {
    AdminError::Missing(format!("join token {id}"))
}

const REMEMBERED_MS: u64 = 30 * 86_400_000;
/// So many are held in memory, those that have ended too.
const MOST: usize = 5000;
/// So many go at a time where there are more.
const ROOM: usize = 100;
const ATTEMPTS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(expires_at: u64, revoked: bool) -> JoinTokenRecord {
        JoinTokenRecord {
            verifier: [0; 32],
            service: "nanoprobe".parse().unwrap(),
            hosts: Vec::new(),
            networks: Vec::new(),
            uses: 1,
            used: 0,
            expires_at: UnixMillis(expires_at),
            note: String::new(),
            created_by: String::new(),
            created_at: UnixMillis(0),
            revoked_at: revoked.then_some(UnixMillis(0)),
            revision: 1,
        }
    }

    fn id(n: usize) -> JoinTokenId {
        format!("{n:016x}").parse().unwrap()
    }

    #[test]
    fn where_there_are_too_many_those_go_that_ended_first() {
        let now = UnixMillis(1000);
        let mut tokens: JoinTokenRecords = (0..MOST - 1).map(|n| (id(n), record(2000, false))).collect();
        assert!(room(&tokens, now).unwrap().is_empty());
        tokens.insert(id(MOST), record(2000, false));
        let full = room(&tokens, now).unwrap_err();
        assert!(full.to_string().contains("revoke some"), "{full}");
        tokens.insert(id(1), record(2000, true));
        tokens.insert(id(2), record(900, false));
        let gone: Vec<_> = room(&tokens, now).unwrap();
        let gone = gone.iter().map(|write| match write {
            Write::DeleteDocument { id, .. } => id.parse().unwrap(),
            _ => panic!("{write:?}"),
        });
        assert_eq!(gone.collect::<Vec<JoinTokenId>>(), [id(2), id(1)]);
    }
}
