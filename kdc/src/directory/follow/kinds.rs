//! How documents are taken in, kind by kind.

use std::collections::BTreeMap;

use super::{Follower, Place};
use crate::directory::documents::{self, not_older};
use crate::directory::{FollowError, JoinTokenRecords, Rules, TokenRecords};
use crate::groups::Memberships;
use crate::settings::{IdentitiesSetting, MasterKeySetting};
use crate::store::{Documents, Kind, StoreError};
use crate::watermark::Living;

impl Follower {
    pub(super) async fn read(&self, kind: Kind, place: &mut Place) -> Result<(), FollowError> {
        let living =
            self.watermark.get().filter(|_| kind == Kind::Group).map(|watermark| watermark.living_groups());
        // Thousands, which are looked at one by one, where they are needed.
        if matches!(kind, Kind::Enrollment | Kind::Conflict) {
            if kind == Kind::Enrollment {
                self.directory.note_waiting_change();
                self.take_decisions(place).await?;
            }
            return Ok(());
        }
        let found = self.store.documents(kind).await?;
        match kind {
            Kind::Token => {
                let tokens = documents::tokens(&found, &self.keyring, &self.directory.tokens());
                self.keep_revoked(place, tokens);
            }
            Kind::Setting => {
                self.hear_of_master_key(&found).await?;
                let settings = documents::settings(&found, &self.keyring)?;
                let before = self.directory.settings();
                not_older("zone", before.zone_revision, settings.zone_revision)?;
                not_older("limits", before.limits_revision, settings.limits_revision)?;
                not_older(IdentitiesSetting::ID, before.identities_revision, settings.identities_revision)?;
                not_older("master-key", before.master_key_revision, settings.master_key_revision)?;
                not_older("enrollment", before.enrollment_revision, settings.enrollment_revision)?;
                if let Some(master_key) = settings.master_key
                    && self.keyring.follow(master_key.active)
                {
                    tracing::info!(
                        version = master_key.active,
                        "this version of the master key wraps from now on"
                    );
                }
                let lifetime = settings.ticket_lifetime_seconds(&self.tickets.load());
                let rules = self.directory.rules();
                if rules.policy.ticket_lifetime_seconds() != lifetime {
                    self.directory.set_rules(rules.with_lifetime(lifetime)?);
                }
                self.directory.set_settings(settings);
            }
            Kind::Rule => {
                let lifetime = self.directory.settings().ticket_lifetime_seconds(&self.tickets.load());
                let rules = Rules::read(&found, &self.keyring, lifetime)?;
                let before = self.directory.rules();
                let known: BTreeMap<_, _> =
                    before.policy.rules().iter().map(|rule| (&rule.id, rule.revision)).collect();
                for rule in rules.policy.rules() {
                    let known = known.get(&rule.id).copied().unwrap_or_default();
                    not_older(rule.id.as_str(), known, rule.revision)?;
                }
                self.directory.set_rules(rules);
            }
            Kind::Group => self.take_groups(&found, living).await?,
            Kind::JoinToken => {
                let known = self.directory.join_tokens();
                let tokens = documents::join_tokens(&found, &self.keyring, &known);
                self.keep_join_tokens_revoked(place, tokens);
            }
            Kind::Trust => {
                let known = self.directory.trusts();
                self.directory.set_trusts(documents::trusts(&found, &self.keyring, &known));
            }
            Kind::Enrollment | Kind::Conflict => {}
        }
        Ok(())
    }

    /// Takes in who is denied, and who is not any more.
    async fn take_decisions(&self, place: &mut Place) -> Result<(), StoreError> {
        let Some(watermark) = self.watermark.get() else { return Ok(()) };
        let decided = match place.decided {
            // Not the hosts themselves, for there may be many.
            Some(after) => watermark.take_in_decisions(&*self.store, after).await?,
            None => watermark.take_in_denials(&*self.store).await?,
        };
        place.decided = Some(decided);
        Ok(())
    }

