//! The whole page: an index, what the API is, its operations by tag, and what they share.

use serde_norway::Value;

use super::document::{Document, Fields};
use super::html::Html;
use super::markdown::markdown;
use super::operation::{Operation, answer};
use super::schema::{Schema, anchor};

/// The style sheet in the page: its hash is what the policy allows.
pub(super) const STYLE: &str = include_str!("style.css");

/// Renders a document.
pub(super) fn page(document: &Document) -> String {
    let root = document.root();
    let security = root.list("security");
    let paths = root.map("paths");
    let operations = paths.iter().flat_map(|(path, item)| Operation::of_path(document, path, item, security));
    let components = root.take("components").map(|value| Fields::new(document, "the components", value));
    let shared = |name| components.as_ref().map(|components| components.map(name)).unwrap_or_default();
    let contents = Contents {
        document,
        tags: root.list("tags").iter().map(|tag| Tag::new(document, tag)).collect(),
        operations: operations.collect(),
        answers: shared("responses"),
        schemas: shared("schemas"),
        schemes: shared("securitySchemes"),
    };
    let info = root.take("info").map(|info| Fields::new(document, "info", info));
    let title = info.as_ref().and_then(|info| info.text("title")).unwrap_or_default();
    let mut html = Html::default();
    html.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |html| head(html, title));
        html.element("body", &[], |html| {
            html.element("a", &[("class", "skip"), ("href", "#index")], |html| html.text("Index"));
            html.element("main", &[], |html| {
                html.element("header", &[], |html| {
                    html.element("h1", &[("id", "top")], |html| html.text(title));
                    if let Some(info) = &info {
                        about(html, info, root.text("openapi").unwrap_or_default());
                    }
                });
                let servers = root.list("servers");
                self::servers(html, document, servers);
                contents.schemes(html);
                let server = servers.first().and_then(|server| server.get("url")).and_then(Value::as_str);
                contents.operations(html, server.unwrap_or_default());
                contents.shared(html);
            });
            html.element("nav", &[("id", "index"), ("aria-label", "Index")], |html| {
                contents.index(html, title)
            });
        });
    });
    // The other components are shown where they are referred to.
    for kind in ["parameters", "headers", "examples", "requestBodies"] {
        for (name, _) in shared(kind) {
            let reference = format!("#/components/{kind}/{name}");
            if !document.is_followed(&reference) {
                document.report(format!("{reference}, which nothing refers to"));
            }
        }
    }
    html.finish()
}

/// What the page is made of.
struct Contents<'a> {
    document: &'a Document,
    tags: Vec<Tag<'a>>,
    operations: Vec<Operation<'a>>,
    answers: Vec<(&'a str, &'a Value)>,
    schemas: Vec<(&'a str, &'a Value)>,
    schemes: Vec<(&'a str, &'a Value)>,
}

struct Tag<'a> {
    name: &'a str,
    id: String,
    description: Option<&'a str>,
}

impl<'a> Tag<'a> {
    fn new(document: &'a Document, value: &'a Value) -> Self {
        let fields = Fields::new(document, "a tag", value);
        let name = fields.text("name").unwrap_or_default();
        // An address may not have spaces.
        Self { name, id: format!("tag-{}", name.replace(' ', "-")), description: fields.text("description") }
    }
}

