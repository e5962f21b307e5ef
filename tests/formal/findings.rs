//! What Verifpal says of a model, as it writes it in JSON.

use serde::Deserialize;

use crate::verdict::{How, Verdict};

/// What was found of one query.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) query: String,
    pub(crate) verdict: Verdict,
    /// The attack, one step in each line.
    pub(crate) trace: Vec<String>,
}

/// Reads what came of the one model that it was given.
pub(crate) fn read(json: &str) -> Result<Vec<Finding>, String> {
    let report: Report = serde_json::from_str(json).map_err(|error| format!("an unknown report: {error}"))?;
    if report.version != version() {
        let (known, found) = (version(), report.version);
        return Err(format!("this is Verifpal {found}: tests/formal/install puts {known} in its place"));
    }
    let [model] = &report.models[..] else { return Err("not a report of one model".to_owned()) };
    let Some(analysis) = &model.analysis else {
        return Err(model.error.clone().unwrap_or_else(|| "no analysis, and no reason".to_owned()));
    };
    analysis.queries.iter().map(Query::finding).collect()
}

/// Why it refuses a model, if it says so.
pub(crate) fn refusal(json: &str) -> Option<String> {
    let report: Report = serde_json::from_str(json).ok()?;
    report.models.into_iter().find_map(|model| model.error)
}

/// Whose verdicts are known here: the one that `install` puts there.
fn version() -> &'static str {
    let said = include_str!("install").lines().find_map(|line| line.strip_prefix("version="));
    said.unwrap_or_default()
}

#[derive(Deserialize)]
struct Report {
    version: String,
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    error: Option<String>,
    analysis: Option<Analysis>,
}

#[derive(Deserialize)]
struct Analysis {
    queries: Vec<Query>,
}

#[derive(Deserialize)]
struct Query {
    query: String,
    kind: String,
    /// Whether an attack was found.
    resolved: bool,
    envelope: Envelope,
    subtype: Option<String>,
    conclusion: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Envelope {
    sessions: u32,
    exhausted: bool,
    summary: String,
}

#[derive(Deserialize)]
struct Step {
    text: String,
}

impl Query {
    fn finding(&self) -> Result<Finding, String> {
        let verdict = if self.resolved {
            Verdict::Falls(self.how()?)
        } else if !self.envelope.exhausted || self.envelope.sessions < 2 {
            // No attack was found where none was looked for.
            return Err(format!("{}: {}", self.query, self.envelope.summary));
        } else {
            Verdict::Holds
        };
        let steps = self.steps.iter().map(|step| &step.text);
        let trace =
            if self.resolved { steps.chain([&self.conclusion]).cloned().collect() } else { Vec::new() };
        Ok(Finding { query: self.query.clone(), verdict, trace })
    }

    fn how(&self) -> Result<How, String> {
        let repeated =
            self.subtype.as_ref().is_some_and(|subtype| subtype.starts_with("duplicate acceptance"));
        match &*self.kind {
            "confidentiality" => Ok(How::Learned),
            "authentication" if repeated => Ok(How::Repeated),
            "authentication" => Ok(How::Forged),
            "freshness" => Ok(How::Stale),
            kind => Err(format!("{}: what comes of {kind} is not known here", self.query)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(query: &str) -> String {
        let version = version();
        format!(
            r#"{{"version": "{version}", "models": [{{"file": "a.vp", "analysis": {{"queries": [{query}]}}}}]}}"#
        )
    }

    fn query(kind: &str, resolved: bool, subtype: &str, exhausted: bool) -> String {
        report(&format!(
            r#"{{"query": "{kind}? x", "kind": "{kind}", "resolved": {resolved}, {subtype} "conclusion": "so",
                "envelope": {{"sessions": 2, "exhausted": {exhausted}, "summary": "cut"}}, "steps": [{{"text": "one"}}]}}"#
        ))
    }

    #[test]
    fn what_was_found_is_told_apart() {
        let verdict = |json: &str| read(json).unwrap().remove(0).verdict;
        assert_eq!(verdict(&query("authentication", false, "", true)), Verdict::Holds);
        assert_eq!(verdict(&query("authentication", true, "", true)), Verdict::Falls(How::Forged));
        let twice = r#""subtype": "duplicate acceptance: no recipient-generated context","#;
        assert_eq!(verdict(&query("authentication", true, twice, true)), Verdict::Falls(How::Repeated));
        assert_eq!(verdict(&query("confidentiality", true, "", false)), Verdict::Falls(How::Learned));
        assert_eq!(read(&query("freshness", true, "", true)).unwrap()[0].trace, ["one", "so"]);
    }

    #[test]
    fn a_search_that_was_cut_short_is_no_result() {
        assert!(read(&query("confidentiality", false, "", false)).unwrap_err().contains("cut"));
        assert!(read(&query("equivalence", true, "", true)).is_err());
        let refused = format!(r#"{{"version": "{}", "models": [{{"error": "parse error"}}]}}"#, version());
        assert!(read(&refused).unwrap_err().contains("parse"));
        assert!(read(&format!(r#"{{"version": "{}", "models": []}}"#, version())).is_err());
    }

    #[test]
    fn another_verifpal_is_none_that_is_known() {
        let good = query("confidentiality", true, "", true);
        assert!(read(&good).is_ok() && version().split('.').count() == 3);
        let error = read(&good.replace(version(), "1.7.0")).unwrap_err();
        assert!(error.contains("this is Verifpal 1.7.0"), "{error}");
    }
}
