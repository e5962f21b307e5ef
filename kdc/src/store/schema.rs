//! The migrations that a build carries, and whether a database has had them.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::{SchemaError, StoreError};

/// What `_sqlx_migrations` says of one migration: version, success, checksum.
pub(super) type Applied = (i64, bool, Vec<u8>);

pub(super) fn sqlite() -> Migrator {
    migrator(&[
        (1, "parties", include_str!("../../../migrations/sqlite/0001_parties.sql")),
        (2, "administration", include_str!("../../../migrations/sqlite/0002_administration.sql")),
        (3, "lifecycle", include_str!("../../../migrations/sqlite/0003_lifecycle.sql")),
    ])
}

pub(super) fn postgres() -> Migrator {
    migrator(&[
        (1, "parties", include_str!("../../../migrations/postgres/0001_parties.sql")),
        (2, "administration", include_str!("../../../migrations/postgres/0002_administration.sql")),
        (3, "lifecycle", include_str!("../../../migrations/postgres/0003_lifecycle.sql")),
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

/// Refuses tables that are not exactly those of this build. `applied` is sorted by version, and `None` when the
/// database has never been migrated.
pub(super) fn check(migrator: &Migrator, applied: Option<&[Applied]>) -> Result<(), SchemaError> {
    let applied = applied.filter(|applied| !applied.is_empty()).ok_or(SchemaError::None)?;
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = applied.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    if found > known {
        return Err(SchemaError::Newer { found, known });
    }
    for (version, success, checksum) in applied {
        let ours = migrator.iter().find(|migration| migration.version == *version);
        if !success || ours.is_none_or(|migration| migration.checksum != checksum.as_slice()) {
            return Err(SchemaError::Unknown { version: *version });
        }
    }
    if found < known {
        return Err(SchemaError::Older { found, needed: known });
    }
    Ok(())
}

/// The schema that a database has and the one that this build brings it to.
pub(super) fn steps(migrator: &Migrator, applied: Option<&[Applied]>) -> Result<(i64, i64), SchemaError> {
    match check(migrator, applied) {
        Ok(()) => {
            let found = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
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

    #[test]
    fn only_the_very_same_schema_passes() {
        let migrator = migrator(&[(1, "one", "a"), (2, "two", "b")]);
        let rows: Vec<Applied> = migrator.iter().map(|m| (m.version, true, m.checksum.to_vec())).collect();
        assert_eq!(check(&migrator, Some(&rows)), Ok(()));
        assert_eq!(check(&migrator, None), Err(SchemaError::None));
        assert_eq!(check(&migrator, Some(&[])), Err(SchemaError::None));
        assert_eq!(check(&migrator, Some(&rows[..1])), Err(SchemaError::Older { found: 1, needed: 2 }));
        let mut newer = rows.clone();
        newer.push((3, true, vec![]));
        assert_eq!(check(&migrator, Some(&newer)), Err(SchemaError::Newer { found: 3, known: 2 }));
        let mut other = rows.clone();
        other[0].2[0] ^= 1;
        assert_eq!(check(&migrator, Some(&other)), Err(SchemaError::Unknown { version: 1 }));
        let mut unfinished = rows;
        unfinished[1].1 = false;
        assert_eq!(check(&migrator, Some(&unfinished)), Err(SchemaError::Unknown { version: 2 }));
    }
}
