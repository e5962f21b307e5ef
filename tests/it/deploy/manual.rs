//! What the operator's page sends people to is there: commands, documents, sections.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::commands::stray;
use super::{file, tool};

const PAGES: [&str; 2] = ["operations.md", "threat-model.md"];

fn page(name: &str) -> String {
    fs::read_to_string(file("../docs").join(name)).unwrap()
}

/// What stands between backticks and begins with `keycell `, a line at a time.
fn commands(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2);
    let mut found: Vec<_> = spans.filter(|span| span.starts_with("keycell ")).map(str::to_owned).collect();
    found.retain(|command| !command.contains("deploy/"));
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_command_is_one_of_keycells() {
    let mut wrong = Vec::new();
    for name in PAGES {
        let text = page(name).replace("```", "\n");
        for command in commands(&text) {
            let line = command.replace('\n', " ");
            let words = tool(Command::new("sh").args(["-c", &format!("set -f; printf '%s\\n' {line}")]));
            let words: Vec<_> = words.lines().skip(1).map(str::to_owned).collect();
            wrong.extend(stray(&words).map(|error| format!("{name}: {line}: {error}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The anchor of a heading, as code hosts make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn every_link_leads_somewhere() {
    let docs = file("../docs");
    let mut broken = Vec::new();
    for name in PAGES {
        let text = page(name);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https:") {
                continue;
            }
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() { Path::new(name) } else { Path::new(path) };
            match fs::read_to_string(docs.join(path)) {
                Err(_) => broken.push(format!("{name}: {link}: there is no such file")),
                Ok(target) => {
                    let mut headings = target.lines().filter(|line| line.starts_with('#'));
                    let is_there = |line: &str| anchor(line.trim_start_matches('#')) == section;
                    if !section.is_empty() && !headings.any(is_there) {
                        broken.push(format!("{name}: {link}: there is no such section"));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
