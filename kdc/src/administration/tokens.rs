//! Administrators' tokens: made, listed, revoked.

use std::sync::Arc;

use keycell_protocol::UnixMillis;

use super::{AdminError, Caller, Ledger};
use crate::api::{CreatedToken, NewToken, TokenView};
use crate::audit::Action;
use crate::keyring::Keyring;
use crate::store::{Act, Document, Kind, StoreError, Write};
use crate::token::{TokenKey, TokenRecord, token_id};

/// The tokens of a zone.
pub struct Tokens {
    ledger: Arc<Ledger>,
    key: Arc<TokenKey>,
}

impl Tokens {
    pub(crate) const fn new(ledger: Arc<Ledger>, key: Arc<TokenKey>) -> Self {
        Self { ledger, key }
    }

    /// Makes a token. Nobody makes one that may do more than they may themselves. `keep` may add the write that keeps the
    /// answer.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] and [`AdminError::Forbidden`].
    pub async fn create(
        &self,
        caller: &Caller,
        new: &NewToken,
        keep: impl Fn(&CreatedToken) -> Result<Option<Write>, AdminError>,
    ) -> Result<CreatedToken, AdminError> {
        if !caller.role.includes(new.role) {
            return Err(AdminError::Forbidden(format!(
                "the role {} cannot make a token of {}",
                caller.role, new.role
            )));
        }
        let now = self.ledger.now();
        let (created, document) = make(self.ledger.keyring(), &self.key, caller, new, now)?;
        let id = &created.info.id;
        let event = caller
            .event(now, Action::TokenCreate, id)
            .with("subject", new.subject.as_str())
            .with("role", new.role.to_string())
            .with("expires_at", created.info.expires_at.0);
        let mut act = Act::new(Write::PutDocument { document, expected: None }, event);
        act.writes.extend(keep(&created)?);
        self.ledger.commit(&act).await?;
        Ok(created)
    }

