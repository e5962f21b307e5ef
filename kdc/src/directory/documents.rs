//! Documents in memory: the policy, the settings, the tokens that are good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use keycell_protocol::{JoinTokenId, UnixMillis};

use super::FollowError;
use crate::enrollment::{EnrollmentSetting, JoinTokenRecord};
use crate::groups::GroupRecord;
use crate::keyring::{Keyring, KeyringError};
use crate::policy::{MAX_RULES, Policy, Rule};
use crate::settings::{IdentitiesSetting, LimitsSetting, MasterKeySetting, Settings, ZoneSetting};
use crate::store::{ChangeNumber, Document, Documents, StoreError};
use crate::token::TokenRecord;
use crate::trust::{TrustRecord, Trusts};

/// The policy in force, and since which change.
#[derive(Debug)]
pub struct Rules {
    /// The last change to any rule: the revision of the whole.
    pub change: ChangeNumber,
    /// What decides.
    pub policy: Policy,
}

impl Rules {
    /// Reads and compiles rules. One that does not hold spoils them all: what it forbade must not become allowed.
    pub(super) fn read(
        documents: &Documents,
        keyring: &Keyring,
        lifetime_seconds: u32,
    ) -> Result<Self, FollowError> {
        let read = |document: &Document| {
            let mut rule: Rule = body(document, keyring)?;
            rule.revision = document.revision;
            Ok(rule)
        };
        whole(documents)?;
        let rules = documents.documents.iter().map(read).collect::<Result<_, FollowError>>()?;
        Self::compiled(documents.change, rules, lifetime_seconds)
    }

    /// The same rules with another ticket lifetime.
    pub(super) fn with_lifetime(&self, lifetime_seconds: u32) -> Result<Self, FollowError> {
        Self::compiled(self.change, self.policy.rules().to_vec(), lifetime_seconds)
    }

    /// The rule of that id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.policy.rules().iter().find(|rule| rule.id.as_str() == id)
    }

    /// The rules in the order of their ids.
    #[must_use]
    pub fn by_id(&self) -> Vec<&Rule> {
        let mut rules: Vec<_> = self.policy.rules().iter().collect();
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        rules
    }

    fn compiled(change: ChangeNumber, rules: Vec<Rule>, lifetime_seconds: u32) -> Result<Self, FollowError> {
        if rules.len() > MAX_RULES {
            tracing::error!(
                rules = rules.len(),
                most = MAX_RULES,
                "the policy has too many rules: delete some"
            );
        }
        let policy = Policy::load(rules, lifetime_seconds).map_err(FollowError::Policy)?;
        Ok(Self { change, policy })
    }
}

/// Reads settings. One that does not hold spoils them all.
pub(super) fn settings(documents: &Documents, keyring: &Keyring) -> Result<Settings, FollowError> {
    whole(documents)?;
    let mut settings = Settings::default();
    for document in &documents.documents {
        match document.id.as_str() {
            ZoneSetting::ID => {
                settings.zone = body(document, keyring)?;
                settings.zone_revision = document.revision;
            }
            LimitsSetting::ID => {
                settings.limits = body(document, keyring)?;
                settings.limits_revision = document.revision;
            }
            MasterKeySetting::ID => {
                settings.master_key = Some(body(document, keyring)?);
                settings.master_key_revision = document.revision;
            }
            IdentitiesSetting::ID => {
                settings.identities = body(document, keyring)?;
                settings.identities_revision = document.revision;
            }
            EnrollmentSetting::ID => {
                settings.enrollment = body(document, keyring)?;
                settings.enrollment_revision = document.revision;
            }
            // Of a newer release: it means nothing here.
            _ => {}
        }
    }
    Ok(settings)
}

/// Tokens by their ids.
pub type TokenRecords = BTreeMap<String, TokenRecord>;

/// Reads tokens. One that does not hold is no token: nobody gets in by it. One under a version of the master key that is
/// not here yet stays as it is `known`; only that it is revoked is believed.
pub(super) fn tokens(documents: &Documents, keyring: &Keyring, known: &TokenRecords) -> TokenRecords {
    let read = |document: &Document| match body(document, keyring) {
        Ok(record) => Some((document.id.clone(), record)),
        Err(FollowError::Keyring(KeyringError::NoVersion { .. })) => {
            let mut token = known.get(&document.id)?.clone();
            let told: Option<TokenRecord> = serde_json::from_str(&document.body).ok();
            token.revoked_at = token.revoked_at.or_else(|| told.and_then(|told| told.revoked_at));
            Some((document.id.clone(), token))
        }
        Err(error) => {
            tracing::error!(%error, "a token is refused: its row is damaged");
            None
        }
    };
    for damaged in &documents.damaged {
        tracing::error!(row = damaged.row, reason = damaged.reason, "a token is refused: its row is damaged");
    }
    documents.documents.iter().filter_map(read).collect()
}

/// Join tokens by their ids.
pub type JoinTokenRecords = BTreeMap<JoinTokenId, JoinTokenRecord>;

