//! A cell's database as the release of an earlier schema would have made it.

use std::fs;

use aws_lc_rs::signature::Ed25519KeyPair;
use keycell_kdc::config::Config;
use keycell_tests::cell::Cell;
use keycell_tests::schema::Raw;

/// Takes the cell on SQLite back to `schema`: its tables, and in them what such a release kept there.
pub(crate) async fn set_back(cell: &Cell, schema: usize) {
    // No such release remembered revocations beside the database.
    fs::remove_file(cell.file("revocations")).unwrap();
    let (path, newer) = (cell.file("keycell.db"), cell.file("newer.db"));
    let url = format!("sqlite:{}", path.display());
    let audit_key = audit_key(cell).await;
    let mut database = Raw::open(&url).await;
    database.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
    database.close().await;
    fs::rename(&path, &newer).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(cell.file(&format!("keycell.db{end}")));
    }
    let mut database = Raw::open(&url).await;
    database.make(schema).await;
    database
        .run(&format!(
            "ATTACH '{}' AS newer; DELETE FROM main.change_counter; {}",
            newer.display(),
            ["", "", "DELETE FROM main.schema_needs"][schema - 1]
        ))
        .await;
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations'";
    for table in database.texts(tables).await {
        let columns = database.texts(&format!("SELECT name FROM pragma_table_info('{table}', 'main')")).await;
        let columns = columns.join(", ");
        database
            .run(&format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}"))
            .await;
    }
    if schema >= 2 {
        let (version, wrapped) = audit_key;
        database
            .run(&format!(
                "INSERT INTO main.secret VALUES ('audit key', 1, {version}, X'{wrapped}');
                 DELETE FROM main.document WHERE kind = 'setting' AND id = 'identities'"
            ))
            .await;
    }
    if schema >= 3 {
        database.run("UPDATE main.schema_needs SET oldest = 3").await;
    }
    let secrets = [
        "'key check', 'administrator token key'",
        "'key check', 'administrator token key', 'audit key'",
        "'key check', 'administrator token key', 'audit key', 'zone'",
    ];
    database
        .run(&format!(
            "DELETE FROM main.secret WHERE name NOT IN ({}); DETACH newer; PRAGMA journal_mode = WAL",
            secrets[schema - 1]
        ))
        .await;
    database.close().await;
    fs::remove_file(newer).unwrap();
}

/// The signing key of the primary identity as releases before there were identities kept it: the version of the master key
/// that wraps it, and the wrapped row in hexadecimal.
pub(crate) async fn audit_key(cell: &Cell) -> (u32, String) {
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let primary = opened.store.secret("identity #KDC#00001").await.unwrap().unwrap();
    let seeds = opened.keyring.open_secret(&primary).unwrap();
    let pkcs8 = Ed25519KeyPair::from_seed_unchecked(&seeds[1..33]).unwrap().to_pkcs8().unwrap();
    let random = &mut rand_core::UnwrapErr(getrandom::SysRng);
    let sealed = opened.keyring.seal_secret("audit key", 1, pkcs8.as_ref(), random);
    opened.store.close().await;
    (sealed.master_version, sealed.wrapped.iter().map(|byte| format!("{byte:02x}")).collect())
}
