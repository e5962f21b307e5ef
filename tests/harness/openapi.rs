//! `openapi.yaml`, read for what it promises. Every answer that a test receives is held against it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what is not as described fails the test"
)]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The description of the API. Its objects are closed: what an answer has and the description has not fails.
pub struct Description {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Description {
    /// The one in the root of the repository.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Description> = LazyLock::new(|| {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
            let text = std::fs::read_to_string(path).expect("it is in the root");
            let mut document: Value = serde_norway::from_str(&text).expect("it is YAML");
            assert_eq!(document["openapi"], "3.1.0");
            close(&mut document);
            Description { document, validators: Mutex::default() }
        });
        &SHARED
    }

    /// `METHOD /path` of each operation, sorted, with the statuses that it may answer.
    #[must_use]
    pub fn operations(&self) -> Vec<(String, Vec<u16>)> {
        let mut operations = Vec::new();
        for (path, item) in fields(&self.document["paths"]) {
            for (method, operation) in fields(item).filter(|(name, _)| *name != "parameters") {
                let statuses = fields(&operation["responses"]).map(|(status, _)| status.parse());
                let statuses = statuses.collect::<Result<_, _>>().expect("statuses are numbers");
                operations.push((format!("{} {path}", method.to_uppercase()), statuses));
            }
        }
        operations.sort();
        operations
    }

    /// Holds an answer against what is written of its operation: status, headers, media type and body. Returns the
    /// operation as `METHOD /path`, with the path's parameters in braces.
    ///
    /// # Panics
    /// When it is not as described.
    #[must_use]
    pub fn check(
        &self,
        method: &Method,
        path: &str,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> String {
        // A HEAD is answered as a GET, without the body.
        let head = *method == Method::HEAD;
        let verb = if head { "get".to_owned() } else { method.as_str().to_lowercase() };
        let template = self.template(path);
        let name = format!("{} {}", verb.to_uppercase(), template.unwrap_or(path));
        let what = format!("{name} {status}");
        if status == 431 {
            // The head was too long to be read: nobody has seen what it asks for.
            assert!(body.is_empty(), "{what}: {}", String::from_utf8_lossy(body));
            return name;
        }
        assert!(headers.contains_key("x-request-id"), "{what}: no request id");
        let operation = template.and_then(|template| self.document["paths"][template].get(&verb));
        let Some(operation) = operation else {
            self.check_unrouted(&what, template.is_some(), status, headers, body);
            return name;
        };
        let (key, response) = self.resolved(&operation["responses"][status.to_string()], || what.clone());
        assert!(response.is_object(), "{what} is not described: {}", String::from_utf8_lossy(body));
        for (header, described) in response.get("headers").into_iter().flat_map(fields) {
            self.check_header(&what, header, described, headers);
        }
        if head {
            return name;
        }
        let Some(content) = response.get("content") else {
            assert!(body.is_empty(), "{what} is described as empty: {}", String::from_utf8_lossy(body));
            return name;
        };
        let media_type = text(headers, "content-type").split(';').next().unwrap_or_default().trim();
        let described =
            content.get(media_type).unwrap_or_else(|| panic!("{what}: {media_type:?} is not described"));
        self.check_body(&what, &format!("{key} {media_type}"), media_type, &described["schema"], body);
        if let Some(line) = operation["operationId"].as_str().and_then(line_of).filter(|_| status == 200) {
            for text in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.check_body(&what, line, "application/json", &reference(line), text);
            }
        }
        name
    }

    /// Checks every example of the document, and every schema with it; returns how many examples there are.
    ///
    /// # Panics
    /// When one does not keep to its schema.
    #[must_use]
    pub fn examples(&self) -> usize {
        for (name, schema) in fields(&self.document["components"]["schemas"]) {
            assert!(jsonschema::meta::is_valid(schema), "{name} is no schema");
            for example in schema.get("examples").and_then(Value::as_array).into_iter().flatten() {
                self.assert_valid(name, &reference(name), example, name);
            }
        }
        let mut count = 0;
        let mut rest = vec![("paths".to_owned(), &self.document["paths"])];
        rest.push(("responses".to_owned(), &self.document["components"]["responses"]));
        while let Some((place, value)) = rest.pop() {
            if let (Some(schema), Some(examples)) = (value.get("schema"), value.get("examples")) {
                for (name, example) in fields(examples) {
                    let (_, example) = self.resolved(example, String::new);
                    self.assert_valid(&place, schema, &example["value"], &format!("{place} {name}"));
                    count += 1;
                }
            }
            if let Some(list) = value.as_array() {
                rest.extend(list.iter().enumerate().map(|(at, value)| (format!("{place}/{at}"), value)));
            }
            rest.extend(fields(value).map(|(name, value)| (format!("{place}/{name}"), value)));
        }
        count
    }

    /// The path of the document that a request's path is one of; one without parameters goes before others.
    fn template(&self, path: &str) -> Option<&str> {
        let paths = &self.document["paths"];
        let fits = |template: &&str| {
            let (mut ours, mut theirs) = (template.split('/'), path.split('/'));
            ours.by_ref()
                .zip(theirs.by_ref())
                .all(|(ours, theirs)| ours == theirs || ours.starts_with('{') && !theirs.is_empty())
                && template.matches('/').count() == path.matches('/').count()
        };
        let mut known = fields(paths).map(|(template, _)| template);
        known.clone().find(|template| *template == path).or_else(|| known.find(fits))
    }

    /// What no operation answers is a problem: that there is no such path, or no such method, or what any request may
    /// be told before anybody looks at its path.
    fn check_unrouted(&self, what: &str, path: bool, status: u16, headers: &HeaderMap, body: &[u8]) {
        let expected = if path { 405 } else { 404 };
        assert!(
            [expected, 408, 413, 429, 503].contains(&status),
            "{what}: {}",
            String::from_utf8_lossy(body)
        );
        assert_eq!(text(headers, "content-type"), PROBLEM, "{what}");
        assert!(status != 405 || headers.contains_key("allow"), "{what}: which methods are?");
        if !body.is_empty() {
            self.check_body(what, "Problem", PROBLEM, &reference("Problem"), body);
        }
    }

    fn check_header(&self, what: &str, name: &str, described: &Value, headers: &HeaderMap) {
        let (key, described) = self.resolved(described, || format!("{what} {name}"));
        let Some(value) = headers.get(name) else {
            assert_ne!(described["required"], true, "{what}: no {name}");
            return;
        };
        let value = value.to_str().unwrap_or_else(|_| panic!("{what}: {name} is no text"));
        let number = described["schema"]["type"] == "integer";
        let value = if number { json!(value.parse::<u64>().ok()) } else { json!(value) };
        self.assert_valid(&key, &described["schema"], &value, &format!("{what} {name}"));
    }

    fn check_body(&self, what: &str, key: &str, media_type: &str, schema: &Value, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let value = if media_type.ends_with("json") && !media_type.ends_with("ndjson") {
            serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}: {text}"))
        } else if media_type.ends_with("yaml") {
            serde_norway::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}"))
        } else {
            json!(text)
        };
        self.assert_valid(key, schema, &value, what);
        if media_type == PROBLEM {
            let status = what.rsplit(' ').next().and_then(|status| status.parse::<u16>().ok());
            assert_eq!(value["status"].as_u64(), status.map(u64::from), "{what}: {text}");
        }
    }

    fn assert_valid(&self, key: &str, schema: &Value, value: &Value, what: &str) {
        let validator = self.validator(key, schema);
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
    }

    /// The schemas of OpenAPI 3.1 are those of JSON Schema 2020-12; references are into the document.
    fn validator(&self, key: &str, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(key.to_owned()).or_insert_with(|| {
            let mut root =
                json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema] });
            root["components"] = json!({ "schemas": self.document["components"]["schemas"] });
            Arc::new(jsonschema::validator_for(&root).expect("its schemas are schemas"))
        });
        made.clone()
    }

    /// What a value refers to, with a name for it that is the same for all who refer to it.
    fn resolved<'a>(&'a self, value: &'a Value, name: impl FnOnce() -> String) -> (String, &'a Value) {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let found = self.document.pointer(reference.trim_start_matches('#'));
                (reference.to_owned(), found.unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => (name(), value),
        }
    }
}

