//! A cell's database as the release of an earlier schema would have made it.

use std::fs;

use keycell_tests::cell::Cell;
use keycell_tests::schema::Raw;

/// Takes the cell on SQLite back to `schema`: its tables, and in them what such a release kept there.
pub(crate) async fn set_back(cell: &Cell, schema: usize) {
    // No such release remembered revocations beside the database.
    fs::remove_file(cell.file("revocations")).unwrap();
    let (path, newer) = (cell.file("keycell.db"), cell.file("newer.db"));
    let url = format!("sqlite:{}", path.display());
    let mut database = Raw::open(&url).await;
    database.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
    database.close().await;
    fs::rename(&path, &newer).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(cell.file(&format!("keycell.db{end}")));
    }
    let mut database = Raw::open(&url).await;
    database.make(schema).await;
    database.run(&format!("ATTACH '{}' AS newer; DELETE FROM main.change_counter", newer.display())).await;
    let tables = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name <> '_sqlx_migrations'";
    for table in database.texts(tables).await {
        let columns = database.texts(&format!("SELECT name FROM pragma_table_info('{table}', 'main')")).await;
        let columns = columns.join(", ");
        database
            .run(&format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}"))
            .await;
    }
    let secrets =
        ["'key check', 'administrator token key'", "'key check', 'administrator token key', 'audit key'"];
    database
        .run(&format!(
            "DELETE FROM main.secret WHERE name NOT IN ({}); DETACH newer; PRAGMA journal_mode = WAL",
            secrets[schema - 1]
        ))
        .await;
    database.close().await;
    fs::remove_file(newer).unwrap();
}
