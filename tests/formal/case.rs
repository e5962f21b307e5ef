//! A model that Verifpal is given: one of docs/formal, as it is or with something put into it.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs};

use crate::expectations::{Edit, Model, Variant};
use crate::verdict::Verdict;

/// A model, and what must come of it.
#[derive(Debug)]
pub(crate) struct Case {
    /// The file, without `.vp`.
    pub(crate) model: String,
    /// What was put into it.
    pub(crate) name: String,
    /// The attack that must be seen, if a defence was taken away.
    pub(crate) weakened: Option<String>,
    pub(crate) text: String,
    /// Of each query, in the order of the model.
    pub(crate) expected: Vec<(String, Verdict)>,
    /// Why a query falls.
    pub(crate) because: BTreeMap<String, String>,
    /// What the traces must have in them.
    pub(crate) shows: BTreeMap<String, Vec<String>>,
}

impl Case {
    /// All models as they are, each followed by its cases.
    pub(crate) fn all(folder: &Path, models: &[Model]) -> Result<Vec<Self>, String> {
        let mut cases = Vec::new();
        for model in models {
            let file = folder.join(&model.name).with_extension("vp");
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            for variant in core::iter::once(None).chain(model.cases.iter().map(Some)) {
                let edits = variant.map_or(&[][..], |variant| &variant.edits);
                let (asked, unasked): (Vec<_>, Vec<_>) = model
                    .queries
                    .iter()
                    .map(|query| (&query.query, query.expected(variant)))
                    .partition(|(_, expected)| expected.is_some());
                let text = edited(&text, edits)
                    .and_then(|text| unasked.iter().try_fold(text, |text, (query, _)| without(&text, query)));
                let text = text.map_err(|error| format!("{}: {}: {error}", model.name, name_of(variant)))?;
                let expected =
                    asked.into_iter().filter_map(|(query, expected)| Some((query.clone(), expected?)));
                let falls = || variant.into_iter().flat_map(|variant| &variant.falls);
                let because = falls().map(|(query, fall)| (query.clone(), fall.because.clone()));
                cases.push(Self {
                    model: model.name.clone(),
                    name: name_of(variant).to_owned(),
                    weakened: variant.and_then(|variant| variant.weakened.clone()),
                    text,
                    expected: expected.collect(),
                    because: because.collect(),
                    shows: falls().map(|(query, fall)| (query.clone(), fall.shows.clone())).collect(),
                });
            }
        }
        Ok(cases)
    }

    /// Whether it is of the model of that name, or has that in its own.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.model == name || self.name.contains(name)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.model, self.name)
    }
}

fn name_of(variant: Option<&Variant>) -> &str {
    variant.map_or("as it is", |variant| &variant.name)
}

fn edited(text: &str, edits: &[Edit]) -> Result<String, String> {
    edits.iter().try_fold(text.to_owned(), |text, Edit { from, to }| {
        match text.matches(from.as_str()).count() {
            _ if from == to => Err(format!("{from:?} is put in its own place")),
            1 => Ok(text.replace(from.as_str(), to)),
            times => Err(format!("{from:?} is there {times} times, and must be once")),
        }
    })
}

/// The model without a query.
fn without(text: &str, query: &str) -> Result<String, String> {
    edited(text, &[Edit { from: format!("\t{query}\n"), to: String::new() }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_replaced_where_it_is_once() {
        let edit = |from: &str, to: &str| Edit { from: from.to_owned(), to: to.to_owned() };
        let both = [edit("a = 1", "a = 2"), edit("a = 2", "b = 2")];
        assert_eq!(edited("a = 1; c = 1", &both).unwrap(), "b = 2; c = 1");
        assert!(edited("a; a", &[edit("a", "b")]).unwrap_err().contains("2 times"));
        assert!(edited("a", &[edit("b", "a")]).unwrap_err().contains("0 times"));
        assert!(edited("a", &[edit("a", "a")]).unwrap_err().contains("its own place"));
    }
}