/// The schema of each line, where an operation answers with lines.
fn line_of(operation: &str) -> Option<&'static str> {
    match operation {
        "importParties" => Some("ImportLine"),
        "exportAudit" => Some("AuditLine"),
        _ => None,
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> + Clone {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Lets objects have no other fields than are described.
fn close(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let is_schema = object.get("properties").is_some_and(Value::is_object)
                && object.get("type").is_some_and(Value::is_string);
            if is_schema && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

const PROBLEM: &str = "application/problem+json";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        method: &Method,
        path: &str,
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> String {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Description::shared().check(method, path, status, &headers.collect(), body.as_bytes())
    }

    const ID: (&str, &str) = ("x-request-id", "1");
    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn operations_are_told_by_method_and_path() {
        let keys = r#"{"keys":[]}"#;
        let name = check(&Method::GET, "/v1/admin/parties/a%40z/keys", 200, &[ID, JSON], keys);
        assert_eq!(name, "GET /v1/admin/parties/{name}/keys");
        assert_eq!(check(&Method::HEAD, "/livez", 200, &[ID], ""), "GET /livez");
    }

    #[test]
    #[should_panic(expected = "is not described")]
    fn another_status_is_seen() {
        check(&Method::GET, "/v1/admin/policy/rules/a", 409, &[ID, JSON], "{}");
    }

    #[test]
    #[should_panic(expected = "Additional properties")]
    fn another_field_is_seen() {
        check(&Method::GET, "/v1/admin/parties/a%40z/keys", 200, &[ID, JSON], r#"{"keys":[],"more":1}"#);
    }

    #[test]
    #[should_panic(expected = "no ETag")]
    fn a_missing_header_is_seen() {
        check(&Method::GET, "/v1/admin/limits", 200, &[ID, JSON], "{}");
    }

    #[test]
    #[should_panic(expected = "is not described")]
    fn another_media_type_is_seen() {
        check(&Method::GET, "/livez", 200, &[ID, JSON], "{}");
    }

    #[test]
    #[should_panic(expected = "is not valid under any of the schemas")]
    fn a_line_that_is_none_is_seen() {
        let lines = ("content-type", "application/x-ndjson");
        let body = "{\"line\":1,\"name\":\"a\",\"outcome\":\"made\"}\n";
        check(&Method::POST, "/v1/admin/parties/import", 200, &[ID, lines], body);
    }
}
