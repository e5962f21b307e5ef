//! The protocol in models: runs Verifpal on what is in docs/formal, and on each model with a compromise or a weakness put into
//! it, and compares what it finds with what the `.toml` beside the model says that it must.
//!
//! ```text
//! tests/formal/run [NAME...]
//! tests/formal/run show MODEL CASE
//! tests/formal/run table
//! ```
//!
//! It prints each verdict, and the trace of each attack on a weakened model. It ends with 1 if anything differs, in either
//! direction: an attack that was not expected, or one that was not found. `show` prints a case's model, `table` the tables of
//! docs/formal/README.md.

mod case;
mod expectations;
mod findings;
mod runner;
mod table;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::Case;
use expectations::Model;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("formal: FAILED: {faults} of the models' results differ from what is expected");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("formal: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many results differ from what is expected.
fn run(arguments: &[&str]) -> Result<usize, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formal");
    let models = Model::read_all(&folder)?;
    let cases = Case::all(&folder, &models)?;
    match arguments {
        ["show", model, name] => {
            let found = cases.iter().find(|case| case.model == *model && case.name == *name);
            print!("{}", found.ok_or_else(|| none(&cases, &format!("{model}: {name}")))?.text);
            Ok(0)
        }
        ["show", ..] => Err("show MODEL CASE".to_owned()),
        ["table"] => {
            print!("{}", table::both(&models).join("\n"));
            Ok(0)
        }
        names => {
            if let Some(name) = names.iter().find(|name| !cases.iter().any(|case| case.is(name))) {
                return Err(none(&cases, name));
            }
            let is_chosen = |case: &Case| names.is_empty() || names.iter().any(|name| case.is(name));
            let chosen: Vec<Case> = cases.into_iter().filter(is_chosen).collect();
            let faults = runner::run(&verifpal()?, &chosen)?;
            Ok(faults + usize::from(!table::is_in_readme(&folder, &models)?))
        }
    }
}

/// There is no such case, and these there are.
fn none(cases: &[Case], name: &str) -> String {
    let mut error = format!("there is no {name:?}. There are");
    cases.iter().for_each(|case| error.push_str(&format!("\n  {case}")));
    error
}

/// Where tests/formal/install puts it.
fn verifpal() -> Result<PathBuf, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let program = target.join("verifpal/bin/verifpal");
    if program.exists() {
        Ok(program)
    } else {
        Err(format!("there is no {}: tests/formal/install puts it there", program.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What needs no search: each model has its expectations, each edit its place, and the README both tables.
    #[test]
    fn the_models_and_what_is_said_of_them_go_together() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/formal");
        let models = Model::read_all(&folder).unwrap();
        assert!(Case::all(&folder, &models).unwrap().len() > models.len());
        assert!(
            table::is_in_readme(&folder, &models).unwrap(),
            "put in what `tests/formal/run table` prints"
        );
    }

    #[test]
    fn a_name_that_nothing_has_is_an_error() {
        for wrong in [&["ticket", "tickte"][..], &["show", "ticket"], &["show", "ticket", "as it was"]] {
            assert!(run(wrong).is_err(), "{wrong:?}");
        }
        assert!(run(&["show", "ticket", "x"]).unwrap_err().contains("\n  ticket: as it is\n"));
    }
}