    /// Takes these groups, with the keys of those that are not here already. A group whose row was put back stays as it
    /// was; the others are taken all the same. Of those that are remembered and were `living` before, the ones that are not
    /// found were deleted.
    pub(super) async fn take_groups(
        &self,
        found: &Documents,
        living: Option<Living>,
    ) -> Result<(), FollowError> {
        let documents::Groups { mut records, mut broken, older } =
            documents::groups(found, &self.keyring, &self.directory.groups());
        let before = self.directory.groups();
        if let Some(watermark) = self.watermark.get() {
            // Also where the group was taken away in between, so that nothing in memory is newer.
            records.retain(|id, record| match watermark.group_goes_back(record) {
                Some(what) if before.get(id) != Some(record) => {
                    tracing::error!(group = %record.name, ?what, "the database row of a group was put back: it is out of service");
                    broken.insert(id.clone());
                    false
                }
                _ => true,
            });
        }
        let known = self.directory.memberships();
        // After the records: the secrets of a chain are there before a record names it.
        let secrets = match records.values().all(|record| known.has(record)) {
            true => Vec::new(),
            false => self.store.secrets().await?,
        };
        if let Some(watermark) = self.watermark.get() {
            let news = records.iter().filter(|(id, record)| before.get(*id) != Some(record));
            news.for_each(|(_, record)| watermark.saw_group(record));
            if let Some(living) = living {
                watermark.saw_deleted_groups(living, found);
            }
            watermark.forget_groups(found);
        }
        let memberships = Memberships::read(found.change, records.values(), &known, &self.keyring, &secrets);
        self.directory.set_groups(records, memberships, broken);
        older.map_or(Ok(()), Err)
    }

    /// Reads the source of the master key again when the zone has gone over to a version that is not here. Whether it really
    /// has, only that version can tell: until it is here, what is in memory stays in force.
    async fn hear_of_master_key(&self, settings: &Documents) -> Result<(), StoreError> {
        let named = settings.documents.iter().find(|document| document.id == MasterKeySetting::ID);
        let active = self.keyring.master_version();
        let version = named.map_or(active, |document| document.master_version);
        if version <= active {
            self.keyring.expect(active);
        } else {
            // Also where there is one of its number: it has not been held against anything yet.
            let renewed = self.keyring.renew(&self.store.secrets().await?);
            if let Err(error) = renewed {
                tracing::error!(%error, "the master key cannot be read again");
            }
            self.keyring.expect(version);
            if let Some(error) = self.keyring.lacking() {
                tracing::error!(%error, "this KDC falls behind until it is given this version of the master key");
            }
        }
        Ok(())
    }

    /// Takes these tokens. One that was revoked stays so, whatever its row says now: Keycell never takes that back, so
    /// somebody else put an old row there.
    pub(super) fn keep_revoked(&self, place: &mut Place, mut tokens: TokenRecords) {
        for (id, token) in &mut tokens {
            match (token.revoked_at, place.revoked.get(id)) {
                (Some(_), None) => {
                    self.watermark.get().inspect(|watermark| watermark.saw_token(id, token));
                    place.revoked.insert(id.clone(), token.clone());
                }
                (None, Some(revoked)) => {
                    tracing::error!(token = %id, "the database row of a revoked token was put back: it stays revoked");
                    *token = revoked.clone();
                }
                _ => {}
            }
        }
        self.directory.set_tokens(tokens);
    }

    /// The same of join tokens.
    pub(super) fn keep_join_tokens_revoked(&self, place: &mut Place, mut tokens: JoinTokenRecords) {
        for (id, token) in &mut tokens {
            match (token.revoked_at, place.revoked_join.get(id)) {
                (Some(_), None) => {
                    self.watermark.get().inspect(|watermark| watermark.saw_join_token(*id, token));
                    place.revoked_join.insert(*id, token.clone());
                }
                (None, Some(revoked)) => {
                    tracing::error!(join_token = %id, "the database row of a revoked join token was put back: it stays revoked");
                    *token = revoked.clone();
                }
                _ => {}
            }
        }
        self.directory.set_join_tokens(tokens);
    }
}
