//! Running the commands that a document shows.

#![expect(clippy::expect_used, clippy::panic, reason = "what the harness cannot do fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cell::binary;

/// The commands of the fenced blocks of `languages` in a Markdown text, in their order: in a `console` block the lines
/// after `$ `, with what continues them; in any other every line.
#[must_use]
pub fn commands(markdown: &str, languages: &[&str]) -> String {
    let mut script = String::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
        let wanted = languages.contains(&language.trim());
        let mut goes_on = language.trim() != "console";
        for line in block {
            let command = line.strip_prefix("$ ");
            if let (true, Some(line)) = (wanted, command.or(goes_on.then_some(line))) {
                script.push_str(line);
                script.push('\n');
            }
            if language.trim() == "console" {
                goes_on = (command.is_some() || goes_on) && line.ends_with('\\');
            }
        }
    }
    script
}

/// Runs the commands of a document in `folder`, in one shell that stops at the first that fails, with the built
/// `keycell` first in the path, and returns what they printed.
///
/// # Panics
/// When the document shows no command, or one fails.
pub fn run(document: &Path, languages: &[&str], folder: &Path) -> String {
    let text = fs::read_to_string(document).expect("the document is there");
    let script = commands(&text, languages);
    assert!(!script.is_empty(), "{} shows no commands", document.display());
    let binaries = binary().parent().expect("it is in a folder").to_owned();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").expect("there is a path"));
    // What a command leaves running in the background ends with the shell.
    let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let mut command = Command::new("bash");
    command
        .args(["-euxo", "pipefail", "-c", &script])
        .current_dir(folder)
        .env("PATH", path)
        // Where profiles are kept; the KDC is the one that the document makes.
        .env("HOME", folder)
        .env_remove("XDG_CONFIG_HOME");
    for variable in ENVIRONMENT {
        command.env_remove(variable);
    }
    let output = command.output().expect("there is a bash");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        panic!("{} does not work as it says:\n{err}\n{out}", document.display());
    }
    out.into_owned()
}

/// What would lead a command elsewhere.
const ENVIRONMENT: [&str; 8] = [
    "KEYCELL_CONFIG",
    "KEYCELL_PROFILES",
    "KEYCELL_PROFILE",
    "KEYCELL_URL",
    "KEYCELL_ROOTS",
    "KEYCELL_TOKEN_FILE",
    "KEYCELL_TOKEN",
    "KEYCELL_DATABASE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_their_output() {
        let text =
            "a\n```console\n$ one \\\n  more\noutput\n$ two\n```\n```rust\nlet x;\n```\n```sh\nthree\n```\n";
        assert_eq!(commands(text, &["console", "sh"]), "one \\\n  more\ntwo\nthree\n");
        assert_eq!(commands(text, &["sh"]), "three\n");
    }
}
