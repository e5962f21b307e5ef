//! Operations: what is asked, with what, and what is answered.

use axum::http::StatusCode;
use serde_norway::Value;

use super::content::{content, headers, parameters};
use super::curl;
use super::document::{Document, Fields, inline, name_of, reference};
use super::html::Html;
use super::markdown::{self, markdown};

/// One operation.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) id: &'a str,
    /// Its one tag: the section that it is shown in.
    pub(super) tag: &'a str,
    /// Its own parameters, and those of its path that it does not replace.
    pub(super) parameters: Vec<&'a Value>,
    /// The ways to be admitted, one of which is enough.
    pub(super) security: &'a [Value],
    pub(super) body: Option<&'a Value>,
    fields: Fields<'a>,
}

impl<'a> Operation<'a> {
    /// The operations of a path. `security` is what holds where an operation says nothing of it.
    pub(super) fn of_path(
        document: &'a Document,
        path: &'a str,
        value: &'a Value,
        security: &'a [Value],
    ) -> Vec<Self> {
        let item = Fields::new(document, "a path", value);
        let common = item.list("parameters");
        let found = METHODS.into_iter().filter_map(|method| {
            let fields = Fields::new(document, "an operation", item.take(method)?);
            let own = fields.list("parameters");
            let key = |parameter: &'a Value| {
                let parameter = document.resolve(parameter);
                (parameter.get("name"), parameter.get("in"))
            };
            let inherited = common.iter().filter(|theirs| !own.iter().any(|ours| key(ours) == key(theirs)));
            Some(Self {
                method,
                path,
                id: fields.text("operationId").unwrap_or_default(),
                tag: match fields.list("tags") {
                    [tag] => tag.as_str().unwrap_or_default(),
                    _ => {
                        document.report(format!("the tags of `{method} {path}`"));
                        ""
                    }
                },
                parameters: inherited.chain(own).collect(),
                security: if value.get(method)?.get("security").is_some() {
                    fields.list("security")
                } else {
                    security
                },
                body: fields.take("requestBody"),
                fields,
            })
        });
        found.collect()
    }

    /// A link to it in the index.
    pub(super) fn entry(&self, html: &mut Html) {
        html.element("a", &[("href", &format!("#{}", self.id))], |html| {
            self.badge(html);
            html.element("span", &[], |html| html.path(self.path));
        });
    }

    /// All of it.
    pub(super) fn section(&self, html: &mut Html, document: &Document, server: &str) {
        let fields = &self.fields;
        html.element("section", &[("class", "operation"), ("id", self.id)], |html| {
            html.element("h3", &[], |html| {
                html.element("a", &[("href", &format!("#{}", self.id))], |html| {
                    markdown::inline(html, fields.text("summary").unwrap_or(self.id));
                });
            });
            html.element("p", &[("class", "request")], |html| {
                self.badge(html);
                html.element("code", &[], |html| html.path(self.path));
                html.text(" ");
                html.classed("span", "note", self.id);
                if fields.flag("deprecated") {
                    html.text(" ");
                    html.classed("span", "flag", "deprecated");
                }
            });
            if let Some(description) = fields.text("description") {
                markdown(html, description);
            }
            self.admission(html);
            parameters(html, document, &self.parameters);
            if let Some(body) = self.body {
                request_body(html, document, body);
            }
            html.tagged("h4", "Answers");
            answers(html, document, &fields.map("responses"));
            html.tagged("h4", "With curl");
            html.element("pre", &[], |html| html.tagged("code", &curl::command(self, document, server)));
        });
    }

    fn badge(&self, html: &mut Html) {
        html.classed("span", &format!("method {}", self.method), &self.method.to_uppercase());
        html.text(" ");
    }

    /// Whom the KDC admits.
    fn admission(&self, html: &mut Html) {
        html.element("p", &[("class", "note")], |html| {
            if self.security.is_empty() {
                html.text("Authentication: none.");
                return;
            }
            html.text("Authentication: ");
            for (index, way) in self.security.iter().enumerate() {
                if index > 0 {
                    html.text(", or ");
                }
                let schemes = way.as_mapping().into_iter().flatten();
                let mut count = 0;
                for (scheme, roles) in schemes {
                    html.text(if count > 0 { " and " } else { "" });
                    count += 1;
                    let name = inline(scheme);
                    html.link(&format!("#security-{name}"), &name);
                    for role in roles.as_sequence().into_iter().flatten() {
                        html.text(", role ");
                        html.tagged("code", &inline(role));
                    }
                }
                if count == 0 {
                    html.text("none");
                }
            }
            html.text(".");
        });
    }
}

/// What is inside an answer, with its description.
pub(super) fn answer(html: &mut Html, document: &Document, fields: &Fields<'_>) {
    if let Some(description) = fields.text("description") {
        markdown(html, description);
    }
    headers(html, document, &fields.map("headers"));
    content(html, document, &fields.map("content"));
}

fn request_body(html: &mut Html, document: &Document, body: &Value) {
    let fields = Fields::resolved(document, "a request body", body);
    html.element("h4", &[], |html| {
        html.text("Body");
        if !fields.flag("required") {
            html.text(" ");
            html.classed("span", "flag", "optional");
        }
    });
    if let Some(description) = fields.text("description") {
        markdown(html, description);
    }
    content(html, document, &fields.map("content"));
}

/// The answers. Those that share one description are shown as one, with a link to it.
fn answers(html: &mut Html, document: &Document, answers: &[(&str, &Value)]) {
    let mut groups: Vec<(&Value, Vec<&str>)> = Vec::new();
    for (status, value) in answers {
        document.expect_alone("an answer", value);
        let same = |group: &&mut (&Value, Vec<&str>)| {
            reference(value).is_some() && reference(value) == reference(group.0)
        };
        match groups.iter_mut().find(same) {
            Some((_, statuses)) => statuses.push(status),
            None => groups.push((value, vec![status])),
        }
    }
    html.element("dl", &[("class", "answers")], |html| {
        for (value, statuses) in groups {
            html.element("div", &[], |html| {
                for status in statuses {
                    html.element("dt", &[], |html| self::status(html, status));
                }
                html.element("dd", &[], |html| match reference(value) {
                    Some(target) => shared_answer(html, document, target),
                    None => answer(html, document, &Fields::new(document, "an answer", value)),
                });
            });
        }
    });
}

fn status(html: &mut Html, status: &str) {
    html.tagged("code", status);
    let code = StatusCode::from_bytes(status.as_bytes()).ok();
    if let Some(reason) = code.and_then(|code| code.canonical_reason()) {
        html.text(" ");
        html.text(reason);
    }
}

/// An answer that is described elsewhere.
fn shared_answer(html: &mut Html, document: &Document, target: &str) {
    html.element("p", &[], |html| {
        let description = document.follow(target).and_then(|target| target.get("description"));
        if let Some(description) = description.and_then(Value::as_str) {
            markdown::inline(html, description.trim());
            html.text(" ");
        }
        let name = name_of(target);
        html.text("See ");
        html.link(&format!("#answer-{name}"), name);
        html.text(".");
    });
}

const METHODS: [&str; 8] = ["get", "put", "post", "patch", "delete", "head", "options", "trace"];
