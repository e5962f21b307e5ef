//! The `.toml` beside each model: what must come of each of its queries, and why where one falls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::verdict::{How, Verdict};

/// What is expected of one file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// The file, without `.vp`.
    #[serde(skip)]
    pub(crate) name: String,
    /// Of docs/protocol.md.
    pub(crate) sections: String,
    /// Its column in the table, if the model as it is has somebody in it who has what he must not have.
    #[serde(default)]
    pub(crate) compromise: Option<String>,
    /// All of the file's queries, in its order.
    #[serde(rename = "query")]
    pub(crate) queries: Vec<Query>,
    #[serde(rename = "case", default)]
    pub(crate) cases: Vec<Variant>,
}

/// A query of a model. In the model as it is, it holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) query: String,
    /// Its row in the table.
    pub(crate) property: String,
}

/// A model with something put into it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// Its column in the table: who has what it must not have.
    #[serde(default)]
    pub(crate) compromise: Option<String>,
    /// Or the attack that must be seen where a defence is taken away.
    #[serde(default)]
    pub(crate) weakened: Option<String>,
    pub(crate) edits: Vec<Edit>,
    /// Which queries are asked: of a compromise all, unless given; of a weakened model those that it names. Where more falls
    /// than stands, to show that the rest stands takes a search that does not end.
    #[serde(default)]
    asks: Option<Vec<String>>,
    /// What falls here, and for which reason.
    #[serde(default)]
    pub(crate) falls: BTreeMap<String, Fall>,
}

/// A piece of the model that is replaced. It must be there exactly once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// How a property falls, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fall {
    pub(crate) how: How,
    pub(crate) because: String,
    /// What the trace of the attack must have in it, as whole words.
    #[serde(default)]
    pub(crate) shows: Vec<String>,
}

/// Who has what it must not have: the columns of the table.
pub(crate) const COMPROMISES: [&str; 13] = [
    "sender's key",
    "receiver's key",
    "signing key",
    "an earlier ticket's SEK",
    "this ticket's SEK",
    "another member",
    "a former member",
    "other zone's KDC",
    "trust's key",
    "key before the ratchet",
    "key after the ratchet",
    "join token",
    "stolen identity",
];

impl Model {
    /// Those of all models in the folder, in the order of their sections.
    pub(crate) fn read_all(folder: &Path) -> Result<Vec<Self>, String> {
        let [names, expected] = ["vp", "toml"].map(|kind| names(folder, kind));
        let (names, expected) = (names?, expected?);
        if let Some(single) = names.symmetric_difference(&expected).next() {
            return Err(format!("{}: of {single} there is only one, the .vp or the .toml", folder.display()));
        }
        let models = names.iter().map(|name| Self::read(folder, name));
        let mut models = models.collect::<Result<Vec<_>, _>>()?;
        // §7 comes before §10.
        models.sort_by_key(|model| model.place());
        Ok(models)
    }

    fn read(folder: &Path, name: &str) -> Result<Self, String> {
        let file = folder.join(name).with_extension("toml");
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Self::parse(name, &text).map_err(|error| format!("{}: {error}", file.display()))
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut model: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        name.clone_into(&mut model.name);
        if let Some(compromise) = &model.compromise {
            known(compromise)?;
        }
        model
            .cases
            .iter()
            .try_for_each(|case| model.check(case).map_err(|error| format!("{}: {error}", case.name)))?;
        Ok(model)
    }

    /// What the form alone does not say.
    fn check(&self, case: &Variant) -> Result<(), String> {
        match (&case.compromise, &case.weakened) {
            (Some(compromise), None) => known(compromise)?,
            (None, Some(_)) => {}
            _ => return Err("is either a compromise or weakened".to_owned()),
        }
        if case.weakened.is_some() && !case.falls.values().any(|fall| !fall.shows.is_empty()) {
            return Err("says nothing of the attack that must be seen".to_owned());
        }
        if case.edits.is_empty() {
            return Err("changes nothing".to_owned());
        }
        let named = case.falls.keys().chain(case.asks.iter().flatten());
        if let Some(unknown) = named.into_iter().find(|named| self.query(named).is_none()) {
            return Err(format!("the model has no query {unknown}"));
        }
        if let Some(unasked) = case.falls.keys().find(|query| !case.asks(query)) {
            return Err(format!("{unasked} is not asked"));
        }
        Ok(())
    }

