//! The commands and variables that files of `deploy/` name must be those of `keycell`.

use std::collections::BTreeSet;

/// What is wrong with a command line that follows the program's name, if anything.
pub(crate) fn complaint(arguments: &[String]) -> Option<String> {
    let line = std::iter::once("keycell".to_owned()).chain(arguments.iter().cloned());
    let error = keycell_kdc::cli::command().try_get_matches_from(line).err()?;
    Some(format!("keycell {}: {error}", arguments.join(" ")))
}

/// What in a command line `keycell` does not have: a command or an option. What is only left out is no matter.
pub(crate) fn stray(arguments: &[String]) -> Option<String> {
    let line = std::iter::once("keycell".to_owned()).chain(arguments.iter().cloned());
    let error = keycell_kdc::cli::command().try_get_matches_from(line).err()?;
    let kind = format!("{:?}", error.kind());
    ["InvalidSubcommand", "UnknownArgument"].contains(&kind.as_str()).then(|| error.to_string())
}

/// The variables `KEYCELL_…` in a text that `keycell --help` does not tell of.
pub(crate) fn unknown_variables(text: &str) -> BTreeSet<String> {
    let help = keycell_kdc::cli::command().render_long_help().to_string();
    let known = variables(&help);
    assert!(known.contains("KEYCELL_DATABASE"), "{help}");
    // A setting of the configuration by its path; whether there is such a setting, the KDC says at its start.
    variables(text).into_iter().filter(|name| !known.contains(name) && !name.contains("__")).collect()
}

fn variables(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit();
    let words = text.split(|c: char| !is_name(c));
    words.filter(|word| word.starts_with("KEYCELL_")).map(str::to_owned).collect()
}

#[test]
fn a_mistake_is_found() {
    let complains = |line: &str| complaint(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_some();
    assert!(!complains("serve") && !complains("--config a.toml check-config"));
    assert!(complains("server") && complains("serve --listen 1") && complains("party add"));
    let strays = |line: &str| stray(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_some();
    assert!(!strays("party add") && strays("party adds") && strays("status --colour"));
    let unknown = unknown_variables("KEYCELL_CONFIG=1 $KEYCELL_DATABASES KEYCELL_LIMITS__NONCES");
    assert_eq!(unknown.into_iter().collect::<Vec<_>>(), ["KEYCELL_DATABASES"]);
}
