//! The migrations that a build carries, and whether a database has had them.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{SchemaError, StoreError};

/// What `_sqlx_migrations` says of one migration: version, success, checksum.
pub(super) type Applied = (i64, bool, Vec<u8>);

/// What a database says of its own schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Sorted by version; empty when the database has never been migrated.
    pub(super) applied: Vec<Applied>,
    /// The oldest schema that a release must know to work with this one; `None` before schema 3.
    pub(super) oldest: Option<i64>,
}

pub(super) fn sqlite() -> Migrator {
    migrator(&[
        (1, "parties", include_str!("../../../migrations/sqlite/0001_parties.sql")),
        (2, "administration", include_str!("../../../migrations/sqlite/0002_administration.sql")),
        (3, "lifecycle", include_str!("../../../migrations/sqlite/0003_lifecycle.sql")),
        (4, "groups", include_str!("../../../migrations/sqlite/0004_groups.sql")),
        (5, "enrollment", include_str!("../../../migrations/sqlite/0005_enrollment.sql")),
        (6, "trust", include_str!("../../../migrations/sqlite/0006_trust.sql")),
    ])
}

pub(super) fn postgres() -> Migrator {
    migrator(&[
        (1, "parties", include_str!("../../../migrations/postgres/0001_parties.sql")),
        (2, "administration", include_str!("../../../migrations/postgres/0002_administration.sql")),
        (3, "lifecycle", include_str!("../../../migrations/postgres/0003_lifecycle.sql")),
        (4, "groups", include_str!("../../../migrations/postgres/0004_groups.sql")),
        (5, "enrollment", include_str!("../../../migrations/postgres/0005_enrollment.sql")),
        (6, "trust", include_str!("../../../migrations/postgres/0006_trust.sql")),
    ])
}

/// The same as far as one of them: what makes the tables that an older backup was taken of.
///
/// # Errors
/// [`SchemaError::Newer`] for one that this build does not know.
pub(super) fn through(migrator: &Migrator, version: i64) -> Result<Migrator, SchemaError> {
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    if version > known {
        return Err(SchemaError::Newer { found: version, known });
    }
    let migrations = migrator.iter().filter(|migration| migration.version <= version);
    Ok(Migrator::with_migrations(migrations.cloned().collect()))
}

/// Refuses tables that this build cannot work with: it needs its own migrations, to the letter, and of later ones
/// nothing but that they are done and that the database says this build may go on (docs/decisions/0025).
pub(super) fn check(migrator: &Migrator, database: &Found) -> Result<(), SchemaError> {
    let known = newest(migrator.iter().map(|migration| migration.version));
    let found = newest(database.applied.iter().map(|(version, ..)| *version));
    if database.applied.is_empty() {
        return Err(SchemaError::None);
    }
    if found > known && database.oldest.is_none_or(|oldest| oldest > known) {
        return Err(SchemaError::Newer { found, known });
    }
    for (version, success, checksum) in &database.applied {
        let ours = match migrator.iter().find(|migration| migration.version == *version) {
            Some(ours) => ours.checksum == checksum.as_slice(),
            None => *version > known,
        };
        if !success || !ours {
            return Err(SchemaError::Unknown { version: *version });
        }
    }
    let is_there = |version| database.applied.iter().any(|(applied, ..)| *applied == version);
    if let Some(lost) = migrator.iter().find(|m| m.version <= found && !is_there(m.version)) {
        return Err(SchemaError::Unknown { version: lost.version });
    }
    if found < known {
        return Err(SchemaError::Older { found, needed: known });
    }
    Ok(())
}

/// The same at a start, which is told of in the log.
pub(super) fn admit(migrator: &Migrator, database: &Found) -> Result<(), SchemaError> {
    check(migrator, database)?;
    let known = newest(migrator.iter().map(|migration| migration.version));
    let found = newest(database.applied.iter().map(|(version, ..)| *version));
    if found > known {
        tracing::info!(found, known, "a newer release has migrated the database, and lets this one go on");
    }
    Ok(())
}