    fn query(&self, query: &str) -> Option<&Query> {
        self.queries.iter().find(|known| known.query == query)
    }

    fn place(&self) -> (Vec<u32>, String) {
        let numbers =
            self.sections.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
        (numbers.collect(), self.name.clone())
    }
}

/// The files of one kind, without it.
fn names(folder: &Path, kind: &str) -> Result<BTreeSet<String>, String> {
    let wrong = |error| format!("{}: {error}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        let name = file.file_stem().filter(|_| file.extension().is_some_and(|known| known == kind));
        names.extend(name.map(|name| name.to_string_lossy().into_owned()));
    }
    Ok(names)
}

fn known(compromise: &str) -> Result<(), String> {
    if COMPROMISES.contains(&compromise) {
        Ok(())
    } else {
        Err(format!("{compromise} is none of {COMPROMISES:?}"))
    }
}

impl Variant {
    fn asks(&self, query: &str) -> bool {
        self.asks.as_ref().map_or_else(
            || self.weakened.is_none() || self.falls.contains_key(query),
            |asked| asked.iter().any(|asked| asked == query),
        )
    }

    /// Whether its attacker only listens, and has what is stolen afterwards.
    pub(crate) fn is_recorded(&self) -> bool {
        self.edits.iter().any(|edit| edit.to.contains("attacker[passive]"))
    }
}

impl Query {
    /// What must come of it in the model as it is, or with something put into it; `None` where it is not asked.
    pub(crate) fn expected(&self, case: Option<&Variant>) -> Option<Verdict> {
        if case.is_some_and(|case| !case.asks(&self.query)) {
            return None;
        }
        let fall = case.and_then(|case| case.falls.get(&self.query));
        Some(fall.map_or(Verdict::Holds, |fall| Verdict::Falls(fall.how)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const GOOD: &str = r#"
        sections = "7"
        query = [
            { query = "confidentiality? m", property = "secret" },
            { query = "authentication? A -> B: m", property = "true" },
        ]
        [[case]]
        name = "stolen"
        compromise = "sender's key"
        edits = [{ from = "a", to = "b" }]
        [case.falls]
        "confidentiality? m" = { how = "learned", because = "so" }
    "#;

    #[test]
    fn a_case_says_what_differs_from_the_model() {
        let expected = |text: &str, case: bool| {
            let read = Model::parse("a", text).unwrap();
            let case = read.cases.first().filter(|_| case);
            read.queries.iter().map(|query| query.expected(case)).collect::<Vec<_>>()
        };
        let (holds, learned) = (Some(Verdict::Holds), Some(Verdict::Falls(How::Learned)));
        assert_eq!(expected(GOOD, false), [holds, holds]);
        assert_eq!(expected(GOOD, true), [learned, holds]);
        let weakened = GOOD
            .replace(r#"compromise = "sender's key""#, r#"weakened = "x""#)
            .replace(r#"how = "learned", "#, r#"how = "learned", shows = ["m"], "#);
        assert_eq!(expected(&weakened, true), [learned, None]);
        let fewer = GOOD.replace("[case.falls]", "asks = [\"confidentiality? m\"]\n[case.falls]");
        assert_eq!(expected(&fewer, true), [learned, None]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (from, to, why) in [
            (r#", because = "so" }"#, " }", "because"),
            (r#"compromise = "sender's key""#, r#"compromise = "nobody""#, "is none of"),
            (r#"compromise = "sender's key""#, "", "either a compromise or weakened"),
            (r#"compromise = "sender's key""#, r#"weakened = "x""#, "attack that must be seen"),
            (r#"[{ from = "a", to = "b" }]"#, "[]", "changes nothing"),
            ("\"confidentiality? m\" =", "\"confidentiality? x\" =", "no query confidentiality? x"),
            ("[case.falls]", "asks = []\n[case.falls]", "is not asked"),
            ("sections = ", "unknown = 1\nsections = ", "unknown field"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Model::parse("a", &GOOD.replace(from, to)).err().unwrap();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_model_without_its_expectations_is_none_and_the_other_way_round() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| fs::write(folder.path().join(name), GOOD).unwrap();
        write("a.toml");
        assert!(Model::read_all(folder.path()).err().unwrap().contains("of a there is only one"));
        write("a.vp");
        assert_eq!(Model::read_all(folder.path()).unwrap().len(), 1);
        write("b.vp");
        assert!(Model::read_all(folder.path()).err().unwrap().contains("of b there is only one"));
    }
}
