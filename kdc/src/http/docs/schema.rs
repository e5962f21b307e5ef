//! Schemas: what a value may be, in words.

use serde_norway::Value;

use super::document::{Document, Fields, inline, name_of};
use super::html::Html;
use super::markdown::markdown;

/// A schema, read so far that its kind can be said in a few words.
#[derive(Debug)]
pub(super) struct Schema<'a> {
    kind: Kind<'a>,
    /// What else is said of the value; nothing for `true` and `false`.
    fields: Option<Fields<'a>>,
    /// `oneOf` and its like, with their schemas.
    branches: Vec<(Branch, Vec<Self>)>,
}

#[derive(Debug)]
enum Kind<'a> {
    /// A schema of the components.
    Named(&'a str),
    /// Of what, and the other types that it may be instead.
    Array(Box<Schema<'a>>, Vec<&'a str>),
    /// The names of the types, or other words.
    Words(String),
    /// Only its branches say.
    Open,
}

/// What a keyword that joins schemas is called in a line, and above a list.
#[derive(Debug)]
struct Branch {
    keyword: &'static str,
    joint: &'static str,
    title: &'static str,
}

impl<'a> Schema<'a> {
    /// Opens a schema.
    pub(super) fn new(document: &'a Document, value: &'a Value) -> Self {
        if let Some(any) = value.as_bool() {
            let kind = Kind::Words(if any { "anything" } else { "nothing" }.to_owned());
            return Self { kind, fields: None, branches: Vec::new() };
        }
        let fields = Fields::new(document, "a schema", value);
        let branches = BRANCHES.into_iter().filter_map(|branch| {
            let schemas: Vec<_> =
                fields.list(branch.keyword).iter().map(|value| Self::new(document, value)).collect();
            (!schemas.is_empty()).then_some((branch, schemas))
        });
        let branches: Vec<_> = branches.collect();
        let kind = Kind::of(&fields, &branches);
        Self { kind, fields: Some(fields), branches }
    }

    /// The kind of value, in a few words of one line.
    pub(super) fn headline(&self, html: &mut Html) {
        match &self.kind {
            Kind::Named(name) => html.link(&format!("#{}", anchor(name)), name),
            Kind::Array(items, others) => {
                html.text("array of ");
                items.headline(html);
                for other in others {
                    html.text(" or ");
                    html.text(other);
                }
            }
            Kind::Words(words) => html.text(words),
            Kind::Open => match self.branches.first() {
                Some((branch, schemas)) => {
                    for (index, schema) in schemas.iter().enumerate() {
                        if index > 0 {
                            html.text(branch.joint);
                        }
                        schema.headline(html);
                    }
                }
                None => html.text("anything"),
            },
        }
        let Some(fields) = &self.fields else { return };
        if let Some(format) = fields.text("format") {
            html.text(&format!(" ({format})"));
        }
        for (flag, words) in FLAGS {
            if fields.flag(flag) {
                html.text(" ");
                html.classed("span", "flag", words);
            }
        }
    }

    /// Everything else, in blocks; often nothing.
    pub(super) fn details(&self, html: &mut Html) {
        let Some(fields) = &self.fields else { return };
        if let Some(title) = fields.text("title") {
            html.element("p", &[], |html| html.tagged("strong", title));
        }
        if let Some(description) = fields.text("description") {
            markdown(html, description);
        }
        constraints(html, fields);
        if let Kind::Array(items, _) = &self.kind {
            nested(html, "Each of them:", items);
        }
        for (branch, schemas) in &self.branches {
            self.branch(html, branch, schemas);
        }
        if let Some(not) = fields.take("not") {
            let not = Self::new(fields.document(), not);
            html.element("p", &[], |html| {
                html.text("Not: ");
                not.headline(html);
            });
            not.details(html);
        }
        properties(html, fields);
    }

    /// The schemas of a branch, unless the headline has said all of them.
    fn branch(&self, html: &mut Html, branch: &Branch, schemas: &[Self]) {
        let mut more = false;
        let mut list = Html::default();
        list.element("ul", &[], |list| {
            for schema in schemas {
                list.element("li", &[], |item| {
                    schema.headline(item);
                    let mut details = Html::default();
                    schema.details(&mut details);
                    more |= !details.is_empty();
                    item.append(&details);
                });
            }
        });
        let said = matches!(self.kind, Kind::Open) && self.branches.len() == 1;
        if more || !said {
            html.tagged("p", branch.title);
            html.append(&list);
        }
    }
}

impl<'a> Kind<'a> {
    fn of(fields: &Fields<'a>, branches: &[(Branch, Vec<Schema<'a>>)]) -> Self {
        let document = fields.document();
        if let Some(target) = fields.text("$ref") {
            document.follow(target);
            return Self::Named(name_of(target));
        }
        let nullable = fields.flag("nullable");
        let mut types: Vec<_> = fields.list("type").iter().filter_map(Value::as_str).collect();
        types.extend(fields.text("type"));
        if nullable {
            types.push("null");
        }
        if types.contains(&"array")
            && let Some(items) = fields.take("items")
        {
            types.retain(|name| *name != "array");
            return Self::Array(Box::new(Schema::new(document, items)), types);
        }
        match (types.is_empty(), branches.is_empty()) {
            (false, _) => Self::Words(types.join(" or ")),
            (true, false) => Self::Open,
            (true, true) => Self::Words("any value".to_owned()),
        }
    }
}