/// The schema that a database has and the one that this build brings it to.
pub(super) fn steps(migrator: &Migrator, database: &Found) -> Result<(i64, i64), SchemaError> {
    match check(migrator, database) {
        Ok(()) => {
            let found = newest(database.applied.iter().map(|(version, ..)| *version));
            Ok((found, found))
        }
        Err(SchemaError::Older { found, needed }) => Ok((found, needed)),
        Err(error) => Err(error),
    }
}

pub(super) fn failed(error: sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError;
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
            SchemaError::Unknown { version }.into()
        }
        MigrateError::VersionMissing(found) => SchemaError::Newer { found, known: found - 1 }.into(),
        error => sqlx::Error::Migrate(Box::new(error)).into(),
    }
}

fn newest(versions: impl Iterator<Item = i64>) -> i64 {
    versions.max().unwrap_or(0)
}

fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, description, sql)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_migrations() {
        let list = |migrator: Migrator| -> Vec<_> {
            migrator.iter().map(|m| (m.version, m.description.to_string())).collect()
        };
        assert_eq!(list(sqlite()), list(postgres()));
    }

    #[test]
    fn every_file_of_the_folders_is_carried() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        for (folder, migrator) in [("sqlite", sqlite()), ("postgres", postgres())] {
            let mut files: Vec<_> = std::fs::read_dir(format!("{root}/{folder}"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let carried: Vec<_> =
                migrator.iter().map(|m| format!("{:04}_{}.sql", m.version, m.description)).collect();
            assert_eq!(files, carried, "{folder}");
        }
    }

    /// A build that knows two migrations, and a database that has had both.
    fn two() -> (Migrator, Found) {
        let migrator = migrator(&[(1, "one", "a"), (2, "two", "b")]);
        let applied = migrator.iter().map(|m| (m.version, true, m.checksum.to_vec())).collect();
        (migrator, Found { applied, oldest: Some(2) })
    }

    #[test]
    fn what_a_build_knows_must_be_the_very_same() {
        let (migrator, same) = two();
        assert_eq!(check(&migrator, &same), Ok(()));
        assert_eq!(check(&migrator, &Found::default()), Err(SchemaError::None));
        let older = Found { applied: same.applied[..1].to_vec(), oldest: None };
        assert_eq!(check(&migrator, &older), Err(SchemaError::Older { found: 1, needed: 2 }));
        assert_eq!(steps(&migrator, &older), Ok((1, 2)));
        let mut other = same.clone();
        other.applied[0].2[0] ^= 1;
        assert_eq!(check(&migrator, &other), Err(SchemaError::Unknown { version: 1 }));
        let mut unfinished = same.clone();
        unfinished.applied[1].1 = false;
        assert_eq!(check(&migrator, &unfinished), Err(SchemaError::Unknown { version: 2 }));
        let strange =
            Found { applied: [vec![(0, true, vec![])], same.applied.clone()].concat(), oldest: None };
        assert_eq!(check(&migrator, &strange), Err(SchemaError::Unknown { version: 0 }));
        let gap = Found { applied: same.applied[1..].to_vec(), ..same };
        assert_eq!(check(&migrator, &gap), Err(SchemaError::Unknown { version: 1 }));
    }

    #[test]
    fn a_newer_schema_passes_if_it_says_so() {
        let (migrator, mut newer) = two();
        newer.applied.push((3, true, vec![7]));
        newer.applied.push((4, true, vec![7]));
        for oldest in [1, 2] {
            newer.oldest = Some(oldest);
            assert_eq!(check(&migrator, &newer), Ok(()));
            assert_eq!(steps(&migrator, &newer), Ok((4, 4)), "there is no way back");
        }
        for oldest in [Some(3), Some(4), None] {
            let newer = Found { oldest, ..newer.clone() };
            assert_eq!(check(&migrator, &newer), Err(SchemaError::Newer { found: 4, known: 2 }));
        }
        let mut other = newer.clone();
        other.applied[0].2[0] ^= 1;
        assert_eq!(check(&migrator, &other), Err(SchemaError::Unknown { version: 1 }));
        newer.applied[3].1 = false;
        assert_eq!(check(&migrator, &newer), Err(SchemaError::Unknown { version: 4 }));
    }
}
