//! HTML as it is written: what is opened is closed, and all text is escaped.

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// An element with these attributes, and what `inside` writes in it.
    pub(super) fn element(&mut self, tag: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.empty(tag, attributes);
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// An element that never has anything inside, such as `meta`.
    pub(super) fn empty(&mut self, tag: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// An element with nothing but text.
    pub(super) fn tagged(&mut self, tag: &str, text: &str) {
        self.element(tag, &[], |html| html.text(text));
    }

    /// The same with a class.
    pub(super) fn classed(&mut self, tag: &str, class: &str, text: &str) {
        self.element(tag, &[("class", class)], |html| html.text(text));
    }

    /// A link.
    pub(super) fn link(&mut self, target: &str, text: &str) {
        self.element("a", &[("href", target)], |html| html.text(text));
    }

    /// A path or URL, that may be broken after each slash.
    pub(super) fn path(&mut self, path: &str) {
        for part in path.split_inclusive('/') {
            self.text(part);
            self.0.push_str("<wbr>");
        }
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ => self.0.push(character),
            }
        }
    }

    /// A style sheet of our own: the one text that is not escaped, for its hash is in the policy.
    pub(super) fn style(&mut self, sheet: &'static str) {
        self.0.push_str("<style>");
        self.0.push_str(sheet);
        self.0.push_str("</style>");
    }

    /// What was written elsewhere.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole page.
    pub(super) fn finish(self) -> String {
        format!("<!doctype html>\n{}\n", self.0)
    }
}
