//! The `.toml` beside each model: what must come of each of its queries, and why where one falls.

use std::collections::BTreeMap;
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

/// A query of a model, as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) query: String,
    /// Its row in the table.
    pub(crate) property: String,
    #[serde(default)]
    pub(crate) falls: Option<How>,
    #[serde(default)]
    pub(crate) because: Option<String>,
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
    /// What falls here, for this reason; also what falls in the model as it is, if it falls in another way here.
    #[serde(default)]
    pub(crate) falls: BTreeMap<String, Fall>,
    /// What falls in the model as it is, and does not here.
    #[serde(default)]
    pub(crate) holds: Vec<String>,
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
    /// What the trace of the attack must have in it.
    #[serde(default)]
    pub(crate) shows: Vec<String>,
}

/// Who has what it must not have: the columns of the table.
pub(crate) const COMPROMISES: [&str; 11] = [
    "sender's key",
    "receiver's key",
    "an old SEK",
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
        let wrong = |error| format!("{}: {error}", folder.display());
        let mut models = Vec::new();
        for entry in fs::read_dir(folder).map_err(wrong)? {
            let file = entry.map_err(wrong)?.path();
            if let Some(name) = file.file_stem().filter(|_| file.extension().is_some_and(|kind| kind == "vp"))
            {
                models.push(Self::read(folder, &name.to_string_lossy())?);
            }
        }
        // §7 comes before §10.
        models.sort_by_key(|model| model.place());
        Ok(models)
    }

    fn read(folder: &Path, name: &str) -> Result<Self, String> {
        let file = folder.join(name).with_extension("toml");
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Self::parse(name, &text).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut model: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        name.clone_into(&mut model.name);
        for Query { query, falls, because, .. } in &model.queries {
            if falls.is_some() != because.is_some() {
                return Err(format!("{query}: what falls has a reason, and nothing else has"));
            }
        }
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
        let named = case.falls.keys().chain(&case.holds).chain(case.asks.iter().flatten());
        if let Some(unknown) = named.into_iter().find(|named| self.query(named).is_none()) {
            return Err(format!("the model has no query {unknown}"));
        }
        if let Some(both) = case.holds.iter().find(|query| case.falls.contains_key(*query)) {
            return Err(format!("{both} holds and falls"));
        }
        if let Some(unasked) = case.falls.keys().chain(&case.holds).find(|query| !case.asks(query)) {
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

fn known(compromise: &str) -> Result<(), String> {
    if COMPROMISES.contains(&compromise) {
        Ok(())
    } else {
        Err(format!("{compromise} is none of {COMPROMISES:?}"))
    }
}

impl Variant {
    fn asks(&self, query: &str) -> bool {
        let named = || self.falls.contains_key(query) || self.holds.iter().any(|named| named == query);
        self.asks.as_ref().map_or_else(
            || self.weakened.is_none() || named(),
            |asked| asked.iter().any(|asked| asked == query),
        )
    }
}

impl Query {
    /// What must come of it in the model as it is, or with something put into it; `None` where it is not asked.
    pub(crate) fn expected(&self, case: Option<&Variant>) -> Option<Verdict> {
        if case.is_some_and(|case| !case.asks(&self.query)) {
            return None;
        }
        let here = case.and_then(|case| case.falls.get(&self.query)).map(|fall| fall.how);
        let holds = case.is_some_and(|case| case.holds.contains(&self.query));
        Some(match here.or(self.falls) {
            Some(how) if !holds => Verdict::Falls(how),
            _ => Verdict::Holds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        sections = "7"
        query = [
            { query = "confidentiality? m", property = "secret" },
            { query = "authentication? A -> B: m", property = "true", falls = "repeated", because = "so" },
        ]
        [[case]]
        name = "stolen"
        compromise = "sender's key"
        edits = []
        holds = ["authentication? A -> B: m"]
        [case.falls]
        "confidentiality? m" = { how = "learned", because = "so" }
    "#;

    #[test]
    fn a_case_says_what_differs_from_the_model() {
        let read = Model::parse("a", GOOD).unwrap();
        let [secret, authentic] = &read.queries[..] else { panic!() };
        assert_eq!(secret.expected(None), Some(Verdict::Holds));
        assert_eq!(authentic.expected(None), Some(Verdict::Falls(How::Repeated)));
        let case = Some(&read.cases[0]);
        assert_eq!(secret.expected(case), Some(Verdict::Falls(How::Learned)));
        assert_eq!(authentic.expected(case), Some(Verdict::Holds));
        let weakened = GOOD
            .replace(r#"compromise = "sender's key""#, r#"weakened = "x""#)
            .replace(r#"holds = ["authentication? A -> B: m"]"#, "")
            .replace(r#"how = "learned", "#, r#"how = "learned", shows = ["m"], "#);
        let read = Model::parse("a", &weakened).unwrap();
        let expected = |query: usize| read.queries[query].expected(Some(&read.cases[0]));
        assert_eq!([expected(0), expected(1)], [Some(Verdict::Falls(How::Learned)), None]);
        let fewer =
            GOOD.replace(r#"holds = ["authentication? A -> B: m"]"#, r#"asks = ["confidentiality? m"]"#);
        let read = Model::parse("a", &fewer).unwrap();
        assert_eq!(read.queries[1].expected(Some(&read.cases[0])), None);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (from, to, why) in [
            (r#", because = "so" },"#, " },", "has a reason"),
            (r#"compromise = "sender's key""#, r#"compromise = "nobody""#, "is none of"),
            (r#"compromise = "sender's key""#, "", "either a compromise or weakened"),
            (r#"compromise = "sender's key""#, r#"weakened = "x""#, "attack that must be seen"),
            (r#"holds = ["authentication? A -> B: m"]"#, r#"holds = ["x"]"#, "no query x"),
            (
                r#"holds = ["authentication? A -> B: m"]"#,
                r#"holds = ["confidentiality? m"]"#,
                "holds and falls",
            ),
            (r#"holds = ["authentication? A -> B: m"]"#, "asks = []", "is not asked"),
            ("sections = ", "unknown = 1\nsections = ", "unknown field"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Model::parse("a", &GOOD.replace(from, to)).err().unwrap();
            assert!(error.contains(why), "{error}");
        }
    }
}