/// Reads join tokens. One that does not hold lets nobody in; nor does one that is older than the one that is `known`, for
/// somebody put its row back: that one stays as it was.
pub(super) fn join_tokens(
    documents: &Documents,
    keyring: &Keyring,
    known: &JoinTokenRecords,
) -> JoinTokenRecords {
    let read = |document: &Document| {
        let id: JoinTokenId = document.id.parse().ok()?;
        let before = known.get(&id);
        if let Some(before) = before.filter(|before| document.revision < before.revision) {
            tracing::error!(join_token = %id, "the database row of a join token was put back: it stays as it was");
            return Some((id, before.clone()));
        }
        // As it was: hosts use one up while there are thousands of others.
        if let Some(before) = before.filter(|before| document.revision == before.revision) {
            return Some((id, before.clone()));
        }
        match body::<JoinTokenRecord>(document, keyring) {
            Ok(mut record) => {
                record.revision = document.revision;
                Some((id, record))
            }
            Err(error) => {
                tracing::error!(join_token = %id, %error, "a join token lets nobody in: its row is damaged");
                None
            }
        }
    };
    for damaged in &documents.damaged {
        tracing::error!(
            row = damaged.row,
            reason = damaged.reason,
            "a join token lets nobody in: its row is damaged"
        );
    }
    documents.documents.iter().filter_map(read).collect()
}

/// Reads trusts. One that does not hold lets nobody through; nor does one that is older than the one that is `known`, for
/// somebody put its row back: that one stays as it was.
pub(super) fn trusts(documents: &Documents, keyring: &Keyring, known: &Trusts) -> Trusts {
    let known: BTreeMap<String, &Arc<TrustRecord>> =
        known.iter().map(|record| (record.id(), record)).collect();
    let read = |document: &Document| {
        let id = &document.id;
        let before = known.get(id).copied();
        if let Some(before) = before
            && let Err(error) = not_older(id, before.revision, document.revision)
        {
            tracing::error!(trust = id, %error, "the database row of a trust was put back: it stays as it was");
            return Some(TrustRecord::clone(before));
        }
        match body::<TrustRecord>(document, keyring) {
            Ok(mut record) if record.id() == *id => {
                record.revision = document.revision;
                Some(record)
            }
            Ok(_) => {
                tracing::error!(trust = id, "a trust lets nobody through: its row has another name");
                None
            }
            Err(FollowError::Keyring(KeyringError::NoVersion { .. }))
                if before.is_some_and(|before| before.revision == document.revision) =>
            {
                before.map(|before| TrustRecord::clone(before))
            }
            Err(error) => {
                tracing::error!(trust = id, %error, "a trust lets nobody through: its row is damaged");
                None
            }
        }
    };
    for damaged in &documents.damaged {
        tracing::error!(
            row = damaged.row,
            reason = damaged.reason,
            "a trust lets nobody through: its row is damaged"
        );
    }
    Trusts::new(documents.documents.iter().filter_map(read))
}

/// Groups by their ids, which are their local names.
pub type GroupRecords = BTreeMap<String, GroupRecord>;

/// What was found of groups.
pub(super) struct Groups {
    pub(super) records: GroupRecords,
    /// The ids of those that do not hold.
    pub(super) broken: BTreeSet<String>,
    /// The first row that was put back: what it says does not count.
    pub(super) older: Option<FollowError>,
}

/// Reads groups. One that does not hold is no group: nobody gets its keys. Nor is one that was changed under a version of
/// the master key that is not here yet: whom the change takes out, only that version can tell. One that is older than the
/// one that is `known` stays as it was.
pub(super) fn groups(documents: &Documents, keyring: &Keyring, known: &GroupRecords) -> Groups {
    let mut groups = Groups { records: GroupRecords::new(), broken: BTreeSet::new(), older: None };
    for document in &documents.documents {
        let id = &document.id;
        let before = known.get(id);
        if let Some(before) = before
            && let Err(error) = not_older(id, before.revision, document.revision)
        {
            tracing::error!(group = %before.name, %error, "the database row of a group was put back: it stays as it was");
            groups.records.insert(id.clone(), before.clone());
            groups.older.get_or_insert(error);
            continue;
        }
        match body::<GroupRecord>(document, keyring) {
            Ok(mut record) if record.name.local() == id => {
                record.revision = document.revision;
                groups.records.insert(id.clone(), record);
            }
            Ok(_) => {
                tracing::error!(group = id, "a group is out of service: its row has another name");
                groups.broken.insert(id.clone());
            }
            Err(FollowError::Keyring(KeyringError::NoVersion { .. }))
                if before.is_some_and(|before| before.revision == document.revision) =>
            {
                groups.records.extend(before.map(|before| (id.clone(), before.clone())));
            }
            Err(error) => {
                tracing::error!(group = id, %error, "a group is out of service: its row does not open");
                groups.broken.insert(id.clone());
            }
        }
    }
    for damaged in &documents.damaged {
        tracing::error!(
            row = damaged.row,
            reason = damaged.reason,
            "a group is out of service: its row is damaged"
        );
        groups.broken.extend(damaged.document().map(str::to_owned));
    }
    groups
}

/// When the tokens that are good now end, and how many they are.
#[must_use]
pub fn live(tokens: &TokenRecords, now: UnixMillis) -> usize {
    tokens.values().filter(|token| token.is_live(now)).count()
}

/// Refuses a document that is older than the one in force: somebody put an old row back. A database that was really set
/// back is taken as it is when the KDC is started again.
pub(super) fn not_older(id: &str, known: u64, found: u64) -> Result<(), FollowError> {
    match found {
        // None is there: that is no older one.
        0 => Ok(()),
        found if found < known => Err(FollowError::Older { id: id.to_owned(), known, found }),
        _ => Ok(()),
    }
}

/// Refuses documents of which one is left out.
fn whole(documents: &Documents) -> Result<(), StoreError> {
    documents.damaged.first().map_or(Ok(()), |damaged| Err(damaged.clone().into()))
}

fn body<T: serde::de::DeserializeOwned>(document: &Document, keyring: &Keyring) -> Result<T, FollowError> {
    keyring.check_document(document)?;
    serde_json::from_str(&document.body).map_err(|error| FollowError::Document {
        row: format!("document {} {}", document.kind.as_str(), document.id),
        error,
    })
}
