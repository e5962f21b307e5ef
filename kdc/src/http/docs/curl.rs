//! How an operation is tried with curl.

use serde_norway::Value;

use super::content::first_example;
use super::document::{Document, inline};
use super::operation::Operation;

/// The command, made of the operation's path, method and first examples.
pub(super) fn command(operation: &Operation<'_>, document: &Document, server: &str) -> String {
    let mut path = operation.path.to_owned();
    let mut query = Vec::new();
    let mut options = vec!["curl --cacert roots.pem".to_owned()];
    if operation.method != "get" {
        options.push(format!("-X {}", operation.method.to_uppercase()));
    }
    if !operation.security.is_empty() {
        options.push(r#"-H "Authorization: Bearer $(cat admin.token)""#.to_owned());
    }
    for parameter in &operation.parameters {
        let parameter = document.resolve(parameter);
        let field = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, required) =
            (field("name"), parameter.get("required").and_then(Value::as_bool) == Some(true));
        let example = first_example(document, parameter).map(inline);
        match (field("in"), example) {
            ("path", Some(example)) => path = path.replace(&format!("{{{name}}}"), &encoded(&example)),
            ("query", example) if required => {
                query.push(format!("{name}={}", encoded(&example.unwrap_or_default())));
            }
            ("header", Some(example)) if required => {
                options.push(format!("-H {}", quoted(&format!("{name}: {example}"))));
            }
            _ => {}
        }
    }
    let body =
        operation.body.and_then(|body| document.resolve(body).get("content")?.as_mapping()?.iter().next());
    if let Some((media_type, body)) = body {
        options.push(format!("-H {}", quoted(&format!("Content-Type: {}", inline(media_type)))));
        // Not --data, which takes the line breaks out of a file.
        let example =
            first_example(document, body).map_or_else(|| "@body".to_owned(), |body| quoted(&inline(body)));
        options.push(format!("--data-binary {example}"));
    }
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    options.push(quoted(&format!("{server}{path}{query}")));
    options.join(" \\\n  ")
}

/// A word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A value within a URL: everything but letters, digits and `-._~` percent-encoded (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
