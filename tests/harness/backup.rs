//! Backups of a cell, made and put back with the real binary.

#![expect(clippy::expect_used, reason = "what the harness cannot do fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_kdc::store::{self, Store};

use crate::cell::{Cell, Ended};

/// The recovery identity of a cell.
#[derive(Debug)]
pub struct Recovery {
    /// Its file.
    pub identity: PathBuf,
    /// Who it is for.
    pub recipient: String,
}

impl Recovery {
    /// A new one, beside the cell.
    #[must_use]
    pub fn of(cell: &Cell) -> Self {
        let identity = cell.folder().join("recovery.txt");
        let made = cell.run(&["backup", "keygen", text(&identity)]).succeeded();
        let recipient = made.stdout.lines().next().expect("the recipient").to_owned();
        Self { identity, recipient }
    }

    /// Backs the cell up for it.
    #[must_use]
    pub fn back_up(&self, cell: &Cell, name: &str) -> PathBuf {
        let file = cell.folder().join(name);
        cell.run(&["backup", text(&file), "--recipient", &self.recipient]).succeeded();
        file
    }

    /// Puts a backup back into the cell.
    #[must_use]
    pub fn restore(&self, cell: &Cell, file: &Path, more: &[&str]) -> Ended {
        let mut arguments =
            vec!["restore", text(file), "--identity", text(&self.identity), "--folder", "keycell"];
        arguments.extend(more);
        cell.run(&arguments)
    }
}

/// The cell's own database, open.
pub async fn database(cell: &Cell) -> Arc<dyn Store> {
    let config = std::fs::read_to_string(cell.file("keycell.toml")).expect("the cell has a configuration");
    let config: toml::Table = config.parse().expect("it is TOML");
    let url = config.get("database").and_then(toml::Value::as_str).expect("it names its database");
    let url = match url.strip_prefix("sqlite:") {
        Some(name) => format!("sqlite:{}", cell.file(name).display()),
        None => url.to_owned(),
    };
    store::connect(&url).await.expect("the database opens")
}

/// The names of the cell's parties, each with whether it is enabled.
pub async fn parties(cell: &Cell) -> Vec<(String, bool)> {
    let store = database(cell).await;
    let all = store.parties().await.expect("the parties").parties;
    store.close().await;
    all.into_iter().map(|party| (party.name.local().to_owned(), party.enabled)).collect()
}

/// A path as an argument.
///
/// # Panics
/// When it is no text.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}
