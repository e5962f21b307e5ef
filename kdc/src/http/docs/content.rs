//! What is sent and answered: parameters, headers, bodies and their examples.

use serde_norway::Value;

use super::document::{Document, Fields, block, inline};
use super::html::Html;
use super::markdown::markdown;
use super::schema::Schema;

/// Parameters, or nothing when there are none.
pub(super) fn parameters(html: &mut Html, document: &Document, parameters: &[&Value]) {
    if parameters.is_empty() {
        return;
    }
    html.tagged("h4", "Parameters");
    html.element("dl", &[("class", "fields")], |html| {
        for parameter in parameters {
            let fields = Fields::resolved(document, "a parameter", parameter);
            let place = fields.text("in").unwrap_or_default();
            named(html, fields.text("name").unwrap_or_default(), place, &fields);
        }
    });
}

/// The headers of an answer, or nothing when there are none.
pub(super) fn headers(html: &mut Html, document: &Document, headers: &[(&str, &Value)]) {
    if headers.is_empty() {
        return;
    }
    html.element("dl", &[("class", "fields")], |html| {
        for (name, header) in headers {
            named(html, name, "header", &Fields::resolved(document, "a header", header));
        }
    });
}

/// A body in each of its media types.
pub(super) fn content(html: &mut Html, document: &Document, content: &[(&str, &Value)]) {
    for (media_type, value) in content {
        let fields = Fields::new(document, "a media type", value);
        let schema = fields.take("schema").map(|schema| Schema::new(document, schema));
        html.element("p", &[("class", "media")], |html| {
            html.tagged("code", media_type);
            if let Some(schema) = &schema {
                html.text(" ");
                html.element("span", &[("class", "type")], |html| schema.headline(html));
            }
        });
        if let Some(schema) = &schema {
            schema.details(html);
        }
        examples(html, &fields);
    }
}

/// Reads the first example that there is of a parameter or a body, or of its schema.
pub(super) fn first_example<'a>(document: &'a Document, value: &'a Value) -> Option<&'a Value> {
    let value = document.resolve(value);
    let named =
        value.get("examples").and_then(Value::as_mapping).and_then(|examples| examples.values().next());
    let own =
        named.and_then(|example| document.resolve(example).get("value")).or_else(|| value.get("example"));
    own.or_else(|| {
        let schema = document.resolve(value.get("schema")?);
        schema.get("examples").and_then(|examples| examples.get(0)).or_else(|| schema.get("example"))
    })
}

/// A parameter or a header.
fn named(html: &mut Html, name: &str, place: &str, fields: &Fields<'_>) {
    let schema = fields.take("schema").map(|schema| Schema::new(fields.document(), schema));
    html.element("dt", &[], |html| {
        html.tagged("code", name);
        html.text(" ");
        html.element("span", &[("class", "type")], |html| {
            html.text(place);
            if let Some(schema) = &schema {
                html.text(", ");
                schema.headline(html);
            }
        });
        for (flag, words) in [("required", "required"), ("deprecated", "deprecated")] {
            if fields.flag(flag) {
                html.text(" ");
                html.classed("span", "flag", words);
            }
        }
    });
    html.element("dd", &[], |html| {
        if let Some(description) = fields.text("description") {
            markdown(html, description);
        }
        for keyword in ["style", "explode"] {
            if let Some(value) = fields.take(keyword) {
                html.classed("p", "note", &format!("{keyword}: {}", inline(value)));
            }
        }
        if let Some(schema) = &schema {
            schema.details(html);
        }
        examples(html, fields);
    });
}

fn examples(html: &mut Html, fields: &Fields<'_>) {
    if let Some(value) = fields.take("example") {
        example(html, "Example", value);
    }
    for (name, value) in fields.map("examples") {
        let fields = Fields::resolved(fields.document(), "an example", value);
        let title = fields
            .text("summary")
            .map_or_else(|| format!("Example: {name}"), |summary| format!("Example: {summary}"));
        if let Some(value) = fields.take("value") {
            example(html, &title, value);
        }
        if let Some(description) = fields.text("description") {
            markdown(html, description);
        }
    }
}

fn example(html: &mut Html, title: &str, value: &Value) {
    html.element("figure", &[], |html| {
        html.tagged("figcaption", title);
        html.element("pre", &[], |html| html.tagged("code", block(value).trim_end()));
    });
}
