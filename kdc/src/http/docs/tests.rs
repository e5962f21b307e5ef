//! The page shows all of the document, and is good HTML.

use std::collections::BTreeSet;

use serde_norway::Value;

use super::document::inline;
use super::*;

#[test]
fn everything_that_the_description_says_is_on_the_page() {
    let (page, unread) = rendered(OPENAPI);
    assert_eq!(unread, Vec::<String>::new());
    let shown = words(&text_of(&page));
    let root: Value = serde_norway::from_str(OPENAPI).unwrap();
    let mut said = Vec::new();
    texts(&root, &mut said);
    assert!(said.len() > 200);
    for text in said {
        assert!(shown.contains(&words(&without_marks(&text))), "not on the page: {text}");
    }
}

#[test]
fn every_operation_and_schema_has_a_place() {
    let (page, _) = rendered(OPENAPI);
    let root: Value = serde_norway::from_str(OPENAPI).unwrap();
    let mut count = 0;
    for path in root["paths"].as_mapping().unwrap().values() {
        for operation in path.as_mapping().unwrap().values().filter_map(|value| value.get("operationId")) {
            assert!(page.contains(&format!(" id=\"{}\"", inline(operation))), "{operation:?}");
            count += 1;
        }
    }
    assert_eq!(count, crate::http::routes().len());
    for name in root["components"]["schemas"].as_mapping().unwrap().keys() {
        assert!(page.contains(&format!(" id=\"schema-{}\"", inline(name))), "{name:?}");
    }
}

#[test]
fn the_page_is_well_formed() {
    for document in [OPENAPI, EXAMPLE, "", "not: [closed"] {
        let (page, _) = rendered(document);
        let ids = assert_well_formed(&page);
        assert_eq!(page.matches("<h1").count(), 1);
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
        for forbidden in ["<script", " style=", " onclick=", "src="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(ids.contains(target), "a link leads nowhere: {target}");
        }
    }
}

#[test]
#[should_panic(expected = "closes nothing")]
fn what_is_not_well_formed_is_seen() {
    assert_well_formed("<p><em>a</p></em>");
}

