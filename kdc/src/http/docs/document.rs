//! The description of the API, read so that nothing of it is passed over.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_norway::{Mapping, Value};

/// An OpenAPI document, and what has been read of it.
#[derive(Debug)]
pub(super) struct Document {
    root: Value,
    unread: RefCell<BTreeSet<String>>,
    followed: RefCell<BTreeSet<String>>,
}

impl Document {
    /// Reads a document. One that cannot be read is empty: the tests show that ours can.
    pub(super) fn new(yaml: &str) -> Self {
        let root = serde_norway::from_str(yaml).unwrap_or_default();
        Self { root, unread: RefCell::default(), followed: RefCell::default() }
    }

    /// The whole.
    pub(super) fn root(&self) -> Fields<'_> {
        Fields::new(self, "the document", &self.root)
    }

    /// What a value refers to, or the value itself.
    pub(super) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        reference(value).and_then(|target| self.follow(target)).unwrap_or(value)
    }

    /// What a reference leads to.
    pub(super) fn follow(&self, reference: &str) -> Option<&Value> {
        self.followed.borrow_mut().insert(reference.to_owned());
        let mut parts = reference.strip_prefix("#/").unwrap_or_default().split('/');
        let found = parts.try_fold(&self.root, |value, part| value.get(part));
        if found.is_none() {
            self.report(format!("the reference {reference} leads nowhere"));
        }
        found
    }

    /// Notes what is beside a reference: it would have to be shown together with what the reference leads to.
    pub(super) fn expect_alone(&self, kind: &str, value: &Value) {
        if reference(value).is_some() && value.as_mapping().is_some_and(|fields| fields.len() > 1) {
            self.report(format!("what is beside the $ref of {kind}"));
        }
    }

    /// Whether something has been shown where a reference led to it.
    pub(super) fn is_followed(&self, reference: &str) -> bool {
        self.followed.borrow().contains(reference)
    }

    /// What has been passed over so far.
    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<String> {
        self.unread.borrow().iter().cloned().collect()
    }

    /// Notes what the page does not show.
    pub(super) fn report(&self, what: String) {
        self.unread.borrow_mut().insert(what);
    }
}

/// The target of a reference.
pub(super) fn reference(value: &Value) -> Option<&str> {
    value.get("$ref").and_then(Value::as_str)
}

/// The last part of a reference: the name of what it leads to.
pub(super) fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// The fields of one thing of the document. A field that nobody has taken by the end is reported: what the page does
/// not show is found by reading the document, not by a list of keywords that someone has to keep.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    document: &'a Document,
    kind: &'static str,
    fields: Option<&'a Mapping>,
    taken: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// Opens a value, that is called `kind` in reports.
    pub(super) fn new(document: &'a Document, kind: &'static str, value: &'a Value) -> Self {
        let fields = value.as_mapping();
        if fields.is_none() {
            document.report(format!("{kind} is no mapping: {}", inline(value)));
        }
        Self { document, kind, fields, taken: RefCell::default() }
    }

    /// Opens what a value refers to, or the value itself.
    pub(super) fn resolved(document: &'a Document, kind: &'static str, value: &'a Value) -> Self {
        document.expect_alone(kind, value);
        Self::new(document, kind, document.resolve(value))
    }

    /// The document that it is of.
    pub(super) const fn document(&self) -> &'a Document {
        self.document
    }

    /// A field's value.
    pub(super) fn take(&self, field: &'static str) -> Option<&'a Value> {
        self.take_if(field, Some)
    }

    /// A field that is text.
    pub(super) fn text(&self, field: &'static str) -> Option<&'a str> {
        self.take_if(field, Value::as_str)
    }

    /// A field that is true or false, and false where it is not there.
    pub(super) fn flag(&self, field: &'static str) -> bool {
        self.take_if(field, Value::as_bool).unwrap_or_default()
    }

    /// A field that is a list.
    pub(super) fn list(&self, field: &'static str) -> &'a [Value] {
        self.take_if(field, Value::as_sequence).map_or(&[], Vec::as_slice)
    }

    /// A field that is a mapping by name.
    pub(super) fn map(&self, field: &'static str) -> Vec<(&'a str, &'a Value)> {
        let Some(map) = self.take_if(field, Value::as_mapping) else { return Vec::new() };
        let named = map.iter().filter_map(|(name, value)| match name.as_str() {
            Some(name) => Some((name, value)),
            None => {
                self.document.report(format!(
                    "a name in `{field}` of {} is no text: {}",
                    self.kind,
                    inline(name)
                ));
                None
            }
        });
        named.collect()
    }

    fn take_if<T>(&self, field: &'static str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let found = self.fields?.get(field).and_then(read)?;
        self.taken.borrow_mut().push(field);
        Some(found)
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let taken = self.taken.borrow();
        for name in self.fields.into_iter().flat_map(Mapping::keys) {
            if !name.as_str().is_some_and(|name| taken.contains(&name)) {
                self.document.report(format!("`{}` of {}", inline(name), self.kind));
            }
        }
    }
}

/// A value on one line: text as it is, anything else as JSON.
pub(super) fn inline(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(value).unwrap_or_default(),
    }
}

/// A value as it is sent: text as it is, anything else as JSON on lines of its own.
pub(super) fn block(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}