/// The place of a schema of the components on the page.
pub(super) fn anchor(name: &str) -> String {
    format!("schema-{name}")
}

/// A schema that is not named anywhere, with a line above it.
fn nested(html: &mut Html, title: &str, schema: &Schema<'_>) {
    let mut details = Html::default();
    schema.details(&mut details);
    if !details.is_empty() {
        html.element("div", &[("class", "nested")], |html| {
            html.tagged("p", title);
            html.append(&details);
        });
    }
}

/// Ranges, lengths, patterns, defaults and examples.
fn constraints(html: &mut Html, fields: &Fields<'_>) {
    let mut list = Html::default();
    value_list(&mut list, fields, "enum", "one of");
    for (from, to, one, many) in RANGES {
        let unit = |count: &str| if count == "1" { one } else { many };
        let words = match (fields.take(from).map(inline), fields.take(to).map(inline)) {
            (Some(from), Some(to)) if from == to => format!("{from}{}", unit(&from)),
            (Some(from), Some(to)) => format!("{from} to {to}{}", unit(&to)),
            (Some(from), None) => format!("at least {from}{}", unit(&from)),
            (None, Some(to)) => format!("at most {to}{}", unit(&to)),
            (None, None) => continue,
        };
        list.tagged("li", &words);
    }
    for (keyword, words) in VALUES {
        if let Some(value) = fields.take(keyword) {
            values(&mut list, words, std::slice::from_ref(value));
        }
    }
    value_list(&mut list, fields, "examples", "for example");
    if fields.flag("uniqueItems") {
        list.tagged("li", "none of them twice");
    }
    if !list.is_empty() {
        html.element("ul", &[("class", "constraints")], |html| html.append(&list));
    }
}

fn value_list(list: &mut Html, fields: &Fields<'_>, keyword: &'static str, words: &str) {
    let found = fields.list(keyword);
    if !found.is_empty() {
        values(list, words, found);
    }
}

fn values(list: &mut Html, words: &str, values: &[Value]) {
    list.element("li", &[], |item| {
        item.text(words);
        for (index, value) in values.iter().enumerate() {
            item.text(if index == 0 { " " } else { ", " });
            item.tagged("code", &inline(value));
        }
    });
}

/// What an object holds.
fn properties(html: &mut Html, fields: &Fields<'_>) {
    let document = fields.document();
    let required: Vec<_> = fields.list("required").iter().filter_map(Value::as_str).collect();
    let properties = fields.map("properties");
    let unnamed = required.iter().filter(|name| !properties.iter().any(|(property, _)| property == *name));
    let unnamed: Vec<_> = unnamed.map(|name| Value::from(*name)).collect();
    if !properties.is_empty() {
        html.element("dl", &[("class", "fields")], |html| {
            for (name, value) in properties {
                property(html, name, &Schema::new(document, value), required.contains(&name));
            }
        });
    }
    if !unnamed.is_empty() {
        html.element("ul", &[("class", "constraints")], |html| values(html, "required:", &unnamed));
    }
    for (pattern, value) in fields.map("patternProperties") {
        others(html, &format!("Properties named like {pattern}: "), &Schema::new(document, value));
    }
    if let Some(names) = fields.take("propertyNames") {
        others(html, "Names of properties: ", &Schema::new(document, names));
    }
    match fields.take("additionalProperties") {
        Some(Value::Bool(false)) => html.classed("p", "note", "No other properties."),
        Some(value) => others(html, "Other properties: ", &Schema::new(document, value)),
        None => {}
    }
}

/// A name, what its value is, and all about it.
pub(super) fn property(html: &mut Html, name: &str, schema: &Schema<'_>, required: bool) {
    html.element("dt", &[], |html| {
        html.tagged("code", name);
        html.text(" ");
        html.element("span", &[("class", "type")], |html| schema.headline(html));
        if required {
            html.text(" ");
            html.classed("span", "flag", "required");
        }
    });
    html.element("dd", &[], |html| schema.details(html));
}

fn others(html: &mut Html, words: &str, schema: &Schema<'_>) {
    html.element("p", &[("class", "note")], |html| {
        html.text(words);
        schema.headline(html);
    });
    nested(html, "Each of them:", schema);
}

const BRANCHES: [Branch; 3] = [
    Branch { keyword: "oneOf", joint: " or ", title: "Exactly one of:" },
    Branch { keyword: "anyOf", joint: " or ", title: "Any of:" },
    Branch { keyword: "allOf", joint: " and ", title: "All of:" },
];

const FLAGS: [(&str, &str); 3] =
    [("deprecated", "deprecated"), ("readOnly", "only in answers"), ("writeOnly", "only in requests")];

/// The keywords of the two ends of a range, and what is counted: one, and several.
const RANGES: [(&str, &str, &str, &str); 4] = [
    ("minimum", "maximum", "", ""),
    ("minLength", "maxLength", " character", " characters"),
    ("minItems", "maxItems", " item", " items"),
    ("minProperties", "maxProperties", " property", " properties"),
];

const VALUES: [(&str, &str); 9] = [
    ("exclusiveMinimum", "more than"),
    ("exclusiveMaximum", "less than"),
    ("multipleOf", "a multiple of"),
    ("pattern", "matches"),
    ("contentEncoding", "encoded as"),
    ("contentMediaType", "of the media type"),
    ("const", "always"),
    ("default", "default"),
    ("example", "for example"),
];
