//! What is wrapped, for [`AtRest`].

use async_trait::async_trait;
use keycell_protocol::Epoch;

use super::PostgresStore;
use crate::store::rows::{self, BoundEnrollmentRow, BoundKeyRow};
use crate::store::{
    Answer, AtRest, KeyPlace, Rewrap, SecretRecord, StaleEnrollments, StaleKeys, StoreError, Target, Wrapped,
    commit, sql,
};

#[async_trait]
impl AtRest for PostgresStore {
    async fn secrets(&self) -> Result<Vec<SecretRecord>, StoreError> {
        let rows = sqlx::query_as(sql::SECRETS).fetch_all(&self.pool).await?;
        rows.into_iter().map(rows::secret).collect()
    }

    async fn stale_keys(
        &self,
        target: Target,
        after: Option<&KeyPlace>,
        limit: u32,
    ) -> Result<StaleKeys, StoreError> {
        let found = sqlx::query(sql::STALE_KEYS)
            .bind(i64::from(target.master_version))
            .bind(i64::from(target.epoch.0))
            .bind(after.map_or("", |place| place.party.as_str()))
            .bind(after.map_or(-1, |place| place.generation))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows::stale_keys(rows::read::<_, BoundKeyRow>("party_key", &found), limit))
    }

    async fn stale_enrollments(
        &self,
        master_version: u32,
        after: &str,
        limit: u32,
    ) -> Result<StaleEnrollments, StoreError> {
        let found = sqlx::query(sql::STALE_ENROLLMENTS)
            .bind(i64::from(master_version))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows::stale_enrollments(rows::read::<_, BoundEnrollmentRow>("party", &found), limit))
    }

    async fn stale_answers(
        &self,
        master_version: u32,
        after: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<Answer>, StoreError> {
        let (actor, idempotency) = after.unwrap_or_default();
        let found = sqlx::query_as(sql::STALE_ANSWERS)
            .bind(i64::from(master_version))
            .bind(actor)
            .bind(idempotency)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows::stale_answers(found))
    }

    async fn rewrap(&self, rows: &[Rewrap]) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        let written = commit::rewrap(&mut *tx, rows).await?;
        tx.commit().await?;
        Ok(written)
    }

    async fn forget_overwritten(&self) -> Result<(), StoreError> {
        // Its own vacuum does what can be done, and does not overwrite (docs/master-key.md).
        Ok(())
    }

    async fn wrapped(&self) -> Result<Vec<Wrapped>, StoreError> {
        rows::wrapped(sqlx::query_as(sql::WRAPPED).fetch_all(&self.pool).await?)
    }

    async fn stale(&self, target: Target) -> Result<u64, StoreError> {
        let rows: i64 = sqlx::query_scalar(sql::STALE)
            .bind(i64::from(target.master_version))
            .bind(i64::from(target.epoch.0))
            .fetch_one(&self.pool)
            .await?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    async fn ratchet_epoch(&self) -> Result<Epoch, StoreError> {
        let epoch = sqlx::query_scalar(sql::RATCHET_EPOCH).fetch_optional(&self.pool).await?;
        rows::ratchet_epoch(epoch.ok_or(StoreError::Empty)?)
    }

    async fn note_ratchet_epoch(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        commit::note_ratchet_epoch(&mut *tx, epoch).await?;
        tx.commit().await?;
        Ok(())
    }
}
