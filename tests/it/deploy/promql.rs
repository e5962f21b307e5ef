//! Which metrics an expression of PromQL names.

use std::collections::BTreeSet;

/// Words that are neither metrics nor functions; labels stand in parentheses after those of the second list.
const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "inf"];
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The metrics that a valid expression names.
pub(crate) fn metrics(expression: &str) -> BTreeSet<String> {
    let text = without_strings(expression);
    let mut found = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(character) = rest.chars().next() {
        if character == '{' || character == '[' {
            let end = if character == '{' { '}' } else { ']' };
            rest = after(rest, end);
        } else if character.is_ascii_alphabetic() || character == '_' {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let behind = behind.trim_start();
            if BEFORE_LABELS.contains(&word) {
                rest = if behind.starts_with('(') { after(behind, ')') } else { behind };
                continue;
            }
            // Before a parenthesis, or the `by` of an aggregation, stands a function.
            let next = behind.split(|c: char| !is_word(c)).next().unwrap_or_default();
            let function = behind.starts_with('(') || ["by", "without"].contains(&next);
            if !function && !WORDS.contains(&word) {
                found.insert(word.to_owned());
            }
            rest = behind;
        } else if character.is_ascii_digit() {
            // A number with its exponent or unit is no name.
            rest = rest.trim_start_matches(|c: char| is_word(c) || c == '.');
        } else {
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).unwrap_or_default().1
}

/// Strings may hold anything.
fn without_strings(text: &str) -> String {
    text.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

#[test]
fn names_are_told_from_everything_else() {
    for (expression, names) in [
        ("up == 0", "up"),
        (
            r#"sum by (job, instance) (rate(a_total{status=~"5..", b!="{c"}[5m])) / sum(d_total) > 1e3"#,
            "a_total d_total",
        ),
        ("histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))", "x_bucket"),
        ("max(a) by (job) and on (job) b offset 1h unless c > bool 3.6e6", "a b c"),
        ("time() - s > 3 * 86400", "s"),
    ] {
        let found: Vec<_> = metrics(expression).into_iter().collect();
        assert_eq!(found.join(" "), names, "{expression}");
    }
}
