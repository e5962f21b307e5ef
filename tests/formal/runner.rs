//! Runs all cases, as many at a time as there are cores, and tells what came of them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::case::Case;
use crate::findings::{self, Finding};
use crate::verdict::Verdict;

/// What was found of each query of a case, or why nothing was looked for.
type Found = Result<Vec<Finding>, String>;

/// How many results differ from what is expected.
pub(crate) fn run(verifpal: &Path, cases: &[Case]) -> Result<usize, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("a folder for the models: {error}"))?;
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Found>>> = Mutex::new(cases.iter().map(|_| None).collect());
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(case) = cases.get(number)
                {
                    let found = analyzed(verifpal, &folder.path().join(format!("{number}.vp")), case);
                    let seconds = begin.elapsed().as_secs();
                    eprintln!("{seconds:>4} s, {} of {}: {case}", number + 1, cases.len());
                    if let Ok(mut results) = results.lock()
                        && let Some(result) = results.get_mut(number)
                    {
                        *result = Some(found);
                    }
                }
            });
        }
    });
    let results = results.into_inner().map_err(|_| "a model's analysis panicked".to_owned())?;
    let (mut faults, mut differ) = (0, Vec::new());
    for (case, found) in cases.iter().zip(results) {
        let here = report(case, found.unwrap_or_else(|| Err("was not run".to_owned())));
        faults += here;
        differ.extend((here > 0).then_some(case));
    }
    let queries: usize = cases.iter().map(|case| case.expected.len()).sum();
    println!("\n{} models, {queries} queries, {} s", cases.len(), begin.elapsed().as_secs());
    differ.iter().for_each(|case| println!("DIFFERS: {case}"));
    Ok(faults)
}

fn analyzed(verifpal: &Path, file: &Path, case: &Case) -> Found {
    fs::write(file, &case.text).map_err(|error| format!("{}: {error}", file.display()))?;
    let output = Command::new("timeout")
        .args(["--foreground", LONGEST])
        .arg(verifpal)
        .args(["verify", "--format", "json", "--sessions", "2"])
        .arg(file)
        // Two models at a time are faster than one that uses two cores.
        .env("VERIFPAL_THREADS", "1")
        .output()
        .map_err(|error| format!("timeout (of coreutils): {error}"))?;
    read(output.status.code(), &output.stdout, &output.stderr)
}

fn read(status: Option<i32>, stdout: &[u8], stderr: &[u8]) -> Found {
    match status {
        Some(TIMED_OUT) => {
            Err(format!("no result within {LONGEST}: the model is too large, or this machine too busy"))
        }
        // It may have come to an end after its report, but nobody knows what of it is missing. A model that it refuses has a
        // report that says why.
        Some(0) => findings::read(&String::from_utf8_lossy(stdout)),
        status => Err(findings::refusal(&String::from_utf8_lossy(stdout)).unwrap_or_else(|| {
            let status = status.map_or_else(|| "by a signal".to_owned(), |status| format!("with {status}"));
            format!("Verifpal ended {status}: {}", String::from_utf8_lossy(stderr).trim_end())
        })),
    }
}

/// Whether the text is there, with no other word before or behind it.
fn has(step: &str, text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    step.match_indices(text).any(|(at, _)| {
        let (before, behind) = (step.get(..at), step.get(at + text.len()..));
        !before.is_some_and(|before| before.ends_with(is_word))
            && !behind.is_some_and(|behind| behind.starts_with(is_word))
    })
}

/// Prints what came of a case; how much of it is not as expected.
fn report(case: &Case, found: Found) -> usize {
    println!("\n{case}");
    if let Some(attack) = &case.weakened {
        println!("  must show: {attack}");
    }
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            println!("  DIFFERS: {error}");
            return 1;
        }
    };
    let mut faults = 0;
    if !found.iter().map(|found| &found.query).eq(case.expected.iter().map(|(query, _)| query)) {
        let found: Vec<_> = found.iter().map(|found| &found.query).collect();
        println!(
            "  DIFFERS: the queries of the model and those of its .toml are not the same, in the same order: {found:?}"
        );
        faults += 1;
    }
    for (Finding { query, verdict, trace }, (_, expected)) in found.iter().zip(&case.expected) {
        let shows = case.shows.get(query).map_or(&[][..], Vec::as_slice);
        let unseen = shows.iter().find(|shown| !trace.iter().any(|step| has(step, shown)));
        let fault = match unseen {
            _ if verdict != expected => format!("   DIFFERS: expected {expected}"),
            Some(unseen) => format!("   DIFFERS: the trace does not show {unseen:?}"),
            None => String::new(),
        };
        println!("  {query:<52} {verdict}{fault}");
        if let Some(because) = case.because.get(query).filter(|_| *verdict != Verdict::Holds) {
            println!("    because {because}");
        }
        faults += usize::from(!fault.is_empty());
        if !fault.is_empty() || (case.weakened.is_some() && !shows.is_empty()) {
            trace.iter().for_each(|step| println!("    | {step}"));
        }
    }
    faults
}

/// A model that takes longer is not one that anybody runs.
const LONGEST: &str = "300s";
/// The exit status of `timeout`.
const TIMED_OUT: i32 = 124;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::verdict::How;

    /// Whatever differs is a fault, in either direction.
    #[test]
    fn nothing_that_differs_passes() {
        let query = || "confidentiality? m".to_owned();
        let learned = Verdict::Falls(How::Learned);
        let case = |expected: Verdict, shows: &[&str]| Case {
            model: "a.vp".to_owned(),
            name: "as it is".to_owned(),
            weakened: None,
            text: String::new(),
            expected: vec![(query(), expected)],
            because: BTreeMap::new(),
            shows: BTreeMap::from([(query(), shows.iter().map(|&shown| shown.to_owned()).collect())]),
        };
        let found = |verdict: Verdict| {
            Ok(vec![Finding { query: query(), verdict, trace: vec!["by k_m".to_owned()] }])
        };
        assert_eq!(report(&case(Verdict::Holds, &[]), found(Verdict::Holds)), 0);
        assert_eq!(report(&case(Verdict::Holds, &[]), found(learned)), 1);
        assert_eq!(report(&case(learned, &[]), found(Verdict::Holds)), 1);
        assert_eq!(report(&case(learned, &["k_m"]), found(learned)), 0);
        assert_eq!(report(&case(learned, &["k_x"]), found(learned)), 1);
        assert_eq!(report(&case(learned, &["k"]), found(learned)), 1);
        assert_eq!(report(&case(learned, &[]), Ok(Vec::new())), 1);
        assert_eq!(report(&case(learned, &[]), Err("parse error".to_owned())), 1);
    }

    #[test]
    fn what_a_trace_shows_is_whole_words() {
        assert!(has("by old", "old") && has("old", "old") && has("k_old, old.", "old"));
        assert!(!has("by k_old", "old") && !has("olden", "old") && !has("old_1", "old"));
    }

    #[test]
    fn an_end_without_a_report_is_no_result() {
        let refused = br#"{"version": "9", "models": [{"error": "parse error"}]}"#;
        for (status, stdout, says) in [
            (Some(124), &b""[..], "no result within"),
            (Some(101), b"", "ended with 101: panicked"),
            (None, b"{}", "by a signal: panicked"),
            (Some(1), refused, "parse error"),
            (Some(0), b"", "an unknown report"),
        ] {
            let error = read(status, stdout, b"panicked\n").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
