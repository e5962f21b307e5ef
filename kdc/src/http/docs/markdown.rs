//! The part of Markdown that descriptions use: paragraphs, lists, fenced code, `code`, **bold** and links.

use super::html::Html;

/// Writes a text. What is not understood is shown as it is.
pub(super) fn markdown(html: &mut Html, text: &str) {
    let mut open: Option<Block> = None;
    let mut gap = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let after_gap = std::mem::replace(&mut gap, line.is_empty());
        if line.starts_with("```") {
            close(html, open.take());
            let code: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            html.element("pre", &[], |html| html.tagged("code", &code.join("\n")));
        } else if let Some((tag, item)) = item(line) {
            match &mut open {
                Some(Block::List(same, items)) if *same == tag => items.push(item.to_owned()),
                _ => close(html, open.replace(Block::List(tag, vec![item.to_owned()]))),
            }
        } else if !line.is_empty() {
            match &mut open {
                Some(block) if !after_gap => block.go_on(line),
                _ => close(html, open.replace(Block::Paragraph(line.to_owned()))),
            }
        }
    }
    close(html, open);
}

/// Writes a text that stands within a line.
pub(super) fn inline(html: &mut Html, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, from) = rest.split_at(at);
        html.text(before);
        rest = marked(html, from).unwrap_or_else(|| {
            let (mark, after) = from.split_at(1);
            html.text(mark);
            after
        });
    }
    html.text(rest);
}

/// Writes what begins with a mark, and returns what follows it; nothing when the mark is only a character.
fn marked<'a>(html: &mut Html, text: &'a str) -> Option<&'a str> {
    if let Some(text) = text.strip_prefix('`') {
        let (code, rest) = text.split_once('`')?;
        html.tagged("code", code);
        return Some(rest);
    }
    if let Some(text) = text.strip_prefix("**") {
        let (bold, rest) = text.split_once("**").filter(|(bold, _)| !bold.is_empty())?;
        html.element("strong", &[], |html| inline(html, bold));
        return Some(rest);
    }
    let (label, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (target, rest) = rest.split_once(')')?;
    // Nothing else is a place to go to; `javascript:` least of all.
    let known = ["https://", "http://", "#", "/"].iter().any(|start| target.starts_with(start));
    known.then(|| html.element("a", &[("href", target)], |html| inline(html, label)))?;
    Some(rest)
}

enum Block {
    Paragraph(String),
    /// The tag of the list, and its items.
    List(&'static str, Vec<String>),
}

impl Block {
    /// Takes in the next line of the same paragraph or item.
    fn go_on(&mut self, line: &str) {
        let text = match self {
            Self::Paragraph(text) => Some(text),
            Self::List(_, items) => items.last_mut(),
        };
        if let Some(text) = text {
            text.push(' ');
            text.push_str(line);
        }
    }
}

fn close(html: &mut Html, block: Option<Block>) {
    match block {
        Some(Block::Paragraph(text)) => html.element("p", &[], |html| inline(html, &text)),
        Some(Block::List(tag, items)) => html.element(tag, &[], |html| {
            for item in items {
                html.element("li", &[], |html| inline(html, &item));
            }
        }),
        None => {}
    }
}

/// The kind of list that a line is an item of, and the item.
fn item(line: &str) -> Option<(&'static str, &str)> {
    if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
        return Some(("ul", item));
    }
    let (number, item) = line.split_once(". ")?;
    let counts = !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit());
    counts.then_some(("ol", item))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        let mut html = Html::default();
        markdown(&mut html, text);
        html.finish().trim_start_matches("<!doctype html>").trim().to_owned()
    }

    #[test]
    fn blocks_and_marks() {
        for (text, expected) in [
            ("", ""),
            ("a\nb\n\nc", "<p>a b</p><p>c</p>"),
            ("a `b` **c `d`** e", "<p>a <code>b</code> <strong>c <code>d</code></strong> e</p>"),
            (
                "these:\n- a\n  goes on\n\n- b\n\nc",
                "<p>these:</p><ul><li>a goes on</li><li>b</li></ul><p>c</p>",
            ),
            ("1. a\n2. b\n- c", "<ol><li>a</li><li>b</li></ol><ul><li>c</li></ul>"),
            ("a\n```sh\n**b**\n  c\n```\nd", "<p>a</p><pre><code>**b**\n  c</code></pre><p>d</p>"),
            (
                "[a `b`](#c) and [d](https://e/f)",
                "<p><a href=\"#c\">a <code>b</code></a> and <a href=\"https://e/f\">d</a></p>",
            ),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_mark_is_text() {
        for (text, expected) in [
            ("a `b", "<p>a `b</p>"),
            ("cma.* and **", "<p>cma.* and **</p>"),
            ("x[0] [a](javascript:b)", "<p>x[0] [a](javascript:b)</p>"),
            ("<b>&`<i>`\"'", "<p>&lt;b&gt;&amp;<code>&lt;i&gt;</code>&quot;&#39;</p>"),
            ("§ é `ü", "<p>§ é `ü</p>"),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }
}
