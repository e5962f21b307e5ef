//! What is in `deploy/`, held against the tools that will read it and the `keycell` that it starts.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

#[path = "deploy/commands.rs"]
mod commands;
#[path = "deploy/container.rs"]
mod container;
#[path = "deploy/manual.rs"]
mod manual;
#[path = "deploy/prometheus.rs"]
mod prometheus;
#[path = "deploy/promql.rs"]
mod promql;
#[path = "deploy/ready.rs"]
mod ready;
#[path = "deploy/systemd.rs"]
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file of `deploy/`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// Runs a tool; what it printed, if it was content.
fn tool(command: &mut Command) -> String {
    let output = output(command);
    let printed = [&output.stdout[..], &output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(output.status.success(), "{command:?}: {printed}");
    printed
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}
