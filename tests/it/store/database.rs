//! A fresh database of either kind, and a way past the store to its rows.

use std::path::PathBuf;
use std::sync::Arc;

use keycell_kdc::store::{self, Store, StoreError};
use keycell_tests::postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

pub(crate) enum Database {
    Sqlite { folder: TempDir },
    Postgres { url: String, _cluster: Arc<Postgres> },
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn postgres() -> Self {
        Self::postgres_on(Postgres::shared())
    }

    pub(crate) fn postgres_on(cluster: Arc<Postgres>) -> Self {
        Self::Postgres { url: cluster.url(), _cluster: cluster }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { .. } => format!("sqlite:{}", self.path().display()),
            Self::Postgres { url, .. } => url.clone(),
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite { .. })
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Sqlite { folder } => folder.path().join("keycell.db"),
            Self::Postgres { .. } => panic!("PostgreSQL has no file"),
        }
    }

    pub(crate) async fn create(&self) -> Arc<dyn Store> {
        store::create(&self.url()).await.unwrap()
    }

    pub(crate) async fn connect(&self) -> Result<Arc<dyn Store>, StoreError> {
        store::connect(&self.url()).await
    }

    /// Runs SQL as somebody would who can write to the database and is not Keycell.
    pub(crate) async fn run(&self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Sqlite { .. } => {
                let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}