    /// The token of that id.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub fn show(&self, id: &str) -> Result<TokenView, AdminError> {
        let record = self.ledger.directory().token(id);
        record.map(|record| view(id, &record)).ok_or_else(|| AdminError::Missing(format!("token {id}")))
    }

    /// Up to `limit` tokens that `wanted` holds for, the newest first, from the first after the one of id `after`.
    #[must_use]
    pub fn page(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&TokenRecord) -> bool,
    ) -> Vec<TokenView> {
        let tokens = self.ledger.directory().tokens();
        let mut all: Vec<_> = tokens.iter().filter(|(_, record)| wanted(record)).collect();
        all.sort_by(|(a_id, a), (b_id, b)| (b.created_at, b_id).cmp(&(a.created_at, a_id)));
        let known = after.and_then(|id| tokens.get(id).map(|record| (record.created_at, id)));
        let rest = all.into_iter().skip_while(|(id, record)| {
            known.is_some_and(|(at, after)| (record.created_at, id.as_str()) >= (at, after))
        });
        rest.take(limit).map(|(id, record)| view(id, record)).collect()
    }

    /// Revokes a token: it is refused from now on, here at once and on the zone's other KDCs within a second. Again is
    /// harmless. A row that is damaged or gone does not keep a token that is in force from being revoked: what is in memory
    /// is written over it.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub async fn revoke(&self, caller: &Caller, id: &str) -> Result<(), AdminError> {
        let missing = || AdminError::Missing(format!("token {id}"));
        let (mut record, revision) = match self.stored(id).await? {
            Some((record, revision)) => (record, Some(revision)),
            None => (self.ledger.directory().token(id).ok_or_else(missing)?, None),
        };
        if record.revoked_at.is_some() {
            return Ok(());
        }
        let now = self.ledger.now();
        record.revoked_at = Some(now);
        let next = revision.unwrap_or(1).saturating_add(1);
        let revised = self.ledger.document(Kind::Token, id, next, &record)?;
        let event = caller
            .event(now, Action::TokenRevoke, id)
            .with("subject", record.subject.as_str())
            .with("role", record.role.to_string());
        let write = match revision {
            Some(_) => Write::PutDocument { document: revised, expected: revision },
            None => Write::ForceDocument(revised),
        };
        match self.ledger.commit(&Act::new(write, event)).await {
            // Nothing but a revocation changes a token: somebody else was quicker.
            Err(AdminError::Store(StoreError::DocumentChanged { .. })) => Ok(()),
            Err(AdminError::Store(StoreError::DocumentMissing { .. })) => Err(missing()),
            done => done.map(drop),
        }
    }

    /// A token as the database has it, and its revision; None where there is none, or a row that Keycell did not write.
    async fn stored(&self, id: &str) -> Result<Option<(TokenRecord, u64)>, AdminError> {
        let damaged = |error: AdminError| {
            tracing::error!(token = id, error = %crate::http::chain(&error), "the row of a token is damaged");
            Ok(None)
        };
        let document = match self.ledger.store().document(Kind::Token, id).await {
            Ok(Some(document)) => document,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Damaged { .. }) => return damaged(error.into()),
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = self.ledger.keyring().check_document(&document) {
            return damaged(error.into());
        }
        match serde_json::from_str(&document.body) {
            Ok(record) => Ok(Some((record, document.revision))),
            Err(error) => damaged(error.into()),
        }
    }

    /// Forgets tokens that ended more than a month ago; the audit log goes on remembering them.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&self) -> Result<(), AdminError> {
        let now = self.ledger.now();
        let tokens = self.ledger.directory().tokens();
        let old = tokens.iter().filter(|(_, record)| record.expires_at.plus(REMEMBERED_MS) < now);
        let writes: Vec<_> = old
            .take(1000)
            .map(|(id, _)| Write::DeleteDocument { kind: Kind::Token, id: id.clone(), expected: None })
            .collect();
        if writes.is_empty() {
            return Ok(());
        }
        match self.ledger.commit(&Act { writes, events: Vec::new() }).await {
            // Another KDC of the zone was quicker.
            Err(AdminError::Store(StoreError::DocumentMissing { .. })) => Ok(()),
            done => done.map(drop),
        }
    }
}

/// A token and the document that remembers it: also for a zone that is only being made.
pub(crate) fn make(
    keyring: &Keyring,
    key: &TokenKey,
    caller: &Caller,
    new: &NewToken,
    now: UnixMillis,
) -> Result<(CreatedToken, Document), AdminError> {
    let named = (1..=100).contains(&new.subject.len()) && new.subject.bytes().all(|b| b.is_ascii_graphic());
    if !named {
        return Err(AdminError::invalid("subject", "1 to 100 visible ASCII characters"));
    }
    let ttl = new.ttl_seconds.unwrap_or(NewToken::DEFAULT_TTL);
    if !(60..=NewToken::MAX_TTL).contains(&ttl) {
        return Err(AdminError::invalid("ttl_seconds", "60 to 2678400 (31 days)"));
    }
    let id = token_id(&mut crate::random::system());
    let record = TokenRecord {
        subject: new.subject.clone(),
        role: new.role,
        created_at: now,
        expires_at: now.seconds().plus(ttl).millis(),
        created_by: caller.actor.to_string(),
        revoked_at: None,
    };
    let token = key.sign(&id, &record)?;
    let body = serde_json::to_string(&record)?;
    let document = keyring.seal_document(Kind::Token, id.clone(), 1, body, &mut crate::random::system());
    Ok((CreatedToken { info: view(&id, &record), token }, document))
}

fn view(id: &str, record: &TokenRecord) -> TokenView {
    TokenView {
        id: id.to_owned(),
        subject: record.subject.clone(),
        role: record.role,
        created_at: record.created_at,
        expires_at: record.expires_at,
        created_by: record.created_by.clone(),
        revoked_at: record.revoked_at,
    }
}

const REMEMBERED_MS: u64 = 31 * 86_400_000;
