//! `keycell migrate`

use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::cell;
use crate::clock::SystemClock;
use crate::config::Config;

#[derive(Debug, Serialize)]
struct Migrated {
    from: i64,
    to: i64,
}

pub(super) async fn run(config: &Config, output: &Output) -> Outcome {
    let (from, to) = cell::migrate(config, &SystemClock).await?;
    let migrated = Migrated { from, to };
    Ok(output.print(&migrated, |out| {
        if from == to {
            writeln!(out, "The database has schema {to} already; nothing was changed.")
        } else {
            writeln!(out, "The database was of schema {from} and is of schema {to} now.")
        }
    })?)
}