/// A new keyword anywhere in the description must be shown, or `everything_that…` fails.
#[test]
fn a_keyword_that_is_not_shown_is_reported() {
    let root: Value = serde_norway::from_str(EXAMPLE).unwrap();
    assert_eq!(rendered(EXAMPLE).1, Vec::<String>::new());
    let mut places = Vec::new();
    mappings(&root, String::new(), &mut places);
    let named =
        ["/paths", "/examples", "/properties", "/patternProperties", "/content", "/headers", "/responses"];
    let mut count = 0;
    for place in places {
        let above = place.rsplit_once('/').map_or("", |(above, _)| above);
        // Names, what is sent, and what admits are not keywords; `components` has mappings of names.
        let of_names = named.iter().any(|end| place.ends_with(end)) && !above.ends_with("/properties");
        if of_names || above == "/components" || place.contains("/value") || place.contains("/security/") {
            continue;
        }
        // The operation has its own in place of this one.
        if place.contains("{who}/parameters/1") {
            continue;
        }
        let mut changed = root.clone();
        let mut at = &mut changed;
        for part in place.split('/').skip(1) {
            at = match part.parse::<usize>() {
                Ok(index) if at.is_sequence() => &mut at[index],
                _ => &mut at[part.replace("~1", "/").as_str()],
            };
        }
        at.as_mapping_mut().unwrap().insert("x-new".into(), true.into());
        let (_, unread) = rendered(&serde_norway::to_string(&changed).unwrap());
        assert_eq!(unread.len(), 1, "{place}: {unread:?}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn what_leads_nowhere_is_reported() {
    for (from, to) in [
        ("schemas/Name'", "schemas/Nobody'"),
        ("parameters/Who'", "parameters/Nobody'"),
        ("responses/No'", "responses/Nobody'"),
        ("headers/Tag'", "headers/Nobody'"),
        ("examples/Two'", "examples/Nobody'"),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let (_, unread) = rendered(&EXAMPLE.replacen(from, to, 1));
        assert!(unread.iter().any(|report| report.contains("leads nowhere")), "{from}: {unread:?}");
    }
    let (_, unread) = rendered(&EXAMPLE.replace("    Two: {", "    Three: { value: 3 }\n    Two: {"));
    assert_eq!(unread, ["#/components/examples/Three, which nothing refers to"]);
    // Without a tag it would be in no section; with two, in one of them only.
    let (_, unread) = rendered(&EXAMPLE.replace("tags: [one]", "tags: [one, two]"));
    assert!(unread.contains(&"the tags of `put /things/{who}`".to_owned()), "{unread:?}");
}

#[test]
fn schemas_are_told_in_words() {
    let text = words(&text_of(&rendered(EXAMPLE).0));
    for expected in [
        "kind string required one of a, b default b",
        "count integer (int32) only in answers 1 to 10",
        "few array of Name or null at least 1 item none of them twice",
        "maybe Name or null",
        "old string or null deprecated at most 1 character",
        "either string (uuid) or object Exactly one of: string (uuid) object x boolean required",
        "both Name and Other",
        "never string always n",
        "Other properties: array of number Each of them: Each of them: more than 0",
        "No other properties.",
        "Properties named like ^x-: anything",
        "required: hidden",
        "It's <b>bold</b> & \"more\" of a list: first second",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn commands_for_curl() {
    let text = text_of(&rendered(EXAMPLE).0);
    let expected = r#"curl --cacert roots.pem \
  -X PUT \
  -H "Authorization: Bearer $(cat admin.token)" \
  -H 'If-Match: "3"' \
  -H 'Content-Type: application/x-ndjson' \
  --data-binary '{"a":"it'\''s"}
{"b":2}
' \
  'https://kdc.example/things/a%40b%2Fc?mode=all%20of%20it'"#;
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("curl --cacert roots.pem \\\n  'https://kdc.example/things'"), "{text}");
}

#[test]
fn what_the_client_has() {
    let fixed = Fixed::new("text/plain", "default-src 'none'", "text".into());
    let asks = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
        }
        fixed.is_known(&headers)
    };
    let (etag, weak) = (fixed.etag.as_str(), format!("W/{}", fixed.etag));
    assert!(asks(&[etag]) && asks(&[&weak]) && asks(&["*"]));
    assert!(asks(&["\"a\"", etag]) && asks(&[&format!("\"a\", {weak}")]));
    assert!(!asks(&[]) && !asks(&["\"a\""]) && !asks(&[etag.trim_matches('"')]));
}

fn rendered(yaml: &str) -> (String, Vec<String>) {
    let document = Document::new(yaml);
    let page = page::page(&document);
    (page, document.unread())
}

/// Every text of a document, and every name.
fn texts(value: &Value, into: &mut Vec<String>) {
    for (name, value) in value.as_mapping().into_iter().flatten() {
        match name.as_str() {
            // A reference is a link.
            Some("$ref") => continue,
            Some(name) if name.len() > 2 && value.is_null() => into.push(name.to_owned()),
            _ => {}
        }
        texts(value, into);
    }
    value.as_sequence().into_iter().flatten().for_each(|value| texts(value, into));
    into.extend(value.as_str().map(str::to_owned));
}

/// Where the mappings of a document are.
fn mappings(value: &Value, place: String, into: &mut Vec<String>) {
    for (name, value) in value.as_mapping().into_iter().flatten() {
        mappings(value, format!("{place}/{}", inline(name).replace('/', "~1")), into);
    }
    for (index, value) in value.as_sequence().into_iter().flatten().enumerate() {
        mappings(value, format!("{place}/{index}"), into);
    }
    if value.is_mapping() {
        into.push(place);
    }
}

fn without_marks(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.collect::<Vec<_>>().join(" ").replace("**", "").replace('`', "")
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of a page, with a space where a block begins or ends.
fn text_of(page: &str) -> String {
    let mut text = String::new();
    for piece in page.split_once("</style>").unwrap().1.split('<').skip(1) {
        let (tag, after) = piece.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split(' ').next().unwrap();
        if !["a", "code", "span", "strong", "wbr"].contains(&name) {
            text.push(' ');
        }
        text.push_str(after);
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}

/// Checks that every tag is closed where it must be, and returns the ids, of which none is there twice.
fn assert_well_formed(page: &str) -> BTreeSet<String> {
    let (mut open, mut ids) = (Vec::new(), BTreeSet::new());
    let mut rest = page;
    while let Some((text, from)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "a stray > in: {text}");
        let (tag, after) = from.split_once('>').unwrap();
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes nothing");
            continue;
        }
        let name = tag.split(' ').next().unwrap();
        if !["!doctype", "meta", "link", "wbr"].contains(&name) {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(id) = tag.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next()) {
            assert!(!id.is_empty() && !id.contains(' '), "the id {id:?}");
            assert!(ids.insert(id.to_owned()), "the id {id} is there twice");
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    ids
}

/// A document with a little of everything.
const EXAMPLE: &str = include_str!("example.yaml");
