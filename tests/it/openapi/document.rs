//! `openapi.yaml`, read for what it promises.

use jsonschema::Validator;
use keycell_tests::http::Answer;
use serde_json::{Value, json};

/// The document, as JSON.
pub(crate) struct Document(Value);

impl Document {
    pub(crate) fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
        let document: Value = serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        Self(document)
    }

    /// `METHOD /path` of each operation, sorted.
    pub(crate) fn operations(&self) -> Vec<String> {
        let mut operations = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            operations.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
        }
        operations.sort();
        operations
    }

    /// Checks an answer's status, media type, body and `Retry-After` against what is written of its operation.
    pub(crate) fn check(&self, method: &str, path: &str, answer: &Answer) {
        let what = format!("{method} {path} {}", answer.status);
        let operation = &self.0["paths"][path][method.to_lowercase()];
        let response = self.resolved(&operation["responses"][answer.status.to_string()]);
        assert!(response.is_object(), "{what} is not described");
        if let Some(headers) = response.get("headers").and_then(Value::as_object) {
            for name in headers.keys() {
                assert!(!answer.header(name).is_empty(), "{what}: no {name}");
            }
        }
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            assert!(answer.body.is_empty(), "{what} is described as empty: {}", answer.text());
            return;
        };
        let media_type = answer.header("content-type").split(';').next().unwrap().trim().to_owned();
        let described =
            content.get(&media_type).unwrap_or_else(|| panic!("{what}: {media_type} is not described"));
        let body = if media_type.ends_with("json") { answer.json() } else { json!(answer.text()) };
        self.assert_valid(&described["schema"], &body, &what);
        if media_type == "application/problem+json" {
            assert_eq!(body["status"], json!(answer.status), "{what}");
        }
    }

    /// Checks every example of the document, and every schema with it; returns how many examples there are.
    pub(crate) fn examples(&self) -> usize {
        for (name, schema) in self.0["components"]["schemas"].as_object().unwrap() {
            assert!(jsonschema::meta::is_valid(schema), "{name} is no schema");
            self.validator(schema);
        }
        let mut count = 0;
        let mut rest = vec![&self.0["paths"]];
        while let Some(value) = rest.pop() {
            if let (Some(schema), Some(examples)) = (value.get("schema"), value.get("examples")) {
                for (name, example) in examples.as_object().unwrap() {
                    self.assert_valid(schema, &example["value"], name);
                    count += 1;
                }
            }
            rest.extend(value.as_object().into_iter().flat_map(|object| object.values()));
            rest.extend(value.as_array().into_iter().flatten());
        }
        count
    }

    fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let errors: Vec<_> = self
            .validator(schema)
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
    }

    /// The schemas of OpenAPI 3.1 are those of JSON Schema 2020-12; references are into the document.
    fn validator(&self, schema: &Value) -> Validator {
        let mut root =
            json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema] });
        root["components"] = self.0["components"].clone();
        jsonschema::validator_for(&root).unwrap()
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }
}
