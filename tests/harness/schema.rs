//! A database past Keycell: as an earlier release made it, or as a later one may.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use sqlx::migrate::{Migrate as _, Migration, MigrationType};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _, SqliteConnection};

/// The migrations that a release of schema 3 carried.
const SQLITE: [&str; 3] = [
    include_str!("../../migrations/sqlite/0001_parties.sql"),
    include_str!("../../migrations/sqlite/0002_administration.sql"),
    include_str!("../../migrations/sqlite/0003_lifecycle.sql"),
];
const POSTGRES: [&str; 3] = [
    include_str!("../../migrations/postgres/0001_parties.sql"),
    include_str!("../../migrations/postgres/0002_administration.sql"),
    include_str!("../../migrations/postgres/0003_lifecycle.sql"),
];
const NAMES: [&str; 3] = ["parties", "administration", "lifecycle"];

/// One connection to either database.
#[derive(Debug)]
pub enum Raw {
    /// To a file.
    Sqlite(SqliteConnection),
    /// To a server.
    Postgres(PgConnection),
}

impl Raw {
    /// Opens the database at `url`; a file that is not there is made.
    pub async fn open(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(
                SqliteConnection::connect(&format!("{url}?mode=rwc")).await.expect("the database does it"),
            )
        } else {
            Self::Postgres(PgConnection::connect(url).await.expect("the database does it"))
        }
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => drop(sql.execute(connection).await.expect("the database does it")),
            Self::Postgres(connection) => drop(sql.execute(connection).await.expect("the database does it")),
        }
    }

    /// The first column of what a query finds.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => query.fetch_all(connection).await.expect("the database does it"),
            Self::Postgres(connection) => sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
                .fetch_all(connection)
                .await
                .expect("the database does it"),
        }
    }

    /// Makes the tables as a release of this schema did.
    pub async fn make(&mut self, schema: usize) {
        let texts = match self {
            Self::Sqlite(_) => SQLITE,
            Self::Postgres(_) => POSTGRES,
        };
        for (index, (name, sql)) in NAMES.into_iter().zip(texts).take(schema).enumerate() {
            let version = i64::try_from(index).expect("a small number") + 1;
            let migration =
                Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false);
            match self {
                Self::Sqlite(connection) => {
                    connection.ensure_migrations_table(MIGRATIONS).await.expect("the database does it");
                    connection.apply(MIGRATIONS, &migration).await.expect("the database does it");
                }
                Self::Postgres(connection) => {
                    connection.ensure_migrations_table(MIGRATIONS).await.expect("the database does it");
                    connection.apply(MIGRATIONS, &migration).await.expect("the database does it");
                }
            }
        }
    }

    /// Does what the next release may do while this one serves: more columns in every table, another table, and no word
    /// to this one that it must stop.
    pub async fn expand(&mut self) {
        let tables = match self {
            Self::Sqlite(_) => {
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            }
            Self::Postgres(_) => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
        };
        let tables = self.texts(tables).await;
        assert!(tables.len() >= 12, "{tables:?}");
        let mut sql = String::from("BEGIN; CREATE TABLE later (one INTEGER NOT NULL PRIMARY KEY);");
        for table in tables.iter().filter(|table| *table != MIGRATIONS) {
            sql.push_str(&format!("ALTER TABLE {table} ADD COLUMN later INTEGER NOT NULL DEFAULT 7;"));
            sql.push_str(&format!("ALTER TABLE {table} ADD COLUMN latest TEXT NOT NULL DEFAULT 'x';"));
            sql.push_str(&format!("CREATE INDEX later_{table} ON {table} (later);"));
        }
        sql.push_str(&format!(
            "INSERT INTO {MIGRATIONS} (version, description, success, checksum, execution_time)
             SELECT version + 1, 'later', success, checksum, 0 FROM {MIGRATIONS} ORDER BY version DESC LIMIT 1; COMMIT"
        ));
        self.run(&sql).await;
    }

    /// Ends the connection.
    pub async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.expect("the database does it"),
            Self::Postgres(connection) => connection.close().await.expect("the database does it"),
        }
    }
}

const MIGRATIONS: &str = "_sqlx_migrations";