impl Contents<'_> {
    fn index(&self, html: &mut Html, title: &str) {
        html.element("p", &[("class", "title")], |html| html.link("#top", title));
        for tag in &self.tags {
            html.element("p", &[], |html| html.link(&format!("#{}", tag.id), tag.name));
            html.element("ul", &[], |html| {
                for operation in self.operations_of(tag) {
                    html.element("li", &[], |html| operation.entry(html));
                }
            });
        }
        html.element("p", &[], |html| html.link("#answers", "shared answers"));
        html.element("p", &[], |html| html.link("#schemas", "schemas"));
        html.element("ul", &[], |html| {
            for (name, _) in &self.schemas {
                html.element("li", &[], |html| html.link(&format!("#{}", anchor(name)), name));
            }
        });
        html.element("p", &[], |html| html.link("/openapi.yaml", "openapi.yaml"));
    }

    fn operations(&self, html: &mut Html, server: &str) {
        for tag in &self.tags {
            html.element("section", &[], |html| {
                html.element("h2", &[("id", &tag.id)], |html| html.text(tag.name));
                if let Some(description) = tag.description {
                    markdown(html, description);
                }
                for operation in self.operations_of(tag) {
                    operation.section(html, self.document, server);
                }
            });
        }
    }

    fn operations_of(&self, tag: &Tag<'_>) -> impl Iterator<Item = &Operation<'_>> {
        self.operations.iter().filter(move |operation| operation.tag == tag.name)
    }

    fn schemes(&self, html: &mut Html) {
        html.element("section", &[], |html| {
            html.tagged("h2", "Authentication");
            html.element("dl", &[("class", "fields")], |html| {
                for (name, value) in &self.schemes {
                    let scheme = Fields::resolved(self.document, "a security scheme", value);
                    html.element("dt", &[("id", &format!("security-{name}"))], |html| {
                        html.tagged("code", name);
                        let words = SCHEME.into_iter().filter_map(|keyword| scheme.text(keyword));
                        html.text(" ");
                        html.classed("span", "type", &words.collect::<Vec<_>>().join(", "));
                    });
                    html.element("dd", &[], |html| {
                        if let Some(description) = scheme.text("description") {
                            markdown(html, description);
                        }
                    });
                }
            });
        });
    }

    /// The answers and the schemas that operations refer to.
    fn shared(&self, html: &mut Html) {
        html.element("section", &[], |html| {
            html.element("h2", &[("id", "answers")], |html| html.text("Shared answers"));
            for (name, value) in &self.answers {
                part(html, &format!("answer-{name}"), name, |html| {
                    answer(html, self.document, &Fields::resolved(self.document, "an answer", value));
                });
            }
        });
        html.element("section", &[], |html| {
            html.element("h2", &[("id", "schemas")], |html| html.text("Schemas"));
            for (name, value) in &self.schemas {
                part(html, &anchor(name), name, |html| {
                    let schema = Schema::new(self.document, value);
                    html.element("p", &[("class", "type")], |html| schema.headline(html));
                    schema.details(html);
                });
            }
        });
    }
}

fn head(html: &mut Html, title: &str) {
    html.empty("meta", &[("charset", "utf-8")]);
    html.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    html.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    html.tagged("title", title);
    // Without one, browsers ask for /favicon.ico.
    html.empty("link", &[("rel", "icon"), ("href", "data:,")]);
    html.style(STYLE);
}

fn about(html: &mut Html, info: &Fields<'_>, openapi: &str) {
    html.element("p", &[("class", "note")], |html| {
        html.text(&format!("Version {}", info.text("version").unwrap_or_default()));
        html.text(&format!(", OpenAPI {openapi}: "));
        html.link("/openapi.yaml", "openapi.yaml");
        for (field, before) in [("license", "License: "), ("contact", "Contact: ")] {
            if let Some(value) = info.take(field) {
                let fields = Fields::new(info.document(), field, value);
                let mut words: Vec<_> = ["name", "identifier", "email", "url"]
                    .into_iter()
                    .filter_map(|key| fields.text(key))
                    .collect();
                words.dedup();
                html.text(&format!(". {before}{}", words.join(", ")));
            }
        }
        if let Some(terms) = info.text("termsOfService") {
            html.text(". ");
            html.link(terms, "Terms of service");
        }
        html.text(".");
    });
    if let Some(summary) = info.text("summary") {
        html.classed("p", "summary", summary);
    }
    if let Some(description) = info.text("description") {
        markdown(html, description);
    }
}

fn servers(html: &mut Html, document: &Document, servers: &[Value]) {
    html.element("section", &[], |html| {
        html.tagged("h2", "Servers");
        html.element("dl", &[("class", "fields")], |html| {
            for server in servers {
                let server = Fields::new(document, "a server", server);
                html.element("dt", &[], |html| html.tagged("code", server.text("url").unwrap_or_default()));
                html.element("dd", &[], |html| {
                    if let Some(description) = server.text("description") {
                        markdown(html, description);
                    }
                });
            }
        });
    });
}

/// A part with a heading that one can link to.
fn part(html: &mut Html, id: &str, name: &str, inside: impl FnOnce(&mut Html)) {
    html.element("section", &[("class", "part"), ("id", id)], |html| {
        html.element("h3", &[], |html| html.link(&format!("#{id}"), name));
        inside(html);
    });
}

/// What is said of a security scheme on its first line.
const SCHEME: [&str; 6] = ["type", "scheme", "bearerFormat", "in", "name", "openIdConnectUrl"];
